"""A model that is a function: what it writes is known, and how it was asked is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from r1zero.records import Problem, Prompt, Response
from r1zero.tasks.templates import TEMPLATES


@dataclass(frozen=True)
class Characters:
    """A tokenizer of one token a character."""

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [ord(c) for c in text]


@dataclass(frozen=True)
class FakePolicy:
    tokenizer: Characters = field(default_factory=Characters)
    max_context: int = 500
    vision: None = None


@dataclass
class FakeEngine:
    """`write(prompt, sample)` is a response's text; `stop_after` calls it is interrupted."""

    write: Callable[[Prompt, int], str]
    stop_after: int = 10**9
    calls: list[dict[str, Any]] = field(default_factory=list)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        samples: int,
        on_tokens: Callable[[int], None] | None = None,
        **settings: Any,
    ) -> list[list[Response]]:
        if len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append({"ids": [prompt.problem.id for prompt in prompts], "samples": samples} | settings)
        texts_PG = [[self.write(prompt, sample) for sample in range(samples)] for prompt in prompts]
        return [
            [Response(t, tuple(map(ord, t)), (0.0,) * len(t), "length" if t.endswith("...") else "stop") for t in texts]
            for texts in texts_PG
        ]


@pytest.fixture
def sums() -> list[Problem]:
    """1 + 1, 2 + 1, ... 10 + 1."""
    return [Problem(f"sums/{n}", "math", f"What is {n} + 1?", str(n + 1)) for n in range(1, 11)]


@pytest.fixture
def plain():
    return TEMPLATES["none"]


@pytest.fixture
def fake_engine() -> type[FakeEngine]:
    return FakeEngine


@pytest.fixture
def fake_policy() -> type[FakePolicy]:
    return FakePolicy
