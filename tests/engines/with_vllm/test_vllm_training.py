"""A run through vLLM: its log-probabilities are the learner's after every update, and it learns as through `fast`."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean, stdev

import pytest

from r1zero.cli.recipes import find_recipe
from r1zero.config import TrainConfig, build, merge, read_recipe
from r1zero.store import read_metrics, read_rollouts
from r1zero.training import train

STEPS = 24


@pytest.fixture(scope="module")
def runs(vllm_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same short run through both engines."""

    def run(engine: str) -> Path:
        settings = {
            "steps": STEPS,
            "run": {"dir": str(tmp_path_factory.mktemp(engine) / "run")},
            "engine": {"name": engine, "dtype": "float32", "enforce_eager": True, "max_concurrent": 128},
            "learner": {"lr": 2e-4, "dtype": "float32"},
            "sampling": {"max_tokens": 160},
            "evaluation": {"num_problems": 256, "every": 0, "max_tokens": 160},
            "checkpoint": {"every": 0},
        }
        config = build(TrainConfig, merge(read_recipe(find_recipe("quickstart")), settings))
        return train(config).dir

    return {engine: run(engine) for engine in ("fast", "vllm")}


def test_logprobs_agree_with_the_learner_after_every_update(runs: dict[str, Path]) -> None:
    """In step s the learner has made s - 1 updates, and scores what vLLM sampled before it makes the next."""
    rows = read_metrics(runs["vllm"])[1:]
    assert len(rows) == STEPS
    for row in rows:
        assert row["grad/update_norm"] > 0.01
        assert row["policy/sampler_gap_max"] < 1e-3
        assert abs(row["policy/kl_sampler_learner"]) < 1e-6
        assert row["engine/restarts"] == 0
        assert 0 < row["engine/update_s"] < row["speed/step_s"]
    stored = read_rollouts(runs["vllm"]).select("step", "weights_version").unique().sort("step").collect()
    assert stored.rows() == [(step, step - 1) for step in range(1, STEPS + 1)]


def test_both_engines_learn_and_their_reward_curves_differ_by_noise_alone(runs: dict[str, Path]) -> None:
    """Both are asked the same problems in each step, and start from the same model."""
    rows = {name: read_metrics(run) for name, run in runs.items()}
    for name in rows:
        before, after = rows[name][0], rows[name][-1]
        assert before["eval/countdown/accuracy_high"] < after["eval/countdown/accuracy_low"]
    rewards = [[row["reward/mean"] for row in rows[name][1:]] for name in ("vllm", "fast")]
    differences = [a - b for a, b in zip(*rewards, strict=True)]
    assert abs(mean(differences)) < 4 * stdev(differences) / math.sqrt(STEPS)
