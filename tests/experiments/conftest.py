"""A random model of a few thousand weights, and a run with it that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from r1zero.config import ArchitectureConfig, TrainConfig, build, merge
from r1zero.models.load import save_policy
from r1zero.models.tiny import fresh_policy, train_tokenizer

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


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Qwen2 with random weights."""
    tokenizer = train_tokenizer(["Numbers: 3, 8, 5\nTarget: 23\n3 * 8 = 24\nAnswer: 3 * 8"], 300)
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1, intermediate_size=48, vocab_size=len(tokenizer)
    )
    directory = tmp_path_factory.mktemp("models") / "random"
    save_policy(fresh_policy(shape, tokenizer, seed=0), directory)
    return directory


@pytest.fixture
def tiny_config(model_dir: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """tiny_config("a/seed-0", seed=0) -> the config of a run of three steps in that directory of the test"""

    def make(name: str, **settings: object) -> TrainConfig:
        own = {"model": {"path": str(model_dir)}, "run": {"dir": str(tmp_path / name)}}
        return build(TrainConfig, merge(merge(TINY, own), settings))

    return make
