"""A task whose training problems are few: how many samples does learning need?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1zero.records import Problem
from r1zero.tasks.countdown import Split
from r1zero.tasks.datafiles import rows_at


@dataclass(frozen=True)
class FirstProblems:
    """The first training problems of another task, over and over, in another order each time; its evaluation as it is.

    Of a file the first ones are drawn by the seed, since its rows are shuffled by it.
    """

    task: Any  # the task that is limited
    seed: int
    first: Sequence[Problem]

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def left_out(self) -> Mapping[str, int]:
        """Why rows of its file were left out, and how many."""
        return getattr(self.task, "left_out", {})

    @property
    def rows(self) -> dict[Split, Sequence[Problem]]:
        """What one pass over the training problems is."""
        return {"train": self.first, "eval": ()}

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start, ..., start + count - 1; `train` goes on for ever, `eval` is the task's own."""
        if split == "eval":
            return self.task.problems(split, start, count)
        return rows_at(self.name, self.first, split, self.seed, start, count)


def first_problems(task: Any, count: int, seed: int) -> FirstProblems:
    """The task with `count` training problems.  Raises ValueError where a file has fewer."""
    rows = getattr(task, "rows", None)
    if rows is not None and len(rows["train"]) < count:
        raise ValueError(f"task.num_train={count}: {task.name} has {len(rows['train'])} training problems; lower it")
    return FirstProblems(task, seed, tuple(task.problems("train", 0, count)))
