"""How common something is, and how good its detectors are, without labels: a two-class latent model.

K detectors look at the same responses; S populations (templates, temperatures); patterns of verdicts 0 .. 2^K - 1, bit
k the verdict of detector k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from r1zero.statistics.intervals import NOTHING, Interval

ITERATIONS, TOLERANCE = 3000, 1e-7
STARTS = 8
RESAMPLES = 300
CONTRADICTED = 0.01  # p-value of the fit, below which its numbers would mislead
CONTRADICTION = "the table of verdicts contradicts that detectors err independently, and alike in all populations"
FEWEST = 10  # responses in which two detectors both fire, below which their association says nothing


@dataclass(frozen=True)
class LatentClasses:
    """What the model finds, or why it cannot: where it is not identified, or contradicted, all but `bounds` is NaN."""

    detectors: tuple[str, ...]
    responses: int
    identified: bool
    reason: str  # why not, or under what assumption
    bounds: tuple[float, float]  # flagged by all, flagged by any: prevalence if detectors only miss, or only err
    prevalence: Interval = NOTHING
    sensitivity: tuple[Interval, ...] = ()
    specificity: tuple[Interval, ...] = ()
    fit_p: float = math.nan  # of the likelihood-ratio test against the full table; NaN without degrees of freedom


def latent_classes(
    names: Sequence[str],
    verdicts_NK: np.ndarray,
    *,
    populations_N: Sequence[object] | np.ndarray | None = None,
    clusters_N: Sequence[object] | np.ndarray | None = None,
    seed: int = 0,
) -> LatentClasses:
    """Prevalence, sensitivity and specificity from the detectors' agreement alone.  [N, K] booleans

    A response is of the class with probability pi_s; given its class the detectors err independently of one another
    and alike in all populations:

        P(pattern x | s) = pi_s prod_k se_k^x_k (1-se_k)^(1-x_k) + (1-pi_s) prod_k (1-sp_k)^x_k sp_k^(1-x_k)

    fitted by EM (Dawid & Skene 1979, Applied Statistics 28:20; Hui & Walter 1980, Biometrics 36:167).  It is identified
    with at least three detectors of which every two are associated, or with two in populations of different prevalence;
    otherwise `identified` is False and `reason` says why.  Bounds are from a bootstrap over clusters (problems).
    Detectors whose finds are all another's are not independent given the class, and are refused; so is a fit that the
    table contradicts (its test takes responses for independent, and so refuses too often rather than too seldom).
    """
    x = np.asarray(verdicts_NK, bool)
    responses, num = x.shape
    ends = (float(x.all(1).mean()), float(x.any(1).mean())) if x.size else (math.nan, math.nan)
    groups = np.zeros(responses, int) if populations_N is None else _index(populations_N)
    reason = _obstacle(names, x, groups)
    if reason:
        return LatentClasses(tuple(names), responses, False, reason, ends)
    counts, drawn = _tables(x, groups, np.arange(responses) if clusters_N is None else _index(clusters_N), seed)
    place = _fit(counts, num, seed)
    start = [np.repeat(np.clip(part, 0.02, 0.98), RESAMPLES, axis=0) for part in place]
    low, high = np.quantile(_summary(_climb(drawn, *start), drawn), [0.025, 0.975], axis=0)
    estimate = _summary(place, counts[None])[0]
    intervals = [Interval(*map(float, triple)) for triple in zip(estimate, low, high, strict=True)]
    fit_p = _fit_p(counts, place)
    if fit_p < CONTRADICTED:
        return LatentClasses(tuple(names), responses, False, CONTRADICTION, ends, fit_p=fit_p)
    tested = "without degrees of freedom to test it" if math.isnan(fit_p) else "which the table does not contradict"
    return LatentClasses(
        tuple(names), responses, True, f"if detectors err independently of one another, {tested}", ends,
        intervals[0], tuple(intervals[1 : num + 1]), tuple(intervals[num + 1 :]), fit_p,
    )  # fmt: skip


def _index(values: Sequence[object] | np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    return np.unique(array if array.dtype.kind in "iu" else array.astype(str), return_inverse=True)[1]


def _tables(x: np.ndarray, groups: np.ndarray, clusters: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each pattern occurs in each population, and when clusters are drawn anew.  [S, X], [R, S, X]"""
    num_groups, num_patterns = int(groups.max()) + 1, 1 << x.shape[1]
    cell = groups * num_patterns + (x * (1 << np.arange(x.shape[1]))).sum(1)
    size = num_groups * num_patterns
    keys, occurrences = np.unique(clusters * size + cell, return_counts=True)
    owner, place = np.divmod(keys, size)
    rng, num_clusters = np.random.default_rng(seed), int(clusters.max()) + 1
    drawn = np.empty((RESAMPLES, size))
    for row in drawn:
        times = np.bincount(rng.integers(0, num_clusters, num_clusters), minlength=num_clusters)
        row[:] = np.bincount(place, weights=occurrences * times[owner], minlength=size)
    counts = np.bincount(cell, minlength=size).astype(float)
    return counts.reshape(num_groups, num_patterns), drawn.reshape(RESAMPLES, num_groups, num_patterns)


def _obstacle(names: Sequence[str], x: np.ndarray, groups: np.ndarray) -> str:
    """Why the model is not identified; "" where it is."""
    if not x.size:
        return "no responses on which all detectors gave a verdict"
    silent = [name for name, column in zip(names, x.T, strict=True) if column.all() or not column.any()]
    if silent:
        return f"{', '.join(silent)} says the same of every response"
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            if i != j and not (x[:, i] & ~x[:, j]).any():
                return f"every find of {first} is one of {second}: they do not err independently"
            if i < j and (weak := _weak(x[:, i], x[:, j])):
                return f"{first} and {second} {weak}"
    if len(names) >= 3:
        return ""
    if len(names) < 2:
        return "one detector alone: its errors and the prevalence cannot be told apart"
    if groups.max() == 0:
        return "two detectors in one population: five unknown shares, three that are seen"
    table = np.array([np.bincount(groups, weights=column) for column in x.T])
    sizes = np.bincount(groups)
    p_values = [stats.chi2_contingency(np.stack([row, sizes - row])).pvalue for row in table]
    if max(p_values) > 0.01:
        return "two detectors, and populations whose prevalence does not differ"
    return ""


def _weak(first: np.ndarray, second: np.ndarray) -> str:
    """Why two detectors' association does not carry a model; "" where it does."""
    both = int((first & second).sum())
    if both < FEWEST:
        return f"fire together in {both} responses only: at least {FEWEST} are needed"
    expected = first.mean() * second.mean() * first.size
    table = np.array([[both, (first & ~second).sum()], [(~first & second).sum(), (~first & ~second).sum()]])
    if both <= expected or stats.chi2_contingency(table, correction=False).pvalue > 0.01:
        return "agree no more than chance: they do not detect one thing"
    return ""


Parameters = tuple[np.ndarray, np.ndarray, np.ndarray]  # prevalence [R, S], sensitivity [R, K], specificity [R, K]


def _fit(counts_SX: np.ndarray, num: int, seed: int) -> Parameters:
    """The best of several climbs, from where all detectors are good and from random places.  R is 1."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.5, 0.98, (2, STARTS, num))
    rates[:, 0] = 0.8
    counts = np.broadcast_to(counts_SX, (STARTS, *counts_SX.shape))
    found = _climb(counts, rng.uniform(0.1, 0.6, (STARTS, len(counts_SX))), *rates)
    best = int(np.argmax(_likelihood(counts, found)))
    return found[0][[best]], found[1][[best]], found[2][[best]]


def _climb(
    counts_RSX: np.ndarray, prevalence: np.ndarray, sensitivity: np.ndarray, specificity: np.ndarray
) -> Parameters:
    """EM on R tables at once until all stand still; the class is that which detectors flag more often."""
    bits = _bits(sensitivity.shape[-1])
    totals = np.maximum(counts_RSX.sum(2), 1e-12)
    old = np.concatenate([prevalence, sensitivity, specificity], axis=1)
    for _ in range(ITERATIONS):
        inside, outside = _chances(bits, prevalence, sensitivity, specificity)
        mass = counts_RSX * (inside / (inside + outside))
        rest = counts_RSX - mass
        prevalence = mass.sum(2) / totals
        sensitivity = mass.sum(1) @ bits / np.maximum(mass.sum((1, 2))[:, None], 1e-12)
        specificity = rest.sum(1) @ (1 - bits) / np.maximum(rest.sum((1, 2))[:, None], 1e-12)
        new = np.clip(np.concatenate([prevalence, sensitivity, specificity], axis=1), 1e-6, 1 - 1e-6)
        prevalence, sensitivity, specificity = np.split(new, [prevalence.shape[1], -specificity.shape[1]], axis=1)
        if float(np.abs(new - old).max()) < TOLERANCE:
            break
        old = new
    turned = (sensitivity + specificity - 1).sum(1, keepdims=True) < 0
    return (
        np.where(turned, 1 - prevalence, prevalence),
        np.where(turned, 1 - specificity, sensitivity),
        np.where(turned, 1 - sensitivity, specificity),
    )


def _bits(num: int) -> np.ndarray:
    """The verdicts of each pattern.  -> [2^K, K]"""
    return ((np.arange(1 << num)[:, None] >> np.arange(num)) & 1).astype(float)


def _chances(
    bits: np.ndarray, prevalence: np.ndarray, sensitivity: np.ndarray, specificity: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The chance of each pattern together with being of the class, and of not being.  -> [R, S, 2^K] each"""
    inside = np.exp(np.log(sensitivity) @ bits.T + np.log1p(-sensitivity) @ (1 - bits).T)
    outside = np.exp(np.log(specificity) @ (1 - bits).T + np.log1p(-specificity) @ bits.T)
    return prevalence[:, :, None] * inside[:, None], (1 - prevalence)[:, :, None] * outside[:, None]


def _likelihood(counts_RSX: np.ndarray, place: Parameters) -> np.ndarray:
    inside, outside = _chances(_bits(place[1].shape[-1]), *place)
    return (counts_RSX * np.log(inside + outside)).sum((1, 2))


def _fit_p(counts_SX: np.ndarray, place: Parameters) -> float:
    """The p-value of G² = 2 sum n log(n / fitted) with S (2^K - 1) - S - 2K degrees of freedom."""
    num_groups, num_patterns = counts_SX.shape
    free = num_groups * (num_patterns - 1) - num_groups - 2 * place[1].shape[-1]
    if free <= 0:
        return math.nan
    shares = counts_SX / counts_SX.sum(1, keepdims=True)
    full = float((counts_SX * np.log(np.where(counts_SX > 0, shares, 1))).sum())
    return float(stats.chi2.sf(2 * (full - float(_likelihood(counts_SX[None], place)[0])), free))


def _summary(place: Parameters, counts_RSX: np.ndarray) -> np.ndarray:
    """Prevalence over all populations, then the sensitivities, then the specificities.  -> [R, 1 + 2K]"""
    sizes = counts_RSX.sum(2)
    overall = (place[0] * sizes).sum(1, keepdims=True) / sizes.sum(1, keepdims=True)
    return np.concatenate([overall, place[1], place[2]], axis=1)
