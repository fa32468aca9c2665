"""Intervals and tests: every number this laboratory prints carries one.

P problems, N responses, R resamples.  Intervals are 95 % unless `level` says otherwise.  Where a number is undefined
(no data) it is NaN, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

Numbers = Sequence[float] | np.ndarray
MANY = 10_000  # problems from which on a bootstrap of their ratio is as normal as makes no difference


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its confidence interval.

    >>> str(Interval(0.171, 0.139, 0.204)), str(Interval(-0.02, -0.1, 0.06)), f"{Interval(119.6, 110, 130.2):.0f}"
    ('.17 [.14, .20]', '−.02 [−.10, .06]', '120 [110, 130]')
    """

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return format(self, "f")

    def __format__(self, spec: str) -> str:
        """`spec` formats each number; "f" or nothing is the short form for fractions, without the leading zero."""
        show = short if spec in ("", "f") else lambda x: format(x, spec) if math.isfinite(x) else "–"
        return f"{show(self.estimate)} [{show(self.low)}, {show(self.high)}]"

    def overlaps(self, other: Interval) -> bool:
        return self.low <= other.high and other.low <= self.high


NOTHING = Interval(math.nan, math.nan, math.nan)


def short(value: float) -> str:
    """A fraction with two digits and no leading zero; "–" when undefined.

    >>> short(0.5), short(1.0), short(-0.034), short(float("nan"))
    ('.50', '1.00', '−.03', '–')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{abs(value):.2f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0") else text)


def quantile(level: float) -> float:
    """The two-sided standard normal quantile: 1.96 at level 0.95."""
    return float(stats.norm.ppf(0.5 + level / 2))


# ---------------------------------------------------------------------------------------------------------------------
# One proportion or mean


def wilson_interval(successes: float, n: float, level: float = 0.95) -> Interval:
    """A proportion of independent trials with its Wilson score interval; NaN when n is 0.

        (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)        (Wilson 1927, JASA 22:209)

    `n` may be an effective, fractional number of trials.  AIME 2024's 13 of 30: 43 % is anything from 27 % to 61 %.

    >>> f"{wilson_interval(13, 30):.3f}"
    '0.433 [0.274, 0.608]'
    """
    if n <= 0:
        return NOTHING
    z, p = quantile(level), successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def exact_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """A proportion of independent trials with bounds that hold for every n: for 0 of n, from 0 to about 3.7/n.

    Quantiles of Beta(k, n-k+1) and Beta(k+1, n-k) (Clopper & Pearson 1934, Biometrika 26:404); NaN when n is 0.

    >>> f"{exact_interval(0, 100):.3f}", f"{exact_interval(13, 30):.3f}"
    ('0.000 [0.000, 0.036]', '0.433 [0.255, 0.626]')
    """
    if n <= 0:
        return NOTHING
    tail, k = (1 - level) / 2, successes
    low = float(stats.beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return Interval(k / n, low, high)


def accuracy_interval(correct_P: Numbers, samples_P: Numbers, level: float = 0.95) -> Interval:
    """Mean over problems of the share of right responses (avg@k), clustered by problem.  [P], [P] -> interval

    Responses to one problem are not independent, so Wilson's formula gets the effective number of trials
    n = p(1-p) / (S²/P), S² the variance of the P shares (Korn & Graubard 1998, Survey Methodology 24:193), at least P
    and at most the number of responses.  With one response a problem that is P, and this is `wilson_interval`.
    """
    correct, samples = np.asarray(correct_P, float), np.asarray(samples_P, float)
    correct, samples = correct[samples > 0], samples[samples > 0]
    if samples.size == 0:
        return NOTHING
    p, effective = float((correct / samples).mean()), effective_number(correct, samples)
    return wilson_interval(p * effective, effective, level)


def effective_number(hits_P: Numbers, samples_P: Numbers) -> float:
    """How many independent responses would tell as much about the mean share of problems: p(1-p) / (S²/P).  [P], [P]

    At least P and at most all responses; P where all or none are hits, as how alike the responses to a problem are is
    then unknown.
    """
    samples = np.asarray(samples_P, float)
    shares = np.asarray(hits_P, float) / samples
    p, variance = float(shares.mean()), float(shares.var() / shares.size)
    if not 0 < p < 1:
        return float(shares.size)
    effective = p * (1 - p) / variance if variance > 0 else math.inf
    return min(max(effective, float(shares.size)), float(samples.sum()))


def ratio_interval(hits_P: Numbers, samples_P: Numbers, level: float = 0.95) -> Interval:
    """The share of all responses of which something holds, each weighing the same, clustered by problem.  [P], [P]

    Wilson's interval for p (1 - p) / V trials, at most all of them, V being the variance of a ratio over problems,
    P/(P-1) sum (hits - p n)² / (sum n)² (Cochran 1977, section 6.3).  Where it holds of none or all, the exact interval
    of as many trials as there are problems, which holds however alike the responses to a problem are.
    """
    hits, n = np.asarray(hits_P, float), np.asarray(samples_P, float)
    hits, n = hits[n > 0], n[n > 0]
    total, count = float(n.sum()), n.size
    if not count:
        return NOTHING
    p = float(hits.sum()) / total
    if not 0 < p < 1:
        return exact_interval(count if p else 0, count, level)
    if count == 1:
        return wilson_interval(p, 1.0, level)
    variance = count / (count - 1) * float(np.sum((hits - p * n) ** 2)) / total**2
    trials = min(p * (1 - p) / variance, total) if variance > 0 else total
    return wilson_interval(p * trials, trials, level)


def share_interval(shares_P: Numbers, samples_P: Numbers, level: float = 0.95) -> Interval:
    """The mean of per-problem chances (pass@k, maj@k) of which each was estimated from so many responses.  [P], [P]

    As `accuracy_interval`, so that it has a width even where all are 0 or 1.  Problems with a NaN chance are left out.
    """
    shares, samples = np.asarray(shares_P, float), np.asarray(samples_P, float)
    kept = ~np.isnan(shares)
    return accuracy_interval(shares[kept] * samples[kept], samples[kept], level)


def mean_interval(values: Numbers, level: float = 0.95) -> Interval:
    """The mean of independent values (seeds, say) with Student's t interval: mean ± t sd/sqrt(n).

    With one value the bounds are NaN: one seed says nothing about the next.
    """
    x = np.asarray(values, float)
    if x.size == 0:
        return NOTHING
    if x.size == 1:
        return Interval(float(x[0]), math.nan, math.nan)
    half = float(stats.t.ppf(0.5 + level / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)


def cluster_interval(
    values: Numbers,
    clusters: Sequence[object] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The mean over responses with a bootstrap over whole problems.  [N], [N] -> interval

    Problems are drawn with replacement, all their responses with them, and the ratio (sum of values) / (number of
    responses) is taken anew (Davison & Hinkley 1997, section 3.8); percentiles of those ratios bound it.  NaN values
    are left out.  A single problem has NaN bounds.
    """
    x, names = np.asarray(values, float), np.asarray(clusters)
    names, x = names[np.isfinite(x)], x[np.isfinite(x)]
    if x.size == 0:
        return NOTHING
    _, index = np.unique(names, return_inverse=True)
    sums, counts = np.bincount(index, weights=x), np.bincount(index)
    if counts.size < 2:
        return Interval(float(x.mean()), math.nan, math.nan)
    low, high = bootstrap_bounds(sums, counts, seed=seed, resamples=resamples, level=level)
    return Interval(float(x.mean()), low, high)


def bootstrap_bounds(
    sums_P: np.ndarray, counts_P: np.ndarray, *, seed: int, resamples: int, level: float
) -> tuple[float, float]:
    """Percentiles of (sum of sums) / (sum of counts) when the P problems are drawn anew with replacement.

    Above `MANY` problems their normal limit, without drawing: r ± z sd, where sd² = P/(P-1) sum (s - r c)² / (sum c)²
    (Cochran 1977, Sampling Techniques, equation 6.13).
    """
    if counts_P.size > MANY:
        total = float(counts_P.sum())
        ratio = float(sums_P.sum()) / total
        deviations = float(((sums_P - ratio * counts_P) ** 2).sum())
        half = quantile(level) * math.sqrt(deviations * counts_P.size / (counts_P.size - 1)) / total
        return ratio - half, ratio + half
    rng, size = np.random.default_rng(seed), counts_P.size
    ratios = np.empty(resamples)
    chunk = max(1, 1_000_000 // size)  # bounds memory
    for start in range(0, resamples, chunk):
        drawn_RP = rng.integers(0, size, (min(chunk, resamples - start), size))
        ratios[start : start + chunk] = sums_P[drawn_RP].sum(axis=1) / counts_P[drawn_RP].sum(axis=1)
    low, high = np.quantile(ratios, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The probability that k responses hold a right one, unbiased from c right of n: 1 - C(n-c, k) / C(n, k).

    Chen et al. 2021 (arXiv:2107.03374), equation 1.  NaN when fewer than k responses exist.

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2), pass_at_k(4, 3, 2), pass_at_k(4, 1, 8)
    (0.25, 0.5, 1.0, nan)
    """
    if not 0 <= c <= n or k < 1:
        raise ValueError(f"pass_at_k(n={n}, c={c}, k={k}): needs 0 <= c <= n and k >= 1")
    if n < k:
        return math.nan
    return 1 - math.comb(n - c, k) / math.comb(n, k)


# ---------------------------------------------------------------------------------------------------------------------
# Two groups


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p-value that A and B are equally often right, from the problems only one of them solved.

    Under the null each such problem is a fair coin: 2 P(Binomial(only_a + only_b, 1/2) <= min), at most 1.

    >>> mcnemar_exact(0, 5), mcnemar_exact(3, 3), mcnemar_exact(0, 0)
    (0.0625, 1.0, 1.0)
    """
    n = only_a + only_b
    return min(1.0, 2 * float(stats.binom.cdf(min(only_a, only_b), n, 0.5))) if n else 1.0


def sign_flip_test(differences: Numbers, *, seed: int = 0, resamples: int = 10_000) -> float:
    """Two-sided p-value that paired differences are symmetric around 0, by flipping their signs.

    All 2^n flips when at most 14 differences are not 0, else `resamples` random ones with (1 + hits) / (1 + resamples)
    (Phipson & Smyth 2010).  For 0/1 outcomes this is McNemar's exact test.
    """
    d = np.asarray(differences, float)
    d = d[np.isfinite(d) & (d != 0)]
    if d.size == 0:
        return 1.0
    observed = abs(d.sum()) - 1e-9 * np.abs(d).sum()  # ties within rounding count as at least as extreme
    if d.size <= 14:
        signs = 1 - 2.0 * ((np.arange(2**d.size)[:, None] >> np.arange(d.size)) & 1)
        return float(np.mean(np.abs(signs @ d) >= observed))
    rng = np.random.default_rng(seed)
    hits, chunk = 0, 1000
    for start in range(0, resamples, chunk):
        signs = rng.integers(0, 2, size=(min(chunk, resamples - start), d.size), dtype=np.int8) * 2.0 - 1
        hits += int(np.sum(np.abs(signs @ d) >= observed))
    return (1 + hits) / (1 + resamples)


def t_test(differences: Numbers) -> float:
    """Two-sided p-value that the mean of paired differences is 0, by Student's t: below .05 exactly where
    `mean_interval` leaves 0 out.  NaN with fewer than two values, or where the values are all alike and not 0.
    """
    d = np.asarray(differences, float)
    if d.size < 2 or not np.isfinite(d).all():
        return math.nan
    error = d.std(ddof=1) / math.sqrt(d.size)
    if error <= 1e-12 * np.abs(d).max():  # rounding, not spread
        return math.nan if d.any() else 1.0
    return 2 * float(stats.t.sf(abs(d.mean()) / error, d.size - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being a family: at most 5 % of families have any false alarm below 0.05.

    With the m defined values ascending p_(1) <= ... <= p_(m), corrected p_(i) = max over j <= i of (m - j + 1) p_(j),
    at most 1 (Holm 1979, Scandinavian Journal of Statistics 6:65).  Holds under any dependence.  NaN stays NaN and is
    not counted.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [math.nan] * len(p_values)
    order = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[index] = largest
    return corrected


def minimum_detectable_effect(spread: float, n: int, *, power: float = 0.8, level: float = 0.95) -> float:
    """The true mean difference that a paired t-test over n seeds or problems would find with probability `power`.

        delta = lambda * spread / sqrt(n),   P(|T| > t) = power,   T noncentral t with n - 1 degrees of freedom and
        noncentrality lambda, t the two-sided quantile of Student's t at `level`   (Cohen 1988, chapter 2)

    `spread` is the standard deviation of the n paired differences.  For large n, lambda is z(0.975) + z(0.8) = 2.80.
    NaN with n < 2, and with no spread: that says nothing about the next draw.

    >>> round(minimum_detectable_effect(1.0, 34), 3), round(minimum_detectable_effect(1.0, 10_000), 4)
    (0.495, 0.028)
    """
    if n < 2 or not (math.isfinite(spread) and spread > 0):
        return math.nan
    return _noncentrality(n - 1, power, level) * spread / math.sqrt(n)


@lru_cache(maxsize=256)
def _noncentrality(degrees: int, power: float, level: float) -> float:
    """The noncentrality at which a two-sided t-test has the power.

    T = (Z + lambda) / S with S a chi variable over sqrt(degrees), so P(|T| > t) is a mean over S's quantiles.
    """
    critical = float(stats.t.ppf(0.5 + level / 2, degrees))
    bounds = critical * np.sqrt(stats.chi2.ppf((np.arange(10_000) + 0.5) / 10_000, degrees) / degrees)

    def surplus(noncentrality: float) -> float:
        missed = special.ndtr(bounds - noncentrality) - special.ndtr(-bounds - noncentrality)
        return 1 - float(missed.mean()) - power

    upper = 4.0
    while surplus(upper) < 0:
        upper *= 2
    return float(optimize.brentq(surplus, 0.0, upper, xtol=1e-6))


@dataclass(frozen=True)
class PairedDifference:
    """B minus A over the same problems."""

    interval: Interval
    p_value: float
    wins: int  # problems where B is better
    losses: int  # problems where A is better
    ties: int
    method: str  # how interval and p-value were computed, in words

    @property
    def num_problems(self) -> int:
        return self.wins + self.losses + self.ties


def paired_difference(a_P: Numbers, b_P: Numbers, *, seed: int = 0, level: float = 0.95) -> PairedDifference:
    """B minus A over problems both answered, where each entry is a problem's share of right responses.  [P], [P]

    One response a problem (all entries 0 or 1): Agresti and Min's interval (2005, Statistics in Medicine 24:729),
    Wald's after adding half a problem to each cell of the 2 x 2 table, and McNemar's exact test.  Otherwise:
    percentiles of a bootstrap over problems, and a sign-flip test.  Where every problem has the same difference a
    bootstrap would have no width: Agresti and Min's half-width for as many problems then stands on either side of it.
    """
    a, b = np.asarray(a_P, float), np.asarray(b_P, float)
    if a.shape != b.shape:
        raise ValueError(f"paired_difference needs the same problems on both sides, got {a.size} and {b.size}")
    if a.size == 0:
        return PairedDifference(NOTHING, math.nan, 0, 0, 0, "no problems")
    d = b - a
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    counts = (wins, losses, d.size - wins - losses)
    centre, half = _agresti_min(wins, losses, d.size, level)
    if np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        interval = Interval(float(d.mean()), max(-1.0, centre - half), min(1.0, centre + half))
        return PairedDifference(
            interval, mcnemar_exact(losses, wins), *counts, "Agresti–Min interval, McNemar exact test"
        )
    if np.ptp(d) < 1e-12:
        low, high = float(d[0]) - half, float(d[0]) + half
    else:
        low, high = bootstrap_bounds(d, np.ones(d.size), seed=seed, resamples=4000, level=level)
    interval = Interval(float(d.mean()), low, high)
    return PairedDifference(interval, sign_flip_test(d, seed=seed), *counts, "bootstrap over problems, sign-flip test")


def _agresti_min(wins: int, losses: int, n: int, level: float) -> tuple[float, float]:
    """The centre and half-width of Agresti and Min's interval."""
    size, up, down = n + 2, wins + 0.5, losses + 0.5
    return (up - down) / size, quantile(level) * math.sqrt(up + down - (up - down) ** 2 / size) / size


def show_p(p_value: float) -> str:
    """A p-value in words that do not pretend to precision.

    >>> show_p(0.0002), show_p(0.0312), show_p(0.4), show_p(float("nan"))
    ('p < .001', 'p = .031', 'p = .40', 'p undefined')
    """
    if math.isnan(p_value):
        return "p undefined"
    if p_value < 0.001:
        return "p < .001"
    if p_value < 0.1:
        return "p = " + f"{p_value:.3f}"[1:]
    return "p = " + short(p_value)
