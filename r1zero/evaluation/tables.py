"""What an evaluation shows: rows for tables and for JSON, from summaries, published values and probes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1zero.evaluation.contamination import Contamination
from r1zero.evaluation.references import Match
from r1zero.evaluation.subsets import Luck
from r1zero.evaluation.summary import Summary
from r1zero.records import OUTCOMES
from r1zero.statistics.intervals import Interval
from r1zero.tasks import cvbench
from r1zero.tasks.benchmarks import BENCHMARKS

SIZES = {name: benchmark.size for name, benchmark in BENCHMARKS.items()} | {"cvbench": cvbench.SIZE}
MISSING = 0.01  # share of a benchmark's questions that may be missing before it is another benchmark
Table = tuple[list[str], list[list[Any]]]


def as_object(summary: Summary) -> dict[str, Any]:
    """Every number of one benchmark, by the name that JSON gives it."""
    row: dict[str, Any] = {"suite": summary.name, "problems": summary.problems, "left_out": summary.dropped}
    row[f"avg@{summary.samples}"] = summary.accuracy
    row |= {f"pass@{k}": value for k, value in summary.pass_at.items()}
    row |= {f"maj@{k}": value for k, value in summary.majority_at.items()}
    row |= {outcome: summary.share(outcome) for outcome in OUTCOMES}
    row |= {"no_answer_found": summary.format_failures, "ended": summary.ended, "tokens": summary.tokens}
    row |= {"grading_timeouts": summary.grading_timeouts, "grading_failures": summary.grading_failures}
    return row | {f"tokens_{outcome}": summary.tokens_of(outcome) for outcome in OUTCOMES}


def accuracy_table(summaries: Sequence[Summary], macros: Mapping[str, Interval]) -> Table:
    """avg@n, pass@n and maj@n; macro averages below."""
    n = summaries[0].samples
    columns = ["suite", "problems", f"avg@{n}", *([f"pass@{n}", f"maj@{n}"] if n > 1 else [])]
    rows: list[list[Any]] = []
    for summary in summaries:
        counted = f"{summary.problems} (+{summary.dropped} left out)" if summary.dropped else str(summary.problems)
        row: list[Any] = [summary.name, counted, summary.accuracy]
        rows.append(row + ([summary.pass_at[n], summary.majority_at[n]] if n > 1 else []))
    for suite, value in macros.items():
        rows.append([f"mean of {suite}", "", value, *[None] * (len(columns) - 3)])
    return columns, rows


def outcome_table(summaries: Sequence[Summary]) -> Table:
    """The share of each way to fail, and of responses that ended by themselves."""
    failures = OUTCOMES[1:]
    rows = [[s.name, *(s.share(outcome) for outcome in failures), s.ended] for s in summaries]
    return ["share", *failures, "ended"], rows


def length_table(summaries: Sequence[Summary]) -> Table:
    """Tokens of a response, in all and by outcome, with intervals clustered by problem."""
    rows = [[s.name, s.tokens, *(s.tokens_of(outcome) for outcome in OUTCOMES)] for s in summaries]
    return ["tokens", "all", *OUTCOMES], rows


def paper_table(matches: Sequence[Match]) -> Table:
    """Published values beside ours."""
    rows = [[m.reference.benchmark, percent(m.reference.value), percents(m.ours), m.verdict, m.remark] for m in matches]
    return ["suite", "paper, %", "yours, %", "verdict", "paper's value"], rows


def paper_objects(matches: Sequence[Match]) -> list[dict[str, Any]]:
    return [
        {
            "suite": m.reference.benchmark,
            "paper": m.reference.value,
            "yours": m.ours,
            "compatible": m.compatible,
            "verdict": m.verdict,
            "status": m.reference.status,
            "printed": m.reference.printed,
            "is_count": m.reference.is_count,
            "source": m.reference.source,
            "note": m.reference.note,
        }
        for m in matches
    ]


def luck_table(lucks: Sequence[Luck]) -> Table:
    """How often two subsets of 30 questions differ by so much though the model is the same."""
    gaps = list(lucks[0].by_gap) if lucks else []
    columns = ["30 of", "drawn anew", "accuracy", *(f"≥ {percent(gap)} %" for gap in gaps)]
    return columns, [[luck.benchmark, luck.drawn, luck.accuracy, *luck.by_gap.values()] for luck in lucks]


def luck_objects(lucks: Sequence[Luck]) -> list[dict[str, Any]]:
    return [
        {
            "suite": luck.benchmark,
            "drawn": luck.drawn,
            "pool": luck.questions,
            "accuracy": luck.accuracy,
            "difference_sd": luck.spread,
            "by_luck": [{"difference": gap, "share": share} for gap, share in luck.by_gap.items()],
        }
        for luck in lucks
    ]


def contamination_table(probes: Sequence[Contamination]) -> Table:
    """How many truncated questions were completed as they go on."""
    rows = [[probe.benchmark, probe.questions, probe.skipped, probe.exact, probe.near] for probe in probes]
    return ["truncated questions of", "asked", "left out", "completed exactly", "completed nearly"], rows


def contamination_objects(probes: Sequence[Contamination]) -> list[dict[str, Any]]:
    return [
        {
            "suite": probe.benchmark,
            "questions": probe.questions,
            "left_out": probe.skipped,
            "exact": probe.exact,
            "near": probe.near,
            "closest": [
                {"problem_id": c.problem_id, "similarity": c.similarity, "missing": c.missing, "got": c.continuation}
                for c in probe.closest
            ],
        }
        for probe in probes
    ]


def incomplete(summaries: Sequence[Summary]) -> dict[str, str]:
    """Of each benchmark of which more than 1 % of the papers' questions were not asked, how many were."""
    found = {}
    for summary in summaries:
        size = SIZES.get(summary.name, summary.problems)
        if summary.problems < (1 - MISSING) * size:
            found[summary.name] = f"{summary.problems} of {size} questions"
    return found


def percent(fraction: float) -> str:
    """A fraction as percent with one digit; a dash where it is undefined.

    >>> percent(0.433), percent(-1e-9), percent(float("nan"))
    ('43.3', '0.0', '–')
    """
    return f"{round(100 * fraction, 1) + 0.0:.1f}" if math.isfinite(fraction) else "–"


def percents(interval: Interval) -> str:
    """An interval of fractions as percent.

    >>> percents(Interval(0.4333, 0.2738, 0.608))
    '43.3 [27.4, 60.8]'
    """
    return f"{percent(interval.estimate)} [{percent(interval.low)}, {percent(interval.high)}]"
