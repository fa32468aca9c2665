"""What is asked: tasks by name, each a source of problems split into train and eval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from r1zero.config import TaskConfig, nearest
from r1zero.records import Problem
from r1zero.tasks import benchmarks, datafiles
from r1zero.tasks.countdown import GeneratedCountdown, Split
from r1zero.tasks.cvbench import read_cvbench
from r1zero.tasks.first_problems import first_problems
from r1zero.tasks.mathematics import read_mathematics
from r1zero.tasks.sat import read_sat
from r1zero.tasks.visual.task import GeneratedVisual
from r1zero.tasks.visual_files import read_visual_file


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


def build_math(config: TaskConfig, seed: int, whole_file: bool) -> Task:
    """Questions with a mathematical answer from a file or Hub data set, which must be given."""
    if config.path is None:
        raise ValueError("task math needs task.path: a parquet or jsonl file, or a Hub id, with problem and answer")
    return read_mathematics(config.path, config.split, name="math", seed=seed, whole_file=whole_file)


def build_gsm8k(config: TaskConfig, seed: int, whole_file: bool) -> Task:
    """GSM8K's training set (its test set is a benchmark), or a file in its form."""
    file = benchmarks.find_file("gsm8k_train")
    path = config.path or (str(file) if file else benchmarks.BENCHMARKS["gsm8k"].hub)
    return read_mathematics(path, config.split, name="gsm8k", seed=seed, whole_file=whole_file)


def build_visual(config: TaskConfig, seed: int, whole_file: bool) -> Task:
    """Questions about rendered pictures, which need no file."""
    return GeneratedVisual(config, seed)


def build_sat(config: TaskConfig, seed: int, whole_file: bool) -> Task:
    """SAT from its parquet file or the Hub."""
    return read_sat(config, seed=seed, whole_file=whole_file)


def build_cvbench(config: TaskConfig, seed: int, whole_file: bool) -> Task:
    """CV-Bench from its parquet files or the Hub."""
    return read_cvbench(config, seed=seed, whole_file=whole_file)


def build_visual_file(config: TaskConfig, seed: int, whole_file: bool) -> Task:
    """Questions with pictures from a file in the shape of VLM-R1, LLaMA-Factory or EasyR1, which must be given."""
    return read_visual_file(config, seed=seed, whole_file=whole_file)


TASKS: dict[str, Callable[[TaskConfig, int, bool], Task]] = {
    "countdown": build_countdown,
    "math": build_math,
    "gsm8k": build_gsm8k,
    "visual": build_visual,
    "sat": build_sat,
    "cvbench": build_cvbench,
    "visual_file": build_visual_file,
}


def build_task(config: TaskConfig, seed: int, *, whole_file: bool = False) -> Task:
    """The task a config names.

    With `whole_file` every row of a file is in both splits: for a file that is only trained on or only evaluated on.
    Without it the rows are split by the same hash that splits generated problems.  With `task.num_train` the training
    problems are only so many, again and again.
    Raises ValueError for an unknown name, an unreadable file, or problems that cannot be solved.
    """
    if config.name not in TASKS:
        raise ValueError(f"unknown task {config.name!r}: {nearest(config.name, TASKS)}")
    task = TASKS[config.name](config, seed, whole_file)
    return first_problems(task, config.num_train, seed) if config.num_train else task
