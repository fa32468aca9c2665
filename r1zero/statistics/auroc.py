"""AUROC: how often a right response has a higher score than a wrong one, with an interval that minds problems.

N responses.  Only pairs within the same stratum are compared (the same temperature and template, say, or the same
problem: then difficulty plays no part), and whole clusters (problems) are the units of chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from r1zero.statistics.intervals import NOTHING, Interval, wilson_interval


@dataclass(frozen=True)
class Separation:
    """How well a score tells right from wrong."""

    auroc: Interval  # chance that right outscores wrong, ties half; 1/2 says nothing
    num_right: int  # responses that stand in at least one pair
    num_wrong: int
    num_clusters: int  # that take part in a pair
    tells: bool = False  # the interval leaves 1/2 out; of a family of scores, also at level 1 - (1 - level) / family


def separation(
    scores: Sequence[float] | np.ndarray,
    right: Sequence[bool] | np.ndarray,
    clusters: Sequence[int] | np.ndarray,
    strata: Sequence[int] | np.ndarray | None = None,
    level: float = 0.95,
    widening: float = 1.0,
    family: int = 1,
) -> Separation:
    """AUROC over the pairs of a right and a wrong response of one stratum.  [N] each; clusters and strata as integers

        theta = sum of w / M,   w = 1, 1/2, 0 as right scores above, equal, below;   M the number of pairs
        variance = K/(K-1) sum_c D_c² / M²,   D_c = sum of (w - theta) over the pairs that cluster c takes part in

    The leave-one-cluster-out form of Obuchowski's variance for clustered data (1997, Biometrics 53:567); with one
    response a cluster it is DeLong's.  The interval is symmetric in log(theta / (1 - theta)), with Student's t of K - 1
    degrees of freedom.  Where one side always wins, Wilson's for min(right, wrong clusters) trials stands in.
    Scores that are NaN are left out.  `widening` multiplies the standard error, where scores are known to depend on
    more than their own cluster.  `family` is how many scores are tried, of which the best is told (Bonferroni).
    """
    values, is_right, cluster = np.asarray(scores, float), np.asarray(right, bool), np.asarray(clusters)
    stratum = np.zeros(values.size, np.int64) if strata is None else np.asarray(strata)
    kept = np.isfinite(values)
    values, is_right, cluster, stratum = values[kept], is_right[kept], cluster[kept], stratum[kept]
    won, met = _encounters(values, is_right, stratum)
    num_pairs = float(met[is_right].sum())
    if num_pairs == 0:
        return Separation(NOTHING, 0, 0, 0)
    theta = float(won[is_right].sum() / num_pairs)
    own = _pair_up(stratum, cluster)
    alone = np.unique(own).size == np.unique(stratum).size  # each stratum is of one cluster, as within questions
    inner_won, inner_met = (won, met) if alone else _encounters(values, is_right, own)
    surplus = (won - theta * met) - np.where(is_right, inner_won - theta * inner_met, 0.0)  # own pairs count once
    part = met > 0
    _, index = np.unique(cluster[part], return_inverse=True)
    sums = np.bincount(index, weights=surplus[part])
    sides = [np.unique(cluster[part & side]).size for side in (is_right, ~is_right)]
    influence_K = widening * sums / num_pairs
    interval = _logit_interval(theta, influence_K, min(sides), level)
    strict = _logit_interval(theta, influence_K, min(sides), 1 - (1 - level) / family)
    tells = strict.low > 0.5 or strict.high < 0.5
    return Separation(interval, int((part & is_right).sum()), int((part & ~is_right).sum()), sums.size, tells)


def _logit_interval(theta: float, influence_K: np.ndarray, fewest: int, level: float) -> Interval:
    count = influence_K.size
    if count < 2:
        return Interval(theta, math.nan, math.nan)
    error = math.sqrt(count / (count - 1) * float(np.sum(influence_K**2)))
    if theta in (0.0, 1.0) or error < 1e-12:
        bounds = wilson_interval(theta * fewest, fewest, level)
        return Interval(theta, bounds.low, bounds.high)
    centre = math.log(theta / (1 - theta))
    half = float(stats.t.ppf(0.5 + level / 2, count - 1)) * error / (theta * (1 - theta))
    return Interval(theta, _logistic(centre - half), _logistic(centre + half))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _pair_up(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One integer for each combination of two."""
    first, second = np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]
    return first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second


def _encounters(scores: np.ndarray, right: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each response: over its pairs with the other side in its group, the sum of w, and how many.  [N], [N]

    For a wrong response too w is 1 where the right one of the pair scores higher.
    """
    order = np.lexsort((scores, groups))
    s, g, r = scores[order], groups[order], right[order].astype(float)
    first_of_group = np.r_[True, g[1:] != g[:-1]] if s.size else np.empty(0, bool)
    first_of_tie = first_of_group | np.r_[True, s[1:] != s[:-1]] if s.size else np.empty(0, bool)
    below = [_before_block(side, first_of_group, first_of_tie) for side in (r, 1 - r)]
    tied = [_in_block(side, first_of_tie) for side in (r, 1 - r)]
    whole = [_in_block(side, first_of_group) for side in (r, 1 - r)]
    won_right = below[1] + tied[1] / 2
    won_wrong = whole[0] - below[0] - tied[0] / 2
    won, met = np.empty(s.size), np.empty(s.size)
    won[order] = np.where(r > 0, won_right, won_wrong)
    met[order] = np.where(r > 0, whole[1], whole[0])
    return won, met


def _in_block(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Each entry's sum over its block; a block begins where `first`."""
    if not values.size:
        return values
    starts = np.flatnonzero(first)
    return np.repeat(np.add.reduceat(values, starts), np.diff(np.r_[starts, values.size]))


def _before_block(values: np.ndarray, first_of_group: np.ndarray, first_of_tie: np.ndarray) -> np.ndarray:
    """Each entry's sum over what stands before its tie in its group."""
    before = np.cumsum(values) - values
    ties, groups = np.flatnonzero(first_of_tie), np.flatnonzero(first_of_group)
    at_tie = np.repeat(before[ties], np.diff(np.r_[ties, values.size]))
    at_group = np.repeat(before[groups], np.diff(np.r_[groups, values.size]))
    return at_tie - at_group
