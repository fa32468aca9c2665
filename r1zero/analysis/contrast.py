"""Does reflecting go with being right *on the same question*?  Reflecting and other responses, within questions.

A question (Q) is a problem under one template, temperature and checkpoint; its responses are exchangeable draws.  For
each, d = share right of those with a reflection cue - share right of those without.  Pooling responses over questions
instead mixes in which questions invite reflection (Simpson): hard ones, mostly.

What is found is an association: responses that reflect may differ in more than the reflection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import fft, stats

from r1zero.analysis.clustered import SETTING, cluster
from r1zero.statistics.intervals import NOTHING, Interval, mcnemar_exact, quantile

MIN_SIZE = 5  # responses of either kind that a question needs
EXACT_CELLS = 200_000_000  # work of an exact permutation distribution, in products; beyond it is approximated


@dataclass(frozen=True)
class Questions:
    """Counts of each question: right (c) and all (n) responses, with a cue (1) and without (0)."""

    c1_Q: np.ndarray
    n1_Q: np.ndarray
    c0_Q: np.ndarray
    n0_Q: np.ndarray
    problem_Q: np.ndarray  # the problem's number, for clustering

    def __len__(self) -> int:
        return self.n1_Q.size

    def take(self, kept_Q: np.ndarray) -> Questions:
        return Questions(
            self.c1_Q[kept_Q], self.n1_Q[kept_Q], self.c0_Q[kept_Q], self.n0_Q[kept_Q], self.problem_Q[kept_Q]
        )


@dataclass(frozen=True)
class Difference:
    """One question's own contrast."""

    interval: Interval
    reflecting: int
    others: int


@dataclass(frozen=True)
class Contrast:
    """Right among reflecting minus right among other responses, within questions with at least `min_size` of either."""

    min_size: int
    num_questions: int
    num_problems: int
    num_responses: int
    single: int  # questions left out: one response only
    never: int  # questions left out: of several responses none reflects
    always: int  # questions left out: of several responses all reflect
    too_few: int  # questions left out: both kinds, fewer than min_size of one
    effect: Interval  # Mantel-Haenszel: the one to read
    inverse_variance: Interval
    length_adjusted: Interval
    p_permutation: float
    permutation: str  # how it was computed
    better: int  # problems where reflecting responses are more often right
    worse: int
    p_sign: float
    above: int  # questions whose own interval lies above 0
    below: int
    differences: tuple[Difference, ...]  # one a question, ascending


def usable(facts: pl.DataFrame) -> pl.DataFrame:
    """Rows whose correctness and cues are known, with `question` and `problem` numbers and `reflects`."""
    rows = facts.filter(pl.col("correct").is_not_null() & pl.col("cues").is_not_null())
    keys = [name for name in ("task", *SETTING) if name in rows.columns]
    return rows.with_columns(cluster()).with_columns(
        pl.struct(*keys, "cluster").rank("dense").alias("question"),
        pl.col("cluster").rank("dense").alias("problem"),
        (pl.col("cues") > 0).alias("reflects"),
    )


def questions(rows: pl.DataFrame) -> Questions:
    """The counts of each question of `usable` rows."""
    counts = (
        rows.group_by("question")
        .agg(
            (pl.col("correct") & pl.col("reflects")).sum().alias("c1"),
            pl.col("reflects").sum().alias("n1"),
            (pl.col("correct") & ~pl.col("reflects")).sum().alias("c0"),
            (~pl.col("reflects")).sum().alias("n0"),
            pl.col("problem").first(),
        )
        .sort("question")
    )
    return Questions(*(counts[name].to_numpy().astype(np.int64) for name in ("c1", "n1", "c0", "n0", "problem")))


def contrast(rows: pl.DataFrame, *, min_size: int = MIN_SIZE, level: float = 0.95) -> Contrast:
    """The within-question contrast of `usable` rows; NaN where no question has `min_size` responses of either kind."""
    found = questions(rows)
    smaller = np.minimum(found.n1_Q, found.n0_Q)
    kept_Q = smaller >= min_size
    several = found.n1_Q + found.n0_Q > 1
    used = found.take(kept_Q)
    p, how = permutation_test(used)
    better, worse = _problems_by_sign(used)
    low, high = own_intervals(used, level=level)
    d = differences(used)
    order = np.argsort(d, kind="stable")
    return Contrast(
        min_size=min_size,
        num_questions=len(used),
        num_problems=int(np.unique(used.problem_Q).size),
        num_responses=int((used.n1_Q + used.n0_Q).sum()),
        single=int((~several).sum()),
        never=int((several & (found.n1_Q == 0)).sum()),
        always=int((several & (found.n0_Q == 0)).sum()),
        too_few=int(((smaller > 0) & ~kept_Q).sum()),
        effect=mantel_haenszel(used, level=level),
        inverse_variance=inverse_variance(used, level=level),
        length_adjusted=_length_adjusted(rows, min_size, level),
        p_permutation=p,
        permutation=how,
        better=better,
        worse=worse,
        p_sign=mcnemar_exact(worse, better) if len(used) else math.nan,
        above=int((low > 0).sum()),
        below=int((high < 0).sum()),
        differences=tuple(
            Difference(Interval(float(d[i]), float(low[i]), float(high[i])), int(used.n1_Q[i]), int(used.n0_Q[i]))
            for i in order
        ),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Estimates from counts


def differences(counts: Questions) -> np.ndarray:
    """d of each question.  [Q]"""
    return counts.c1_Q / counts.n1_Q - counts.c0_Q / counts.n0_Q


def smoothed_differences(counts: Questions) -> np.ndarray:
    """d after a right and a wrong response are added to either kind.  [Q]"""
    return (counts.c1_Q + 1) / (counts.n1_Q + 2) - (counts.c0_Q + 1) / (counts.n0_Q + 2)


def smoothed_variances(counts: Questions) -> np.ndarray:
    """Agresti and Caffo's variance of each d: a right and a wrong response are added to either kind.  [Q]

        p~ (1 - p~) / (n + 2),   p~ = (c + 1) / (n + 2)        (2000, The American Statistician 54:280)

    It is never 0, also where all are right.
    """
    total = np.zeros(len(counts))
    for c, n in ((counts.c1_Q, counts.n1_Q), (counts.c0_Q, counts.n0_Q)):
        p = (c + 1) / (n + 2)
        total += p * (1 - p) / (n + 2)
    return total


def own_intervals(counts: Questions, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Agresti and Caffo's interval of each d: low, high.  [Q], [Q]"""
    centre = smoothed_differences(counts)
    half = quantile(level) * np.sqrt(smoothed_variances(counts))
    return np.maximum(centre - half, -1), np.minimum(centre + half, 1)


def mantel_haenszel(counts: Questions, level: float = 0.95) -> Interval:
    """The mean of d weighted by n1 n0 / (n1 + n0), the precision that group sizes alone give.

    The weights know nothing of the outcomes, so the estimate is unbiased for so weighted a mean of the questions'
    true differences, however small the groups and easy or hard the questions (Mantel & Haenszel's risk difference;
    Greenland & Robins 1985, Biometrics 41:55).  It is the coefficient of a regression with question fixed effects.
    """
    weights = counts.n1_Q * counts.n0_Q / np.maximum(counts.n1_Q + counts.n0_Q, 1)
    return _weighted(counts, weights, level)


def inverse_variance(counts: Questions, level: float = 0.95) -> Interval:
    """The mean of d weighted by 1 / `smoothed_variances`.

    Its weights depend on the outcomes: questions that happen to be nearly all right or all wrong, whose d is small,
    weigh most.  With small groups it is biased a little for that (tests/analysis/test_contrast.py), mostly towards 0.
    """
    return _weighted(counts, 1 / smoothed_variances(counts), level)


def _weighted(counts: Questions, weights_Q: np.ndarray, level: float) -> Interval:
    """Sum of w d / sum of w, with Student's t interval.

    The variance is that of the problems' deviations (questions of one problem are not independent), and no less than
    what binomial responses give: without the latter, questions all right would give an interval without width.  The
    degrees of freedom are those of the effective number of problems, (sum W)² / sum W² - 1, W a problem's weight.
    """
    if not len(counts):
        return NOTHING
    total = weights_Q.sum()
    d = differences(counts)
    estimate = float(weights_Q @ d / total)
    _, problem = np.unique(counts.problem_Q, return_inverse=True)
    deviation_P = np.bincount(problem, weights=weights_Q * (d - estimate))
    binomial = float(weights_Q**2 @ smoothed_variances(counts)) / total**2
    if deviation_P.size == 1:  # no spread between problems: Agresti and Caffo's interval
        centre, half = float(weights_Q @ smoothed_differences(counts) / total), quantile(level) * math.sqrt(binomial)
        return Interval(estimate, max(-1.0, centre - half), min(1.0, centre + half))
    return _t_interval(estimate, deviation_P / total, np.bincount(problem, weights=weights_Q), binomial, level)


def _t_interval(
    estimate: float, deviation_P: np.ndarray, weight_P: np.ndarray, least_variance: float, level: float
) -> Interval:
    size = deviation_P.size
    effective = weight_P.sum() ** 2 / (weight_P**2).sum()
    if effective < 1.5:  # hardly more than one problem: no spread between problems to go by
        return Interval(estimate, -1.0, 1.0)
    variance = max(float((deviation_P**2).sum()) * size / (size - 1), least_variance)
    half = float(stats.t.ppf(0.5 + level / 2, effective - 1)) * math.sqrt(variance)
    return Interval(estimate, max(-1.0, estimate - half), min(1.0, estimate + half))


# ---------------------------------------------------------------------------------------------------------------------
# Tests


def permutation_test(counts: Questions) -> tuple[float, str]:
    """Two-sided p-value that which responses of a question reflect is chance, and how it was computed.

    Labels are shuffled within questions, so the right responses among the reflecting ones of a question are
    hypergeometric; the statistic is their sum, |sum c1 - E|, to which the Mantel-Haenszel numerator amounts.  The exact
    distribution of the sum is the product of the questions' Fourier transforms; where that is too long to compute, so
    many questions add up that Mantel and Haenszel's normal approximation (1959, JNCI 22:719) serves.
    """
    n = counts.n1_Q + counts.n0_Q
    c = counts.c1_Q + counts.c0_Q
    if not len(counts):
        return math.nan, "no questions"
    mixed = (c > 0) & (c < n)  # elsewhere no shuffle changes anything
    n1, n, c = counts.n1_Q[mixed], n[mixed], c[mixed]
    expected = float((n1 * c / n).sum())
    observed = abs(float(counts.c1_Q[mixed].sum()) - expected)
    kinds, times = np.unique(np.stack([n, c, n1]), axis=1, return_counts=True)
    length = int(np.minimum(n1, c).sum()) + 1
    if kinds.shape[1] * length > EXACT_CELLS:
        variance = float((n1 * (n - n1) * c * (n - c) / (n**2 * (n - 1.0))).sum())
        return 2 * float(stats.norm.sf(max(observed - 0.5, 0) / math.sqrt(variance))), "normal approximation"
    size = fft.next_fast_len(length, real=True)
    transform = np.ones(size // 2 + 1, complex)
    for (total, right, reflecting), repeated in zip(kinds.T, times, strict=True):
        chances = stats.hypergeom.pmf(np.arange(min(reflecting, right) + 1), total, right, reflecting)
        transform *= fft.rfft(chances, size) ** repeated
    distribution = fft.irfft(transform, size)[:length]
    extreme = np.abs(np.arange(length) - expected) >= observed - 1e-9
    return float(np.clip(distribution[extreme].sum(), 1e-12, 1.0)), "exact"


def _problems_by_sign(counts: Questions) -> tuple[int, int]:
    """Problems whose weighted d is above and below 0."""
    if not len(counts):
        return 0, 0
    weights = counts.n1_Q * counts.n0_Q / (counts.n1_Q + counts.n0_Q)
    _, problem = np.unique(counts.problem_Q, return_inverse=True)
    sums_P = np.bincount(problem, weights=weights * differences(counts))
    return int((sums_P > 1e-9).sum()), int((sums_P < -1e-9).sum())


# ---------------------------------------------------------------------------------------------------------------------
# Estimates from responses


def _length_adjusted(rows: pl.DataFrame, min_size: int, level: float) -> Interval:
    """The coefficient of reflecting beside log length, with question fixed effects; problems as clusters.

    Without length it would be `mantel_haenszel`.  Reflecting makes a response longer, so length is in part what
    reflecting does: this asks whether reflecting goes with being right among responses of one length.
    """
    n1, n0 = pl.col("reflects").sum().over("question"), (~pl.col("reflects")).sum().over("question")
    smoothed = (pl.col("correct").sum() + 1) / (pl.len() + 2)  # as in smoothed_variances: never 0 or 1
    if "num_chars" not in rows.columns:
        return NOTHING
    kept = rows.filter((pl.min_horizontal(n1, n0) >= min_size) & pl.col("num_chars").is_not_null())
    if kept.is_empty():
        return NOTHING
    columns = [
        pl.col("correct").cast(pl.Float64).alias("y"),
        pl.col("reflects").cast(pl.Float64).alias("x"),
        (pl.col("num_chars").cast(pl.Float64) + 1).log().alias("z"),
        (smoothed * (1 - smoothed)).over("question").alias("variance"),
    ]
    centred = kept.select("problem", "question", *columns).with_columns(
        pl.col("y", "x", "z") - pl.col("y", "x", "z").mean().over("question")
    )
    y, x, z = (centred[name].to_numpy() for name in ("y", "x", "z"))
    spread = float(z @ z)
    net = x - z * float(x @ z) / spread if spread > 1e-9 else x  # Frisch-Waugh-Lovell: reflecting net of length
    size = float(net @ net)
    if size < 1e-9:
        return NOTHING
    estimate = float(net @ y) / size
    slope = float(z @ (y - estimate * x)) / spread if spread > 1e-9 else 0.0
    residual = y - estimate * x - slope * z
    _, problem = np.unique(centred["problem"].to_numpy(), return_inverse=True)
    deviation_P = np.bincount(problem, weights=net * residual) / size
    least = float(net**2 @ centred["variance"].to_numpy()) / size**2
    return _t_interval(estimate, deviation_P, np.bincount(problem, weights=net**2), least, level)


def pooled_difference(rows: pl.DataFrame, level: float = 0.95) -> Interval:
    """Right among all reflecting minus right among all other responses, questions ignored; problems as clusters.

    The variance is the linearised one: a problem's contribution is (c1 - p1 n1) / N1 - (c0 - p0 n0) / N0.
    """
    counts = questions(rows)
    n1, n0 = counts.n1_Q.sum(), counts.n0_Q.sum()
    if not n1 or not n0:
        return NOTHING
    p1, p0 = counts.c1_Q.sum() / n1, counts.c0_Q.sum() / n0
    parts_Q = (counts.c1_Q - p1 * counts.n1_Q) / n1 - (counts.c0_Q - p0 * counts.n0_Q) / n0
    _, problem = np.unique(counts.problem_Q, return_inverse=True)
    sizes = np.bincount(problem, weights=counts.n1_Q / n1 + counts.n0_Q / n0)
    s1, s0 = (counts.c1_Q.sum() + 1) / (n1 + 2), (counts.c0_Q.sum() + 1) / (n0 + 2)
    least = s1 * (1 - s1) / (n1 + 2) + s0 * (1 - s0) / (n0 + 2)
    return _t_interval(float(p1 - p0), np.bincount(problem, weights=parts_Q), sizes, float(least), level)
