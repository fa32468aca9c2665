"""What an evaluation's rollouts say, benchmark by benchmark and on the mean over benchmarks.

P problems with n responses each.  Every interval is 95 % and counts problems, not responses, as independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.ledger import LedgerRow, outcome_ledger
from r1zero.evaluation.suites import Entry
from r1zero.grading.pool import is_failure, is_timeout
from r1zero.statistics.intervals import (
    NOTHING,
    Interval,
    accuracy_interval,
    cluster_interval,
    pass_at_k,
    share_interval,
)
from r1zero.statistics.votes import majority_at_k
from r1zero.tasks.benchmarks import SUITES

NEEDED = ("problem_id", "sample", "correct", "formatted", "extracted", "reason", "finish_reason", "num_tokens")


@dataclass(frozen=True)
class Summary:
    """One benchmark.  Undefined numbers (tokens of an outcome nobody had, pass@k beyond n) are NaN."""

    name: str
    problems: int
    dropped: int  # problems left out because their prompt leaves no room for a response
    samples: int  # n
    accuracy: Interval  # avg@n; Wilson's interval where n is 1
    pass_at: Mapping[int, Interval]  # k -> pass@k, unbiased
    majority_at: Mapping[int, Interval]  # k -> maj@k
    ledger: Sequence[LedgerRow]  # share and tokens of each outcome
    format_failures: Interval  # share of responses in which no answer was found, truncated ones included
    ended: Interval  # share of responses that ended by themselves: end token or stop string
    tokens: Interval  # a response
    grading_timeouts: int  # answers that count as wrong because comparing them took too long
    grading_failures: int  # and those whose comparison broke off for another cause

    def share(self, outcome: str) -> Interval:
        return next(row.share for row in self.ledger if row.outcome == outcome)

    def tokens_of(self, outcome: str) -> Interval:
        return next(row.tokens_mean for row in self.ledger if row.outcome == outcome)


def powers(n: int) -> list[int]:
    """2, 4, 8 ... up to n, and n itself: the k that are reported.

    >>> powers(1), powers(8), powers(12)
    ([], [2, 4, 8], [2, 4, 8, 12])
    """
    return sorted({2**i for i in range(1, n.bit_length()) if 2**i <= n} | ({n} if n > 1 else set()))


def summarise(name: str, rollouts: pl.DataFrame, *, samples: int, dropped: int = 0) -> Summary:
    """The summary of one benchmark's rollouts (columns NEEDED)."""
    rows = rollouts.sort("problem_id", "sample", maintain_order=True)
    groups = rows.group_by("problem_id", maintain_order=True).agg("correct", "extracted").to_dicts()
    right_P = [sum(group["correct"]) for group in groups]
    count_P = [len(group["correct"]) for group in groups]
    pass_at, majority_at = {}, {}
    for k in powers(samples):
        pass_at[k] = share_interval([pass_at_k(n, c, k) for n, c in zip(count_P, right_P, strict=True)], count_P)
        majority = [majority_at_k(group["extracted"], group["correct"], k) for group in groups]
        majority_at[k] = share_interval(majority, [1] * len(groups) if k == samples else count_P)
    return Summary(
        name=name,
        problems=len(groups),
        dropped=dropped,
        samples=samples,
        accuracy=accuracy_interval(right_P, count_P),
        pass_at=pass_at,
        majority_at=majority_at,
        ledger=outcome_ledger(rows),
        format_failures=_share(rows, ~pl.col("formatted")),
        ended=_share(rows, pl.col("finish_reason") == "stop"),
        tokens=cluster_interval(rows["num_tokens"].to_numpy(), rows["problem_id"].to_numpy()),
        grading_timeouts=sum(map(is_timeout, rows["reason"])),
        grading_failures=sum(map(is_failure, rows["reason"])),
    )


def _share(rows: pl.DataFrame, condition: pl.Expr) -> Interval:
    by_problem = rows.group_by("problem_id", maintain_order=True).agg(hits=condition.sum(), n=pl.len())
    return accuracy_interval(by_problem["hits"].to_numpy(), by_problem["n"].to_numpy())


def macro(intervals: Sequence[Interval]) -> Interval:
    """The mean over benchmarks of independent estimates, each weighing the same.

    Low is the mean minus sqrt(sum of (estimate - low)²) / B, high alike (MOVER; Zou and Donner 2008, Statistics in
    Medicine 27:1693).  NaN where a benchmark's is.

    >>> str(macro([Interval(0.5, 0.2, 0.8), Interval(0.1, 0.1, 0.5)]))
    '.30 [.15, .55]'
    """
    if not intervals or any(math.isnan(interval.estimate) for interval in intervals):
        return NOTHING
    low = math.hypot(*(i.estimate - i.low for i in intervals)) / len(intervals)
    high = math.hypot(*(i.high - i.estimate for i in intervals)) / len(intervals)
    centre = sum(i.estimate for i in intervals) / len(intervals)
    return Interval(centre, max(0.0, centre - low), min(1.0, centre + high))


def summarise_all(
    entries: Sequence[Entry], rollouts: pl.DataFrame, *, samples: int, dropped: Sequence[str] = ()
) -> list[Summary]:
    """One summary an entry, in order; an entry of which nothing could be asked has a summary of nothing."""
    left_out = set(dropped)
    summaries = []
    for entry in entries:
        ids = [problem.id for problem in entry.problems]
        own = rollouts.filter(pl.col("problem_id").is_in(ids))
        summaries.append(
            summarise(entry.name, own, samples=samples, dropped=sum(problem_id in left_out for problem_id in ids))
        )
    return summaries


def macros(summaries: Sequence[Summary]) -> dict[str, Interval]:
    """avg@n over each suite that was asked whole, and over all benchmarks where that is something else."""
    by_name = {summary.name: summary.accuracy for summary in summaries}
    found = {
        suite: macro([by_name[name] for name in names]) for suite, names in SUITES.items() if set(names) <= set(by_name)
    }
    if len(by_name) > 1 and all(set(names) != set(by_name) for names in SUITES.values()):
        found["all"] = macro(list(by_name.values()))
    return found


def right_by_problem(rollouts: pl.DataFrame) -> dict[str, np.ndarray]:
    """Right or wrong of each response, by problem, samples in order."""
    rows = rollouts.sort("problem_id", "sample", maintain_order=True)
    grouped = rows.group_by("problem_id", maintain_order=True).agg("correct")
    return {row["problem_id"]: np.asarray(row["correct"], bool) for row in grouped.to_dicts()}
