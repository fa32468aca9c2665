"""What the words of `r1zero probe` are, and what there is of a run."""

import json
from pathlib import Path

import pytest

from r1zero.probe.targets import find_checkpoints, find_target
from r1zero.store import write_config


def model_at(place: Path) -> None:
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"model_type": "qwen2"}))


def test_a_word_is_a_model_a_run_or_stored_responses(tmp_path, monkeypatch, fake_run):
    monkeypatch.chdir(tmp_path)
    assert find_target("tiny-search").kind == "model"
    assert find_target("Qwen/Qwen2.5-Math-1.5B").name == "Qwen2.5-Math-1.5B"
    model_at(tmp_path / "weights")
    assert (find_target("weights").kind, find_target("weights").name) == ("model", "weights")
    run = fake_run("trained", steps=2, problems=2, every=1)
    assert find_target(str(run)).kind == "run" and not find_target(str(run)).stored
    assert find_target(str(run), stored=True).stored
    for verb in ("eval", "probe", "import"):
        write_config(tmp_path / verb, {"verb": verb, "config": {}})
        target = find_target(verb)
        assert (target.kind, target.stored, target.name) == ("rollouts", True, verb)
    Path("some.jsonl").write_text("{}\n")
    assert find_target("some.jsonl").kind == "rollouts"
    Path("folder").mkdir()
    Path("folder/part.parquet").write_bytes(b"")
    assert find_target("folder").kind == "rollouts"


@pytest.mark.parametrize("word", ["nowhere", "./nowhere", "a/b/c", "some.txt", "../x/y"])
def test_anything_else_is_refused_with_what_would_do(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("some.txt").write_text("text")
    with pytest.raises(ValueError, match=r"give a model .*tiny-search.*the directory of a run"):
        find_target(word)


def test_a_directory_called_like_a_hub_id_is_looked_into_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("owner/name").mkdir(parents=True)
    with pytest.raises(ValueError, match="owner/name: give a model"):
        find_target("owner/name")


def test_a_runs_weights_are_its_base_its_checkpoints_and_its_last_ones(tmp_path, fake_run):
    run = fake_run("trained", steps=4, problems=2, every=4)
    with pytest.raises(ValueError, match="holds no weights after step 0"):
        find_checkpoints(run)
    for step in (2, 4):
        model_at(run / "checkpoints" / f"step-{step:06d}" / "model")
    (run / "checkpoints" / "step-000003").mkdir()  # without weights
    model_at(run / "model")
    found = find_checkpoints(run)
    assert [(one.step, one.name) for one in found] == [(0, "base"), (2, "step 2"), (4, "final")]
    assert found[0].path == "tiny-search" and found[2].path == str(run / "model")
