"""What interventions did: paired differences of P(correct) and of tokens, from a table of continuations.

A prefix is continued several times in each arm; its effect is the difference of the arms' means, so whatever makes one
problem or prefix easier than another cancels.  Prefixes of one problem are not independent: intervals draw whole
problems anew, tests flip whole problems.

Letters: N prefixes, P problems, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from r1zero.statistics.intervals import (
    NOTHING,
    Interval,
    cluster_interval,
    exact_interval,
    holm,
    minimum_detectable_effect,
    ratio_interval,
    sign_flip_test,
)

RESAMPLES = 4000
COLUMNS = ("kind", "arm", "prefix", "problem_id", "correct", "tokens")


@dataclass(frozen=True)
class Contrast:
    """Two arms to be compared at one kind of place: P(correct | arm) - P(correct | against).

    Example: Contrast("kept - banned", kind="cue", arm="kept", against="banned")
    """

    name: str
    kind: str
    arm: str
    against: str
    placebo: str | None = None  # the kind of place whose difference is taken off: difference in differences
    in_family: bool = True  # whether its p-value is one of those that Holm's correction counts


@dataclass(frozen=True)
class Effect:
    """What a contrast came to."""

    contrast: Contrast
    accuracy: Interval  # difference of the chance to end right
    p_value: float  # sign flips of whole problems
    p_holm: float  # corrected for the family; NaN outside of it
    tokens: Interval  # difference of tokens from the intervention on
    prefixes: int
    problems: int
    detectable: float  # the true difference that so many problems would show with probability .8


@dataclass(frozen=True)
class Arm:
    """One arm at one kind of place, by itself."""

    kind: str
    name: str
    accuracy: Interval
    tokens: Interval  # from the intervention on
    truncated: Interval
    cues: Interval  # share of continuations with a cue in what was sampled
    continuations: int


def arms(records: pl.DataFrame, wanted: Sequence[tuple[str, str]], *, seed: int = 0) -> tuple[Arm, ...]:
    """The (kind, arm) pairs wanted, in that order, with means clustered by problem; those without records are left out.

    Reads the columns `truncated` and `cued` besides COLUMNS.
    """
    found = []
    for kind, arm in wanted:
        rows = records.filter(pl.col("kind") == kind, pl.col("arm") == arm)
        problems = rows["problem_id"].to_numpy()
        correct, truncated, cued = (share(rows, name) for name in ("correct", "truncated", "cued"))
        tokens = cluster_interval(rows["tokens"].to_numpy(), problems, seed=seed)
        if rows.height:
            found.append(Arm(kind, arm, correct, tokens, truncated, cued, rows.height))
    return tuple(found)


def share(rows: pl.DataFrame, column: str) -> Interval:
    """The share of rows in which a statement holds, clustered by problem."""
    own = rows.group_by("problem_id", maintain_order=True).agg(hits=pl.col(column).sum(), rows=pl.len())
    return ratio_interval(own["hits"].to_numpy(), own["rows"].to_numpy())


def effects(records: pl.DataFrame, contrasts: Sequence[Contrast], *, seed: int = 0) -> tuple[Effect, ...]:
    """Every contrast, with Holm's correction over those of the family that are defined.

    `records` has the columns COLUMNS, one row a continuation; prefixes that lack one of the two arms are left out.
    """
    found = [effect(records, contrast, seed=seed) for contrast in contrasts]
    family = [one.p_value if one.contrast.in_family else math.nan for one in found]
    return tuple(replace(one, p_holm=p) for one, p in zip(found, holm(family), strict=True))


def effect(records: pl.DataFrame, contrast: Contrast, *, seed: int = 0) -> Effect:
    """One contrast.  NaN where no prefix has both arms."""
    own = paired(records, contrast.kind, contrast.arm, contrast.against)
    if contrast.placebo is not None:
        return _corrected(contrast, own, paired(records, contrast.placebo, contrast.arm, contrast.against), seed)
    problems = own["problem_id"].to_numpy()
    sums_P = own.group_by("problem_id", maintain_order=True).agg(pl.col("correct").sum())["correct"].to_numpy()
    return Effect(
        contrast,
        _mean_difference(own["correct"].to_numpy(), problems, seed),
        sign_flip_test(sums_P, seed=seed) if own.height else math.nan,
        math.nan,
        cluster_interval(own["tokens"].to_numpy(), problems, seed=seed, resamples=RESAMPLES),
        own.height,
        sums_P.size,
        _detectable(own["correct"].to_numpy(), problems),
    )


def paired(records: pl.DataFrame, kind: str, arm: str, against: str) -> pl.DataFrame:
    """Mean in `arm` minus mean in `against`, one row a prefix that has both: prefix, problem_id, correct, tokens."""
    means = (
        records.filter(pl.col("kind") == kind, pl.col("arm").is_in([arm, against]))
        .group_by("prefix", "problem_id", "arm", maintain_order=True)
        .agg(pl.col("correct", "tokens").cast(pl.Float64).mean())
    )
    first, second = (means.filter(pl.col("arm") == name) for name in (arm, against))
    both = first.join(second, on=["prefix", "problem_id"], suffix="_against", maintain_order="left")
    return both.select(
        "prefix", "problem_id", *(pl.col(name) - pl.col(f"{name}_against") for name in ("correct", "tokens"))
    )


def _corrected(contrast: Contrast, own: pl.DataFrame, placebo: pl.DataFrame, seed: int) -> Effect:
    """The mean difference at own places minus that at placebo places.

    Problems are drawn anew with all their places of both kinds.  The test flips whole problems, each by what it adds
    to the difference; where every problem has as many places of both kinds, that swaps which are called placebo.
    """
    names = sorted({*own["problem_id"], *placebo["problem_id"]})
    if not own.height or not placebo.height:
        return Effect(contrast, NOTHING, math.nan, math.nan, NOTHING, own.height, len(names), math.nan)
    correct, tokens = (_Two.of(own, placebo, names, column) for column in ("correct", "tokens"))
    interval = correct.interval(seed)
    if interval.low == interval.high:  # no place differs from another of its kind
        first, second = (
            _mean_difference(rows["correct"].to_numpy(), rows["problem_id"].to_numpy(), seed) for rows in (own, placebo)
        )
        interval = replace(interval, low=first.low - second.high, high=first.high - second.low)
    return Effect(
        contrast,
        interval,
        sign_flip_test(correct.under_no_difference(), seed=seed),
        math.nan,
        tokens.interval(seed),
        own.height,
        len(names),
        minimum_detectable_effect(correct.spread(), len(names)),
    )


@dataclass(frozen=True)
class _Two:
    """Sums and counts by problem, of own places and of placebo places."""

    sums_2P: np.ndarray
    counts_2P: np.ndarray

    @staticmethod
    def of(own: pl.DataFrame, placebo: pl.DataFrame, names: Sequence[str], column: str) -> _Two:
        place = {name: index for index, name in enumerate(names)}
        sums, counts = [], []
        for rows in (own, placebo):
            index = np.array([place[name] for name in rows["problem_id"]])
            sums.append(np.bincount(index, weights=rows[column].to_numpy(), minlength=len(names)))
            counts.append(np.bincount(index, minlength=len(names)).astype(float))
        return _Two(np.stack(sums), np.stack(counts))

    def interval(self, seed: int) -> Interval:
        """Difference of means with percentiles of a bootstrap over problems."""
        rng, size = np.random.default_rng(seed), self.sums_2P.shape[1]
        estimate = float(_difference(self.sums_2P.sum(1)[None], self.counts_2P.sum(1)[None])[0])
        if size < 2:
            return Interval(estimate, math.nan, math.nan)
        weights_RP = rng.multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(float)
        drawn_R = _difference(weights_RP @ self.sums_2P.T, weights_RP @ self.counts_2P.T)
        low, high = np.nanquantile(drawn_R, [0.025, 0.975])
        return Interval(estimate, float(low), float(high))

    def under_no_difference(self) -> np.ndarray:
        """What each problem adds to the difference of means, taken from the mean of all places; the sum is it.  [P]

            (sum_own - m count_own) / N_own - (sum_placebo - m count_placebo) / N_placebo

        Flipping these signs keeps the two numbers of places as they are.  Swapping what is called placebo would not,
        and finds too much where there are few placebo places.
        """
        mean = self.sums_2P.sum() / self.counts_2P.sum()
        return self._shares(np.full((2, 1), mean))

    def spread(self) -> float:
        """Standard deviation over problems, scaled so that over sqrt(P) it is the standard error of the difference."""
        if self.sums_2P.shape[1] < 2:
            return math.nan
        shares_P = self._shares(self.sums_2P.sum(1, keepdims=True) / self.counts_2P.sum(1, keepdims=True))
        return float(shares_P.std(ddof=1)) * shares_P.size

    def _shares(self, means_21: np.ndarray) -> np.ndarray:
        own_P, placebo_P = (self.sums_2P - means_21 * self.counts_2P) / self.counts_2P.sum(1, keepdims=True)
        return own_P - placebo_P


def _difference(sums_R2: np.ndarray, counts_R2: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        means_R2 = sums_R2 / counts_R2
    return means_R2[:, 0] - means_R2[:, 1]


def _mean_difference(values_N: np.ndarray, problems_N: np.ndarray, seed: int) -> Interval:
    """The mean of differences between -1 and 1, with a bootstrap over problems.

    Where all are the same, c, a bootstrap has no width. Then at most a share u of all problems has others (the exact
    bound for 0 of P), which lie between -1 and 1: from (1 - u) c - u to (1 - u) c + u.
    """
    if values_N.size and np.ptp(values_N) < 1e-12 and (size := np.unique(problems_N).size) > 1:
        other, same = exact_interval(0, size).high, float(values_N[0])
        return Interval(same, (1 - other) * same - other, (1 - other) * same + other)
    return cluster_interval(values_N, problems_N, seed=seed, resamples=RESAMPLES)


def _detectable(values_N: np.ndarray, problems_N: np.ndarray) -> float:
    """From the spread of problem sums, scaled so that all problems count alike."""
    if values_N.size == 0:
        return math.nan
    _, index = np.unique(problems_N, return_inverse=True)
    sums, counts = np.bincount(index, weights=values_N), np.bincount(index)
    influence = (sums - values_N.mean() * counts) / counts.mean()
    return minimum_detectable_effect(float(influence.std(ddof=1)) if influence.size > 1 else 0.0, influence.size)
