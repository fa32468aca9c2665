"""The sub-tasks of multiple choices in a run's metrics: before and after, beside what is reached without looking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1zero.statistics.intervals import Interval, mean_interval, t_test


@dataclass(frozen=True)
class SubtaskChange:
    """One sub-task, or `total`, at the first and the last evaluation; fractions, the controls at the last."""

    name: str
    before: Interval
    after: Interval
    chance: float
    prior: float
    blank: float  # NaN where it was not asked
    read: float


def subtask_rows(rows: Sequence[Mapping[str, Any]], suite: str) -> list[SubtaskChange]:
    """From the rows of metrics.jsonl; nothing where the suite has no sub-tasks."""
    prefix = f"eval/{suite}/"
    evaluated = [row for row in rows if f"{prefix}subtask/total" in row]
    if not evaluated:
        return []
    first, last = evaluated[0], evaluated[-1]
    names = [key.removeprefix(f"{prefix}chance/") for key in last if key.startswith(f"{prefix}chance/")]

    def value(row: Mapping[str, Any], key: str) -> float:
        found = row.get(prefix + key)
        return math.nan if found is None else found

    def interval(row: Mapping[str, Any], name: str) -> Interval:
        return Interval(*(value(row, f"subtask/{name}{end}") for end in ("", "_low", "_high")))

    return [
        SubtaskChange(
            name,
            interval(first, name),
            interval(last, name),
            *(value(last, f"{kind}/{name}") for kind in ("chance", "prior", "blank", "read")),
        )
        for name in names
    ]


@dataclass(frozen=True)
class SubtaskGain:
    """One sub-task over several runs: means, and the change with its 95 % t-interval, runs as units."""

    name: str
    before: float
    after: float
    gain: Interval
    p_value: float
    chance: float
    prior: float
    blank: float


def gains(runs: Sequence[Sequence[SubtaskChange]]) -> list[SubtaskGain]:
    """A row for each sub-task that every run has.  `runs` are two or more results of `subtask_rows`."""
    by_run = [{row.name: row for row in rows} for rows in runs]
    found = []
    for name in by_run[0]:
        if not all(name in rows for rows in by_run):
            continue
        mine = [rows[name] for rows in by_run]
        changes = [row.after.estimate - row.before.estimate for row in mine]
        before, after, chance, prior, blank = (
            sum(values) / len(mine)
            for values in (
                [row.before.estimate for row in mine],
                [row.after.estimate for row in mine],
                [row.chance for row in mine],
                [row.prior for row in mine],
                [row.blank for row in mine],
            )
        )
        found.append(SubtaskGain(name, before, after, mean_interval(changes), t_test(changes), chance, prior, blank))
    return found
