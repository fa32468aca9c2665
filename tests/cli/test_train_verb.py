"""`r1zero train` and `r1zero eval` on a random model of a few thousand weights."""

import json
from pathlib import Path

from r1zero.cli.evaluate import config_for
from r1zero.cli.train import one_a_seed
from r1zero.config import EvalConfig, ModelConfig, TrainConfig, build

SMALL = [
    "--steps", "2", "--problems_per_step", "2", "--responses_per_problem", "2", "--sampling.max_tokens", "12",
    "--evaluation.num_problems", "4", "--evaluation.max_tokens", "12", "--evaluation.every", "0",
]  # fmt: skip


def test_one_run_is_reported_and_can_be_fed_back(r1zero, model_dir):
    done = r1zero("train", "--model.path", model_dir, *SMALL, "--learner.lr", "2e-4", "--seed", 3, "--json")
    assert done.code == 0, done.err
    (row,) = done.json
    run_dir = Path(row["run"])
    assert run_dir == Path("runs/quickstart-dr_grpo-seed3")
    assert row["steps"] == 2
    assert row["suite"] == "countdown"
    assert (run_dir / "model" / "config.json").exists()
    saved = json.loads((run_dir / "config.json").read_text())["config"]
    assert (saved["seed"], saved["learner"]["lr"], saved["run"]["dir"]) == (3, 2e-4, str(run_dir))

    again = r1zero("train", run_dir, "--run.dir", "runs/again", "--json")
    assert again.code == 0, again.err
    assert again.json[0]["accuracy after"] == row["accuracy after"]
    other = r1zero("train", run_dir, "--learner.lr", "1e-3")
    assert other.code == 2
    assert "already holds a different run (learner.lr was 0.0002, is 0.001)" in other.err


def test_several_seeds_lie_side_by_side(r1zero, model_dir):
    done = r1zero(
        "train",
        "--model.path",
        model_dir,
        *SMALL,
        "--seeds",
        2,
        "--seed",
        5,
        "--parallel",
        1,
        "--run.dir",
        "many",
        "--json",
    )
    assert done.code == 0, done.err
    assert [row["run"] for row in done.json] == ["many/seed-5", "many/seed-6"]


def test_how_many_at_once_must_be_a_number(r1zero):
    for words in (["--seeds", 2, "--parallel", 0], ["--parallel", "many"]):
        done = r1zero("train", *words)
        assert done.code == 2
        assert "--parallel" in done.err and "at least 1" in done.err


def test_runs_that_all_refuse_their_config_are_one_mistake(r1zero, tmp_path):
    done = r1zero("train", "--model.path", tmp_path / "gone", *SMALL, "--seeds", 2, "--parallel", 1)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("r1zero: error: ") and "gone" in done.err


def test_where_runs_go_when_nobody_says():
    config = build(TrainConfig, {"seed": 4, "objective": {"name": "grpo"}})
    assert [c.run.dir for c in one_a_seed(config, "mine", 1)] == ["runs/mine-grpo-seed4"]
    assert [(c.seed, c.run.dir) for c in one_a_seed(config, "mine", 2)] == [
        (4, "runs/mine-grpo/seed-4"),
        (5, "runs/mine-grpo/seed-5"),
    ]


def test_eval_of_a_run_asks_what_the_run_asked(fake_run):
    run_dir = fake_run("a", {"seed": 9, "evaluation": {"samples": 2, "max_tokens": 77, "temperature": 0.5}})
    assert config_for(str(run_dir), {}) == EvalConfig(model=ModelConfig(path=str(run_dir)))  # no final model yet
    (run_dir / "model").mkdir()
    (run_dir / "model" / "config.json").write_text("{}")
    config = config_for(str(run_dir), {"num_problems": "3"})
    assert (config.seed, config.samples, config.num_problems, config.held_out_only) == (9, 2, 3, True)
    assert (config.sampling.max_tokens, config.sampling.temperature) == (77, 0.5)
    assert config.model.path == str(run_dir / "model")
