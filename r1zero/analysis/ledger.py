"""The outcome ledger: every response is correct, wrong, unformatted or truncated, and lengths move for two reasons.

The mean length of responses is the sum over outcomes of (share) x (mean length).  So it changes because responses of
an outcome grow or shrink (within), or because outcomes become more or less frequent (mix); `decompose_length` splits a
change exactly.  "Responses got longer" is often all mix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from r1zero.records import OUTCOMES, Outcome, Rollout
from r1zero.statistics.intervals import Interval, accuracy_interval, cluster_interval


@dataclass(frozen=True)
class LedgerRow:
    outcome: Outcome
    count: int
    share: Interval  # of all responses, clustered by problem
    tokens_mean: Interval  # tokens per response of this outcome; NaN where there is none


def with_outcome(rollouts: pl.LazyFrame | pl.DataFrame) -> pl.DataFrame:
    """The rollouts with a column `outcome`, by the rule of `records.outcome`; rows without a grade are left out."""
    by_rule = (
        pl.when(pl.col("correct"))
        .then(pl.lit("correct"))
        .when(pl.col("finish_reason") == "length")
        .then(pl.lit("truncated"))
        .when(pl.col("formatted"))
        .then(pl.lit("wrong"))
        .otherwise(pl.lit("unformatted"))
    )
    return rollouts.lazy().filter(pl.col("correct").is_not_null()).with_columns(outcome=by_rule).collect()


def outcome_ledger(rollouts: pl.LazyFrame | pl.DataFrame) -> list[LedgerRow]:
    """Count, share and mean tokens of each outcome, with 95 % intervals clustered by problem; one row an outcome."""
    frame = with_outcome(rollouts)
    rows = []
    for outcome in OUTCOMES:
        is_outcome = pl.col("outcome") == outcome
        by_problem = frame.group_by("problem_id", maintain_order=True).agg(
            is_outcome.sum().alias("hits"), pl.len().alias("n")
        )
        own = frame.filter(is_outcome)
        share = accuracy_interval(by_problem["hits"].to_numpy(), by_problem["n"].to_numpy())
        tokens = cluster_interval(own["num_tokens"].to_numpy(), own["problem_id"].to_numpy())
        rows.append(LedgerRow(outcome, own.height, share, tokens))
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# Why the mean length moved


@dataclass(frozen=True)
class LengthReference:
    """How often each outcome occurs and how long its responses are; the mean length follows from both.

    Example: LengthReference(shares={"correct": 0.2, ...}, tokens_mean={"correct": 60.0, ...})
    """

    shares: Mapping[Outcome, float]  # sum to 1
    tokens_mean: Mapping[Outcome, float]  # NaN where the share is 0

    @property
    def mean(self) -> float:
        """Tokens per response, over all outcomes."""
        return sum(self.shares[o] * self.tokens_mean[o] for o in OUTCOMES if self.shares[o] > 0)

    def to_dict(self) -> dict[str, dict[str, float | None]]:
        """Plain values for JSON; an undefined mean becomes null."""
        return {
            "shares": {o: float(self.shares[o]) for o in OUTCOMES},
            "tokens_mean": {
                o: None if math.isnan(self.tokens_mean[o]) else float(self.tokens_mean[o]) for o in OUTCOMES
            },
        }

    @staticmethod
    def from_dict(saved: Mapping[str, Mapping[str, Any]]) -> LengthReference:
        """The inverse of `to_dict`.  Raises ValueError when outcomes are missing."""
        try:
            tokens = {
                o: math.nan if saved["tokens_mean"][o] is None else float(saved["tokens_mean"][o]) for o in OUTCOMES
            }
            return LengthReference({o: float(saved["shares"][o]) for o in OUTCOMES}, tokens)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a saved length reference ({error!r} is missing)") from error


def length_reference(rollouts: Sequence[Rollout]) -> LengthReference:
    """Shares and mean lengths by outcome of some rollouts, to compare later ones with."""
    return _reference([(rollout.outcome, rollout.response.num_tokens) for rollout in rollouts])


def frame_reference(rollouts: pl.LazyFrame | pl.DataFrame) -> LengthReference:
    """`length_reference` of stored rollouts."""
    frame = with_outcome(rollouts)
    return _reference(list(zip(frame["outcome"].to_list(), frame["num_tokens"].to_list(), strict=True)))


def _reference(outcome_tokens: Sequence[tuple[Outcome, int]]) -> LengthReference:
    if not outcome_tokens:
        raise ValueError("no rollouts: lengths of nothing have no mean")
    tokens: dict[Outcome, list[int]] = {outcome: [] for outcome in OUTCOMES}
    for outcome, count in outcome_tokens:
        tokens[outcome].append(count)
    return LengthReference(
        {o: len(tokens[o]) / len(outcome_tokens) for o in OUTCOMES},
        {o: sum(tokens[o]) / len(tokens[o]) if tokens[o] else math.nan for o in OUTCOMES},
    )


@dataclass(frozen=True)
class LengthChange:
    """Tokens per response gained from `before` to `after`; within + mix = total, without a residual."""

    total: float
    within: Mapping[Outcome, float]  # responses of this outcome became longer or shorter
    mix: Mapping[Outcome, float]  # this outcome became more or less frequent

    @property
    def within_total(self) -> float:
        return sum(self.within.values())

    @property
    def mix_total(self) -> float:
        return sum(self.mix.values())


def decompose_length(before: LengthReference, after: LengthReference) -> LengthChange:
    """The change of mean length, split exactly into within-outcome and mix parts.

        within = sum_o (p0_o + p1_o)/2 (L1_o - L0_o)        mix = sum_o (L0_o + L1_o)/2 (p1_o - p0_o)

    Kitagawa 1955, JASA 50:1168, with p the shares and L the mean lengths.  An outcome absent on one side has no mean
    length there and takes the other side's: its appearance or disappearance is all mix, and the sum stays exact.
    """
    within, mix = {}, {}
    for o in OUTCOMES:
        p0, p1 = before.shares[o], after.shares[o]
        length_0 = before.tokens_mean[o] if p0 > 0 else after.tokens_mean[o]
        length_1 = after.tokens_mean[o] if p1 > 0 else length_0
        if p0 == p1 == 0:
            length_0 = length_1 = 0.0
        within[o] = (p0 + p1) / 2 * (length_1 - length_0)
        mix[o] = (length_0 + length_1) / 2 * (p1 - p0)
    return LengthChange(after.mean - before.mean, within, mix)
