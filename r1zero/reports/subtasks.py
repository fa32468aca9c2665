"""The sub-tasks of multiple choices in a run's metrics: before and after, beside what is reached without looking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1zero.statistics.intervals import Interval


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
