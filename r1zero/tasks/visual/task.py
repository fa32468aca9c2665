"""Visual questions as a task: `train` is an endless stream of its seed, `eval` one fixed list, kinds in turn."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from r1zero.config import TaskConfig, nearest
from r1zero.records import Problem
from r1zero.tasks.visual.questions import QUESTIONS, draw_question, make_problem


@dataclass(frozen=True)
class GeneratedVisual:
    """Questions about rendered scenes.  Evaluation's layouts occur in no training stream."""

    config: TaskConfig
    seed: int
    name: str = "visual"

    def __post_init__(self) -> None:
        if not self.config.questions:
            raise ValueError(f"task.questions is empty: name some of {', '.join(QUESTIONS)}")
        for kind in self.config.questions:
            if kind not in QUESTIONS:
                raise ValueError(f"task.questions: no kind of question {kind!r}: {nearest(kind, QUESTIONS)}")

    def problems(self, split: Literal["train", "eval"], start: int, count: int) -> list[Problem]:
        """Problems start, ..., start + count - 1 of the split; problem i is of kind i modulo the number of kinds."""
        kinds = self.config.questions
        made = []
        for index in range(start, start + count):
            stream = "visual eval" if split == "eval" else f"visual train {self.seed}"
            rng = random.Random(f"{stream} {index}")
            question = draw_question(rng, kinds[index % len(kinds)], held_out=split == "eval")
            made.append(make_problem(question, suffix=f"#{index}"))
        return made
