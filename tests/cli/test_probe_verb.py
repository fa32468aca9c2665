"""`r1zero probe` on a random model of a few thousand weights: asked, killed, continued, followed, read."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r1zero.cli.main import main
from r1zero.store import read_rollouts

SMALL = ["--recipe", "probe_tiny", "--templates", "native,r1", "--temperatures", "0.7,1", "--num_problems", 3]
SMALL += ["--samples", 2, "--max_tokens", 8, "--causal.prefixes", 0, "--thinking", 0, "--engine.max_concurrent", 2]
TRAIN = ["--steps", 2, "--problems_per_step", 2, "--responses_per_problem", 2, "--sampling.max_tokens", 8]
TRAIN += ["--evaluation.num_problems", 2, "--evaluation.max_tokens", 8, "--evaluation.every", 1]
TRAIN += ["--checkpoint.every", 1, "--checkpoint.keep", 5]


def test_every_cell_is_asked_and_stored_and_a_second_call_asks_nothing(r1zero, model_dir):
    words = ["probe", model_dir, *SMALL, "--out", "kept", "--json"]
    done = r1zero(*words)
    assert done.code == 0, done.err
    rows = read_rollouts("kept", split="eval").collect()
    assert rows.height == 2 * 2 * 3 * 2
    cells = rows.group_by("template", "temperature").len().sort("template", "temperature").rows()
    assert cells == [("native", 0.7, 6), ("native", 1.0, 6), ("r1", 0.7, 6), ("r1", 1.0, 6)]
    assert rows["level"].to_list() == [3.0] * 24 and set(rows["checkpoint"]) == {str(model_dir)}
    hot, cold = (rows.filter(template="native", temperature=one)["response"].to_list() for one in (1.0, 0.7))
    assert hot != cold

    found = done.json
    assert found["targets"] == [{"path": str(model_dir), "kind": "model", "name": "random"}]
    assert found["models"] == [{"name": "random", "responses": 24, "problems": 3}]
    assert json.loads(Path("kept/probe.json").read_text()) == found
    assert "<html" in Path("kept/report.html").read_text(encoding="utf-8")

    again = r1zero(*words)
    assert again.code == 0 and again.out == done.out and "24 responses were there before" in again.err
    assert read_rollouts("kept", split="eval").collect().equals(rows)


def test_another_design_or_other_weights_are_refused_and_another_analysis_is_not(r1zero, model_dir):
    shutil.copytree(model_dir, "moving")
    words = ["probe", "moving", *SMALL, "--out", "kept"]
    assert r1zero(*words).code == 0
    other = r1zero(*words, "--seed", 4)
    assert other.code == 2 and "kept holds another probe (seed was 0, is 4)" in other.err
    cooler = r1zero(*words, "--temperatures", "0.5,1")
    assert cooler.code == 2 and "kept holds another probe (temperatures" in cooler.err
    assert r1zero(*words, "--pool", "oat-zero").code == 0

    from safetensors.torch import load_file, save_file

    weights = load_file("moving/model.safetensors")
    save_file({name: weight + 0.01 for name, weight in weights.items()}, "moving/model.safetensors", {"format": "pt"})
    changed = r1zero(*words)
    assert changed.code == 2 and "the model at this path has other weights now" in changed.err
    evaluated = r1zero("eval", model_dir, "--num_problems", 2, "--sampling.max_tokens", 4, "--out", "kept")
    assert evaluated.code == 2 and "kept holds a probe run, not an evaluation" in evaluated.err


def test_a_lost_part_is_asked_again_to_the_same_bytes(r1zero, model_dir):
    words = ["probe", model_dir, *SMALL, "--out", "kept"]
    assert r1zero(*words).code == 0
    parts = sorted(Path("kept/eval").glob("*.parquet"))
    assert len(parts) == 4
    content = [part.read_bytes() for part in parts]
    parts[2].unlink()
    assert r1zero(*words).code == 0
    assert [part.read_bytes() for part in parts] == content


def test_a_dry_run_says_how_much_there_is_to_ask_and_writes_nothing(r1zero, model_dir):
    words = ["probe", model_dir, *SMALL, "--dry-run", "--causal.prefixes", 5, "--causal.continuations", 2]
    done = r1zero(*words, "--json")
    assert done.code == 0, done.err
    (estimate,) = done.json
    assert [cell["template"] for cell in estimate["cells"]] == ["native", "native", "r1", "r1"]
    assert [cell["most_tokens"] for cell in estimate["cells"]] == [3 * 2 * 8] * 4
    asked = sum(cell["problems"] * cell["samples"] for cell in estimate["cells"])
    assert asked == 24 and estimate["generations"] > asked  # interventions come beside
    assert all(0 < cell["tokens"] <= cell["most_tokens"] for cell in estimate["cells"])
    assert estimate["seconds"] > 0 and "measured" in estimate["how"]
    shown = r1zero(*words)
    assert shown.code == 0 and "generations" in shown.out and "interventions at a cue" in shown.out
    judge = ["--judge.url", "http://127.0.0.1:9/v1", "--judge.model", "a-judge", "--judge.price_in", 1]
    priced = r1zero(*words, *judge, "--judge.price_out", 2)
    assert priced.code == 0 and "judge: 48 requests" in priced.out and "at the prices given" in priced.out
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tiny-serch"], "did you mean tiny-search"),
        (["tiny-search", "--templates", "natve"], "did you mean native"),
        (["tiny-search", "--temperatures", "1,1"], "temperatures: 1.0 is named twice"),
        (["tiny-search", "--temperatures", "-1"], "temperatures=-1.0: must be at least 0"),
        (["tiny-search", "--samples", "0"], "samples=0: must be at least 1"),
        (["tiny-search", "--top_p", "0"], "top_p=0.0: must be above 0"),
        (["tiny-search", "--recipe", "quickstart"], "recipe quickstart is for `r1zero train`"),
        (["tiny-search", "--suite", "math50"], "did you mean math500"),
        (["tiny-search", "--pool", "oat_zero"], "no cue pool 'oat_zero'"),
        (["tiny-search", "--labels", "none.jsonl"], "labels=none.jsonl: no such file"),
        (["nothing.parquet"], "nothing.parquet: give a model"),
    ],
)
def test_wrong_words_are_named_with_the_right_ones(r1zero, words, message):
    done = r1zero("probe", *words)
    assert done.code == 2 and message in done.err
    assert not list(Path.cwd().iterdir())


def test_stored_responses_are_read_and_nothing_is_asked(r1zero, model_dir):
    evaluate = ["--num_problems", 3, "--samples", 2, "--sampling.max_tokens", 8]
    for name in ("one", "two"):
        assert r1zero("eval", model_dir, *evaluate, "--out", name).code == 0
    done = r1zero("probe", "one", "two", "--json", "--out", "both")
    assert done.code == 0, done.err
    assert [(row["name"], row["responses"]) for row in done.json["models"]] == [("one", 6), ("two", 6)]
    assert Path("both/report.html").exists() and not Path("both/eval").exists()
    part = r1zero("probe", "one/eval/part-000000.parquet", "--json")
    assert part.code == 0 and part.json["targets"][0]["kind"] == "rollouts"
    asked = r1zero("probe", "one", "--samples", 4)
    assert asked.code == 2 and "--samples: nothing is asked here" in asked.err
    dry = r1zero("probe", "one", "--dry-run")
    assert dry.code == 0 and "stored responses are read, none asked" in dry.out


def test_a_run_is_followed_over_its_checkpoints_on_the_same_problems(r1zero, model_dir):
    assert r1zero("train", *TRAIN, "--model.path", model_dir, "--run.dir", "trained").code == 0
    words = ["probe", "trained", "--num_problems", 3, "--samples", 2, "--json"]
    done = r1zero(*words)
    assert done.code == 0, done.err
    rows = read_rollouts("runs/probe-trained", split="eval").collect()
    assert rows.group_by("step").len().sort("step").rows() == [(0, 6), (1, 6), (2, 6)]
    assert {(row[0], row[1]) for row in rows.select("step", "checkpoint").rows()} == {
        (0, "base"),
        (1, "step 1"),
        (2, "final"),
    }
    asked = [set(rows.filter(step=step)["problem_id"]) for step in (0, 1, 2)]
    assert asked[0] == asked[1] == asked[2] and len(asked[0]) == 3
    section = done.json["sections"]["emergence"]
    assert any("cannot be told from 3 measured steps" in finding for finding in section["findings"])
    assert [row["step"] for row in section["tables"][0]["rows"]] == ["0", "1", "2"]
    assert [row["name"] for row in done.json["models"]] == ["trained step 0", "trained step 2"]

    refused = r1zero("probe", "trained", "--thinking", 8)
    assert refused.code == 2 and "give trained/model for that" in refused.err

    again = r1zero(*words)
    assert again.code == 0 and again.out == done.out and "tokens/s" not in again.err
    stored = r1zero("probe", "trained", "--stored", "--split", "train", "--out", "stored", "--json")
    assert stored.code == 0, stored.err
    assert [row["step"] for row in stored.json["sections"]["emergence"]["tables"][0]["rows"]] == ["1", "2"]
    shutil.rmtree("trained/checkpoints")
    shutil.rmtree("trained/model")
    bare = r1zero("probe", "trained", "--out", "elsewhere")
    assert bare.code == 2 and "holds no weights after step 0" in bare.err and "--stored" in bare.err


def test_a_jsonl_file_of_several_models_is_imported_and_they_stand_side_by_side(r1zero):
    rows = [
        {"id": f"q{n}", "model": model, "question": f"What is {n} + 1?", "gold": str(n + 1), "response": text}
        for model, text in (("base", "Wait, \\boxed{3}"), ("tuned", "\\boxed{3}"))
        for n in range(4)
    ]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = r1zero("probe", "mine.jsonl", "--json")
    assert done.code == 0, done.err
    assert [(row["name"], row["responses"]) for row in done.json["models"]] == [("base", 4), ("tuned", 4)]
    assert read_rollouts("runs/probe-mine/imported/mine", split="eval").collect().height == 8
    Path("mine.jsonl").write_text("no json\n")
    broken = r1zero("probe", "mine.jsonl", "--out", "elsewhere")
    assert broken.code == 2 and "mine.jsonl" in broken.err


@pytest.mark.slow
def test_a_killed_probe_continues_to_the_same_bytes(model_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [str(word) for word in ["probe", model_dir, *SMALL, "--num_problems", 40, "--max_tokens", 64]]
    assert main([*words, "--out", "kept"]) == 0
    whole = {part.name: part.read_bytes() for part in Path("kept/eval").glob("*.parquet")}
    shutil.rmtree("kept")
    command = [sys.executable, "-m", "r1zero", *words, "--out", "kept"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(Path("kept/eval").glob("part-*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {part.name for part in Path("kept/eval").glob("part-*.parquet")}
    assert 0 < len(there) < len(whole)
    assert main([*words, "--out", "kept"]) == 0
    assert {part.name: part.read_bytes() for part in Path("kept/eval").glob("part-*.parquet")} == whole
