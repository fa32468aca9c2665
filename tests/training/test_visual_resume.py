"""Runs on pictures that are interrupted, and runs of no steps at all."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("PIL")

from r1zero.cli.main import main
from r1zero.config import ArchitectureConfig, TrainConfig, build
from r1zero.experiments.recorded import load_run
from r1zero.models.load import make_policy, save_policy
from r1zero.models.tiny_visual import PICTURE_SETTINGS, fresh_visual_model, train_visual_tokenizer
from r1zero.models.vision_qwen import qwen_vision
from r1zero.store import read_metrics
from r1zero.training import train


@pytest.fixture(scope="module")
def sighted(tmp_path_factory):
    """The directory of a random model of tiny-visual's kind."""
    tokenizer = train_visual_tokenizer(["User: Is redcircle left or right?\nAssistant:<think> nw redcircle"], 400)
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=2, intermediate_size=48, vocab_size=400
    )
    model = fresh_visual_model(shape, tokenizer, seed=0)
    directory = tmp_path_factory.mktemp("models") / "sighted"
    save_policy(make_policy(model.eval(), tokenizer, qwen_vision(model.config, PICTURE_SETTINGS)), directory)
    return directory


def config_of(sighted, run, steps):
    values = {
        "steps": steps,
        "problems_per_step": 4,
        "responses_per_problem": 2,
        "model": {"path": str(sighted)},
        "task": {"name": "visual"},
        "template": {"name": "visual_think"},
        "sampling": {"max_tokens": 6},
        "reward": {"per_token": 0.1},
        "learner": {"lr": 1e-2, "device": "cpu", "dtype": "float32"},
        "evaluation": {"num_problems": 8, "max_tokens": 6, "every": 0},
        "checkpoint": {"every": 1},
        "run": {"dir": str(run), "threads": 1},
    }
    return build(TrainConfig, values)


def test_a_run_on_pictures_that_is_continued_ends_as_one_that_was_not_interrupted(sighted, tmp_path):
    train(config_of(sighted, tmp_path / "whole", 2))
    train(config_of(sighted, tmp_path / "parts", 1))
    train(config_of(sighted, tmp_path / "parts", 2))
    whole, parts = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    rewards = [[row.get("reward/mean") for row in read_metrics(tmp_path / name)] for name in ("whole", "parts")]
    assert rewards[0] == rewards[1]


def test_a_checkpoint_without_some_weights_is_refused(sighted, tmp_path):
    from safetensors.torch import load_file, save_file

    run = tmp_path / "run"
    train(config_of(sighted, run, 1))
    file = run / "checkpoints" / "step-000001" / "model" / "model.safetensors"
    weights = load_file(file)
    dropped = next(name for name in weights if "mlp" in name)
    save_file({name: weight for name, weight in weights.items() if name != dropped}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"step-000001 is damaged .*missing"):
        train(config_of(sighted, run, 2))


def test_a_run_of_no_steps_evaluates_and_saves_its_initial_model(sighted, tmp_path):
    config = config_of(sighted, tmp_path / "run", 0)
    run = train(config)
    assert run.finished and run.steps_done == 0
    (row,) = read_metrics(run.dir)
    assert row["step"] == 0 and "eval/visual/subtask/total" in row
    assert (run.dir / "model" / "config.json").exists()
    assert load_run(run.dir).planned_steps == load_run(run.dir).last_step == 0
    assert train(config).finished and len(read_metrics(run.dir)) == 1  # nothing is done twice
    grown = train(replace(config, steps=1))  # and it is the beginning of a longer one
    assert grown.steps_done == 1 and len(read_metrics(run.dir)) == 2


def test_runs_of_no_steps_are_reported_and_compared(sighted, tmp_path, capsys):
    for name in ("a", "b"):
        train(config_of(sighted, tmp_path / name, 0))
    assert main(["report", str(tmp_path / "a")]) == 0
    assert (tmp_path / "a" / "report.html").stat().st_size > 1_000_000
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_fewer_than_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps=-1"):
        build(TrainConfig, {"steps": -1})
