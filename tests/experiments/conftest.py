"""A random model of a few thousand weights, and a run with it that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from r1zero.config import TrainConfig, build, merge

TINY = {
    "steps": 3,
    "problems_per_step": 2,
    "responses_per_problem": 2,
    "run": {"threads": 1},
    "sampling": {"max_tokens": 12},
    "reward": {"unformatted": 1.0, "truncated": 0.0},
    "learner": {"lr": 1e-2},
    "evaluation": {"num_problems": 4, "max_tokens": 12, "every": 0},
    "checkpoint": {"every": 2},
}


@pytest.fixture
def tiny_config(model_dir: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """tiny_config("a/seed-0", seed=0) -> the config of a run of three steps in that directory of the test"""

    def make(name: str, **settings: object) -> TrainConfig:
        own = {"model": {"path": str(model_dir)}, "run": {"dir": str(tmp_path / name)}}
        return build(TrainConfig, merge(merge(TINY, own), settings))

    return make
