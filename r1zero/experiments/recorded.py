"""A run as its directory tells it: config, metrics and evaluations, read once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import polars as pl

from r1zero.config import TrainConfig, flatten
from r1zero.statistics.intervals import Interval, accuracy_interval
from r1zero.store import part_path, read_config, read_metrics, read_rollouts

ACCURACY = re.compile(r"eval/(.+)/accuracy")


@dataclass(frozen=True)
class RecordedRun:
    """Example: RecordedRun(Path("runs/a"), saved={"config": {...}, "versions": {...}}, rows=({"step": 0, ...}, ...))"""

    dir: Path
    saved: Mapping[str, Any]  # config.json
    rows: tuple[Mapping[str, Any], ...]  # metrics.jsonl, one row a step

    @property
    def name(self) -> str:
        return self.dir.resolve().name

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every knob by its full name, such as "learner.lr"."""
        return dict(_leaves(self.saved["config"]))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The same, with the default of every knob that is younger than the run."""
        return _defaults() | self.config

    @property
    def seed(self) -> int | None:
        return self.config.get("seed")

    @property
    def last_step(self) -> int:
        return max(row["step"] for row in self.rows)

    @property
    def planned_steps(self) -> int:
        return int(self.config.get("steps", self.last_step))

    @cached_property
    def suites(self) -> list[str]:
        """Names of the held-out suites, in the order first seen."""
        names = (match[1] for row in self.rows for key in row if (match := ACCURACY.fullmatch(key)))
        return list(dict.fromkeys(names))

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one metric, where it was written; undefined values are NaN."""
        pairs = [(row["step"], row[name]) for row in self.rows if name in row]
        return [step for step, _ in pairs], [value for _, value in pairs]

    def has(self, name: str) -> bool:
        """Whether the metric has a value anywhere."""
        return any(math.isfinite(value) for value in self.series(name)[1])

    def evaluation_steps(self, suite: str) -> list[int]:
        """Steps at which the suite was evaluated and its rollouts are still there."""
        steps, _ = self.series(f"eval/{suite}/accuracy")
        return [step for step in steps if part_path(self.dir, "eval", step).exists()]

    def evaluation(self, suite: str, step: int) -> pl.DataFrame:
        """The suite's rollouts at a step: the rows of its task, or all of them where it is the only suite."""
        rollouts = read_rollouts(part_path(self.dir, "eval", step))
        return (rollouts if len(self.suites) == 1 else rollouts.filter(pl.col("task") == suite)).collect()


def load_run(run_dir: str | Path) -> RecordedRun:
    """Read a run directory.  Raises ValueError naming what is missing and the remedy."""
    path = Path(run_dir)
    if not path.is_dir():
        raise ValueError(f"no run directory {run_dir}: give one that `r1zero train` wrote")
    saved, rows = read_config(path), read_metrics(path)
    if not rows:
        raise ValueError(f"{path} has no finished step yet: metrics.jsonl is empty")
    return RecordedRun(path, saved, tuple(rows))


def problem_shares(evaluation: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """problem_id -> (correct responses, responses), in the order stored."""
    table = evaluation.group_by("problem_id", maintain_order=True).agg(pl.col("correct").sum(), pl.len().alias("n"))
    return {name: (correct, n) for name, correct, n in table.select("problem_id", "correct", "n").iter_rows()}


def accuracy(evaluation: pl.DataFrame) -> Interval:
    """Accuracy (avg@k) of stored rollouts, clustered by problem."""
    shares = problem_shares(evaluation).values()
    return accuracy_interval([correct for correct, _ in shares], [n for _, n in shares])


@cache
def _defaults() -> dict[str, Any]:
    """Every knob's default, as JSON has it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flatten(TrainConfig()).items()}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
