"""A tiny random base model in a Hugging Face directory, and the command line called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from r1zero.cli.main import main
from r1zero.config import ArchitectureConfig
from r1zero.models.load import save_policy
from r1zero.models.tiny import fresh_policy, train_tokenizer


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def r1zero(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """r1zero("train", "--seed", 3) -> Outcome; the working directory is a fresh one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("R1ZERO_TRACEBACK", raising=False)
    torch.set_num_threads(1)

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


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
