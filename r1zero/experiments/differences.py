"""How far two arms are apart, measure by measure: over seeds, and over problems.

The two answer different questions.  *Over seeds* (Student's t) says what other training runs would do; it needs several
seeds.  *Over problems* (paired bootstrap) takes the trained models as they are and says what other held-out problems
would show; a difference that is sure over problems can still be luck of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from r1zero.experiments.arms import Arm, paired_runs
from r1zero.experiments.measures import MEASURES, SHARES, Measured
from r1zero.experiments.resampling import (
    Pair,
    bootstrapped,
    label_swapped,
    mean_differences,
    same_problems,
    spreads,
    swap_p_values,
)
from r1zero.statistics.intervals import (
    NOTHING,
    Interval,
    PairedDifference,
    holm,
    mean_interval,
    minimum_detectable_effect,
    paired_difference,
    sign_flip_test,
    t_test,
)


@dataclass(frozen=True)
class Paired:
    """A paired difference at one level; NaN where it is undefined."""

    interval: Interval  # 95 %
    p_value: float
    p_holm: float  # corrected over the measures of these two arms on this suite
    detectable: float  # the true difference that would be found with 80 % power, given this spread and number
    count: int  # seeds or problems
    better: int  # seeds or problems where `other` has the larger value
    worse: int
    tied: int
    method: str


@dataclass(frozen=True)
class MeasureDifference:
    """`other` minus `baseline` in one measure of `MEASURES`."""

    measure: str
    baseline_value: float  # mean over the paired runs
    other_value: float
    over_seeds: Paired
    over_problems: Paired
    sign_flip_p: float  # over seeds, without assuming a normal spread; cannot fall below 2^(1 - seeds)


@dataclass(frozen=True)
class ArmDifference:
    """Two arms on one suite, paired by seed and by problem."""

    baseline: str
    other: str
    num_seeds: int  # pairs of runs
    shared_problems: bool  # whether all seeds were evaluated on the same problems
    measures: tuple[MeasureDifference, ...]

    @property
    def accuracy(self) -> MeasureDifference:
        return self.measures[0]


def compare_arms(
    baseline: Arm, other: Arm, measured: Mapping[Path, Measured], *, greedy: bool, seed: int = 0
) -> ArmDifference:
    """Every measure of `other` against `baseline`; `measured` holds each run's evaluation by its directory.

    Raises ValueError where no runs pair, or where a pair was evaluated on different problems.
    """
    pairs = [(measured[a.dir], measured[b.dir]) for a, b in paired_runs(baseline, other)]
    pairs = [(a, b.in_order_of(a)) for a, b in pairs]
    alike = same_problems(pairs)
    seeds = _over_seeds(pairs)
    problems = _over_problems(alike or pairs, shared=alike is not None, greedy=greedy, seed=seed)
    values_SAM = np.array([[run.values for run in pair] for pair in pairs])
    means_AM = values_SAM.mean(axis=0)
    gaps_SM = values_SAM[:, 1] - values_SAM[:, 0]
    rows = [
        MeasureDifference(
            name,
            float(means_AM[0, m]),
            float(means_AM[1, m]),
            seeds[m],
            problems[m],
            sign_flip_test(gaps_SM[:, m]) if len(pairs) > 1 and np.isfinite(gaps_SM[:, m]).all() else math.nan,
        )
        for m, name in enumerate(MEASURES)
    ]
    return ArmDifference(baseline.label, other.label, len(pairs), alike is not None, tuple(rows))


def compare_shares(before: Measured, after: Measured) -> PairedDifference:
    """Accuracy of one run later against earlier, over the same problems."""
    after = after.in_order_of(before)
    return paired_difference(before.sums_MP[0], after.sums_MP[0])


def _over_seeds(pairs: Sequence[Pair]) -> list[Paired]:
    """Student's t over the pairs' differences; a single pair has an estimate and nothing else."""
    gaps_SM = np.array([b.values - a.values for a, b in pairs])
    method = f"Student's t over {len(pairs)} seeds" if len(pairs) > 1 else "one seed: undefined"
    rows = []
    for gaps in gaps_SM.T:
        defined = bool(np.isfinite(gaps).all())  # a seed without a right response has no length of right ones
        interval = mean_interval(gaps) if defined else NOTHING
        spread = float(gaps.std(ddof=1)) if defined and len(gaps) > 1 else math.nan
        detectable = minimum_detectable_effect(spread, len(gaps))
        p_value = t_test(gaps)
        rows.append(Paired(interval, p_value, math.nan, detectable, len(gaps), *_signs(gaps), method))
    return _corrected(rows)


def _over_problems(pairs: Sequence[Pair], *, shared: bool, greedy: bool, seed: int) -> list[Paired]:
    """The seeds as they are, problems drawn anew; exact where one pair has one response a problem."""
    observed_M = mean_differences(pairs)
    drawn_RM = bootstrapped(pairs, shared=shared, seed=seed)
    p_values_M = swap_p_values(observed_M, label_swapped(pairs, shared=shared, seed=seed))
    detectable_M = spreads(pairs, shared=shared)
    count = len(pairs[0][0].problems) if shared else sum(len(a.problems) for a, _ in pairs)
    exact = len(pairs) == 1 and all(run.one_response for run in pairs[0])
    rows = []
    for m, name in enumerate(MEASURES):
        detectable = minimum_detectable_effect(float(detectable_M[m]), count)
        if exact and name in SHARES:
            a, b = pairs[0]
            pair = paired_difference(a.sums_MP[m], b.sums_MP[m])
            answers = "greedy answers" if greedy else "one sampled answer a problem"
            method = f"Agresti–Min interval, McNemar exact test on {answers}"
            counts = (pair.wins, pair.losses, pair.ties)
            rows.append(Paired(pair.interval, pair.p_value, math.nan, detectable, count, *counts, method))
            continue
        method = "paired bootstrap and label swaps over problems" + ("" if shared else ", drawn within each seed")
        interval = _percentiles(float(observed_M[m]), drawn_RM[:, m], count)
        counts = _signs(_problem_gaps(pairs, m, shared=shared))
        rows.append(Paired(interval, float(p_values_M[m]), math.nan, detectable, count, *counts, method))
    return _corrected(rows)


def _percentiles(observed: float, drawn_R: np.ndarray, count: int) -> Interval:
    if not math.isfinite(observed) or count < 2:
        return Interval(observed, math.nan, math.nan)
    low, high = np.nanquantile(drawn_R, [0.025, 0.975])
    return Interval(observed, float(low), float(high))


def _problem_gaps(pairs: Sequence[Pair], m: int, *, shared: bool) -> np.ndarray:
    """Each problem's difference in a measure; of problems that all seeds share, the mean over seeds."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = [b.sums_MP[m] / b.counts_MP[m] - a.sums_MP[m] / a.counts_MP[m] for a, b in pairs]
    return np.mean(gaps, axis=0) if shared else np.concatenate(gaps)


def _signs(gaps: np.ndarray) -> tuple[int, int, int]:
    """How many are above, below and at 0, undefined ones left out."""
    return int((gaps > 1e-12).sum()), int((gaps < -1e-12).sum()), int((np.abs(gaps) <= 1e-12).sum())


def _corrected(rows: Sequence[Paired]) -> list[Paired]:
    return [replace(row, p_holm=p) for row, p in zip(rows, holm([row.p_value for row in rows]), strict=True)]
