"""What is asked: tasks by name, each a source of problems split into train and eval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from r1zero.config import TaskConfig, nearest
from r1zero.records import Problem
from r1zero.tasks import datafiles
from r1zero.tasks.countdown import GeneratedCountdown, Split


class Task(Protocol):
    """A source of problems."""

    @property
    def name(self) -> str: ...

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start, ..., start + count - 1 of a split: a pure function of the seed, the split and the index."""
        ...


def build_countdown(config: TaskConfig, seed: int, whole_file: bool) -> Task:
    """Countdown from a file where one is given, generated otherwise."""
    if config.path is None:
        return GeneratedCountdown(config, seed)
    return datafiles.read_countdown(config.path, config.split, seed=seed, whole_file=whole_file)


TASKS: dict[str, Callable[[TaskConfig, int, bool], Task]] = {"countdown": build_countdown}


def build_task(config: TaskConfig, seed: int, *, whole_file: bool = False) -> Task:
    """The task a config names.

    With `whole_file` every row of a file is in both splits: for a file that is only trained on or only evaluated on.
    Without it the rows are split by the same hash that splits generated problems.
    Raises ValueError for an unknown name, an unreadable file, or problems that cannot be solved.
    """
    if config.name not in TASKS:
        raise ValueError(f"unknown task {config.name!r}: {nearest(config.name, TASKS)}")
    return TASKS[config.name](config, seed, whole_file)
