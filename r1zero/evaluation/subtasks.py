"""Multiple-choice questions of several kinds: each sub-task by itself, beside what is reached without looking.

An average hides a sub-task at chance, and a response whose answer cannot be read looks like a wrong one: chance, the
best blind guess and the share of readable answers stand beside every accuracy.  CV-Bench has two totals in use: micro,
the share of all 2,638 questions (VisualThinker-R1-Zero, GPG, lmms-eval), and official, Cambrian-1's
((ADE20K + COCO) / 2 + Omni3D) / 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from r1zero.evaluation.summary import macro
from r1zero.grading import extract, task_of
from r1zero.grading.choices import chosen, read_gold
from r1zero.records import Problem
from r1zero.statistics.intervals import Interval, accuracy_interval

FLAT, DEEP = ("ADE20K", "COCO"), "Omni3D"  # sources of CV-Bench's 2D and 3D questions
NEEDED = ("problem_id", "correct", "extracted", "response")


@dataclass(frozen=True)
class SubtaskRow:
    """One sub-task, or a total over all.  Fractions."""

    name: str
    problems: int
    accuracy: Interval
    chance: float  # one of the choices at random
    prior: float  # in each sub-task the place among the choices that is right most often there
    read: Interval  # share of responses that name exactly one choice, be it the right one
    tagged: Interval  # share of responses with <answer>...</answer>


def subtask_rows(problems: Sequence[Problem], rollouts: pl.DataFrame) -> list[SubtaskRow]:
    """A row for each sub-task, the micro total, and the official total where the sources of CV-Bench are known.

    `rollouts` has the columns NEEDED.  Problems without responses are left out; nothing comes back where the problems
    are no multiple choices of named sub-tasks.
    """
    known = {p.id: p for p in problems if "subtask" in p.fields and task_of(p.gold) == "choices"}
    if not known:
        return []
    facts = _facts(known, rollouts.filter(pl.col("problem_id").is_in(list(known))))
    if facts.is_empty():
        return []
    parts = facts.partition_by("subtask", maintain_order=True)
    rows = [_row(part["subtask"][0], part) for part in parts]
    total = _row("total", facts)
    total = replace(total, prior=sum(row.prior * row.problems for row in rows) / total.problems)
    by_source = {part["source"][0]: _row(part["source"][0], part) for part in facts.partition_by("source")}
    return [*rows, total, *([official(by_source)] if set(by_source) == {*FLAT, DEEP} else [])]


def official(by_source: dict[str, SubtaskRow]) -> SubtaskRow:
    """Cambrian-1's total: photos of two sources weigh a quarter each, those in depth a half."""

    def weighed(name: str) -> Interval:
        flat = macro([getattr(by_source[source], name) for source in FLAT])
        return macro([flat, getattr(by_source[DEEP], name)])

    chance = sum(by_source[source].chance for source in FLAT) / 4 + by_source[DEEP].chance / 2
    count = sum(row.problems for row in by_source.values())
    return SubtaskRow("official", count, weighed("accuracy"), chance, float("nan"), weighed("read"), weighed("tagged"))


def _facts(known: dict[str, Problem], rollouts: pl.DataFrame) -> pl.DataFrame:
    """One row a response, with what it shows and what its problem is."""
    rows: list[dict[str, Any]] = []
    for row in rollouts.select(NEEDED).iter_rows(named=True):
        problem = known[row["problem_id"]]
        gold = read_gold(problem.gold)
        named = chosen(row["extracted"] or "", gold.choices, letters=gold.letters)
        rows.append(
            {
                "problem_id": problem.id,
                "subtask": str(problem.fields["subtask"]),
                "source": str(problem.fields.get("source")),
                "place": gold.answer,
                "chance": 1 / len(gold.choices),
                "correct": row["correct"],
                "read": isinstance(named, int),
                "tagged": extract(row["response"], "answer_first") is not None,
            }
        )
    return pl.DataFrame(rows)


def _row(name: str, facts: pl.DataFrame) -> SubtaskRow:
    by_problem = facts.group_by("problem_id", maintain_order=True).agg(
        pl.col("correct", "read", "tagged").sum(), pl.col("chance", "place").first(), n=pl.len()
    )
    count = by_problem["n"].to_numpy()
    accuracy, read, tagged = (
        accuracy_interval(by_problem[column].to_numpy(), count) for column in ("correct", "read", "tagged")
    )
    prior = max(Counter(by_problem["place"]).values()) / len(by_problem)
    chance = float(by_problem["chance"].to_numpy().mean())
    return SubtaskRow(name, len(by_problem), accuracy, chance, prior, read, tagged)


def subtask_table(rows: Sequence[SubtaskRow]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for the console and the page."""
    columns = ["sub-task", "problems", "accuracy", "chance", "blind prior", "choice read", "answer tags"]
    return columns, [[r.name, r.problems, r.accuracy, r.chance, r.prior, r.read, r.tagged] for r in rows]
