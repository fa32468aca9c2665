"""Did a rate jump, or did it rise?  A jump is held against every smooth course, not against a constant.

Letters: T times at which the rate was measured, S candidate courses, R bootstrap draws.

Any rising or falling curve is fitted better by a step than by a constant, so finding a "change point" that way says
nothing.  Three kinds of course are compared on the scale y = asin(sqrt(rate)), on which a count of n responses has the
variance 1/4n whatever the rate (Anscombe 1948, Biometrika 35:246):

    constant   y = a
    smooth     y = a + b F((t - c) / s)      F logistic; its rise from 10 to 90 % takes at least SMOOTHEST intervals
    sudden     y = a + b [t >= tau]          the whole change lies between two neighbouring measurements

A smooth course as wide as that holds straight lines, early and late bends, and saturation.  `sudden` is preferred when
it fits better than the best smooth course by more than noise around that course makes it: the null distribution is a
parametric bootstrap from it, with noise as large and as persistent as that of the problems' own responses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from r1zero.statistics.intervals import NOTHING, Interval

Verdict = Literal["cannot tell", "no change", "gradual", "sudden", "either"]
FEWEST = 6  # measurements: smooth courses have four parameters
SMOOTHEST = 3.0  # intervals between measurements over which the quickest smooth rise goes from 10 to 90 %
RISE = 2 * math.log(9)  # from 10 to 90 % of a logistic curve of scale 1
RESAMPLES = 2000
LEVEL = 0.05
PARAMETERS = {"constant": 1, "smooth": 4, "sudden": 3}


@dataclass(frozen=True)
class Counts:
    """Hits of trials at each time, and how much more they vary than independent trials.

    Example: Counts((0, 10, 20), (3, 5, 40), (100, 100, 100), dispersion=1.8)
    """

    times_T: tuple[float, ...]
    hits_T: tuple[float, ...]
    trials_T: tuple[float, ...]
    dispersion: float = 1.0
    persistence: float = 0.0  # correlation of the noise at neighbouring times, rho: of the same problems and numbers

    def effective(self) -> np.ndarray:
        """Independent trials that would vary as much.  [T]"""
        return np.asarray(self.trials_T, float) / self.dispersion


@dataclass(frozen=True)
class ChangePoint:
    """What was found.  Undefined numbers are NaN."""

    verdict: Verdict
    num_times: int
    p_change: float  # that the rate is constant
    p_sudden: float  # that the course is smooth, against a jump
    p_gradual: float  # that the rate jumps once and is constant otherwise, against a smooth course
    penalised: dict[
        str, float
    ]  # constant, smooth, sudden -> BIC: deviance + parameters x log T; the smallest fits best
    when: Interval  # of the jump: the middle between two measurements, with the first and last it may lie between
    before: float  # rate on the left of the jump
    after: float  # and on its right
    smooth_T: tuple[float, ...]  # rates of the best smooth course
    sudden_T: tuple[float, ...]  # rates of the best jump


@dataclass(frozen=True)
class Noise:
    """How a rate varies from time to time beside its course."""

    dispersion: float  # variance over that of independent trials
    persistence: float  # correlation of neighbouring times


def noise(hits_TP: np.ndarray, trials_TP: np.ndarray) -> Noise:
    """The noise of a rate measured at the same problems each time.  [T, P]

    What is left of the shares x_tp when each problem's mean and each time's mean are taken off is noise of a comparison
    between times; what makes a problem always easy is none.  It is taken for AR(1), variance s² and correlation rho^d
    at distance d: successive checkpoints asked with the same random numbers answer alike.  Its differences between
    neighbouring times and its variance around each problem's mean,

        d = s² (1 - rho)        c = s² (1 - mean of rho^|i-j|),

    give rho and s².  The dispersion is s² over the mean of x_t.(1 - x_t.) / n.  Too little to tell is (1, 0).
    """
    shares = hits_TP / trials_TP
    num_times, num_problems = shares.shape
    if num_times < 3 or num_problems < 2:
        return Noise(1.0, 0.0)
    rest = shares - shares.mean(1, keepdims=True) - shares.mean(0, keepdims=True) + shares.mean()
    around = float((rest**2).sum()) / (num_times * (num_problems - 1))
    between = float((np.diff(rest, axis=0) ** 2).sum()) / (2 * (num_times - 1) * (num_problems - 1))
    rates = shares.mean(1)
    expected = float(np.mean(rates * (1 - rates) * (1 / trials_TP).mean(1)))
    if not (around > 0 and between > 0 and expected > 0):
        return Noise(1.0, 0.0)
    rho = _persistence(between / around, num_times)
    return Noise(max(0.1, between / (1 - rho) / expected), rho)


def _persistence(ratio: float, num_times: int) -> float:
    """The rho at which d / c is the ratio; between 0 and .98, where d / c falls."""
    distances = np.abs(np.subtract.outer(np.arange(num_times), np.arange(num_times)))

    def surplus(rho: float) -> float:
        return (1 - rho) / (1 - float((rho**distances).mean())) - ratio

    if surplus(0.0) <= 0:
        return 0.0
    return 0.98 if surplus(0.98) >= 0 else float(optimize.brentq(surplus, 0.0, 0.98))


def change_point(counts: Counts, *, seed: int = 0, resamples: int = RESAMPLES) -> ChangePoint:
    """Whether a rate changed, and whether it jumped.  Times must ascend.

    >>> jump = change_point(Counts(tuple(range(12)), (4,) * 6 + (40,) * 6, (100,) * 12))
    >>> jump.verdict, jump.when.estimate
    ('sudden', 5.5)
    """
    times, effective = np.asarray(counts.times_T, float), counts.effective()
    kept = effective > 0
    if kept.sum() < FEWEST or np.asarray(counts.trials_T)[kept].sum() == 0:
        return nothing(int(kept.sum()))
    times, effective = times[kept], effective[kept]
    rates = np.asarray(counts.hits_T, float)[kept] / np.asarray(counts.trials_T, float)[kept]
    y = angle(rates * effective, effective)
    family = courses(tuple(times))
    fits = Fits(family, 4 * effective)
    deviance = {kind: fits.best(y, kind) for kind in PARAMETERS}
    rng = np.random.default_rng(seed)
    rho = counts.persistence
    under = {kind: draws(fits.course(y, kind), effective, rho, resamples, rng) for kind in PARAMETERS}

    def p_value(null: str, other: Sequence[str]) -> float:
        gain = deviance[null] - min(deviance[kind] for kind in other)
        drawn = fits.bests(under[null], null) - np.min([fits.bests(under[null], kind) for kind in other], axis=0)
        return float((1 + np.sum(drawn >= gain - 1e-12)) / (1 + resamples))

    p_change = p_value("constant", ("smooth", "sudden"))
    p_sudden, p_gradual = p_value("smooth", ("sudden",)), p_value("sudden", ("smooth",))
    place = fits.place(y, "sudden")
    low, high = fits.range_of_jump(y, under["sudden"])
    middles, sudden = (times[1:] + times[:-1]) / 2, fits.course(y, "sudden")
    return ChangePoint(
        verdict=_verdict(p_change, p_sudden, p_gradual),
        num_times=times.size,
        p_change=p_change,
        p_sudden=p_sudden,
        p_gradual=p_gradual,
        penalised={kind: deviance[kind] + count * math.log(times.size) for kind, count in PARAMETERS.items()},
        when=Interval(float(middles[place]), float(times[low]), float(times[high + 1])),
        before=float(rate(sudden)[0]),
        after=float(rate(sudden)[-1]),
        smooth_T=tuple(rate(fits.course(y, "smooth")).tolist()),
        sudden_T=tuple(rate(sudden).tolist()),
    )


def nothing(num_times: int) -> ChangePoint:
    """What too few measurements say."""
    nan = math.nan
    empty = dict.fromkeys(PARAMETERS, nan)
    return ChangePoint("cannot tell", num_times, nan, nan, nan, empty, NOTHING, nan, nan, (), ())


def _verdict(p_change: float, p_sudden: float, p_gradual: float) -> Verdict:
    if p_change >= LEVEL:
        return "no change"
    if p_sudden < LEVEL:
        return "sudden"
    return "gradual" if p_gradual < LEVEL else "either"


def angle(hits: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """asin(sqrt(rate)) with Anscombe's correction for small counts: (k + 3/8) / (n + 3/4)."""
    return np.arcsin(np.sqrt(np.clip((hits + 0.375) / (trials + 0.75), 0, 1)))


def rate(angles: np.ndarray) -> np.ndarray:
    """The rate behind an angle."""
    return np.sin(np.clip(angles, 0, math.pi / 2)) ** 2


@lru_cache(maxsize=32)
def courses(times_T: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Shapes F of each kind, up to level and height.  kind -> [S, T]"""
    times = np.asarray(times_T)
    span, gap = times[-1] - times[0], float(np.median(np.diff(times)))
    slowest = max(4 * span, 2 * SMOOTHEST * gap)
    scales = np.geomspace(SMOOTHEST * gap, slowest, 12) / RISE
    centres = np.linspace(times[0] - span / 2, times[-1] + span / 2, 61)
    smooth = [1 / (1 + np.exp(-np.clip((times - c) / s, -500, 500))) for s in scales for c in centres]
    sudden = [(np.arange(times.size) > place).astype(float) for place in range(times.size - 1)]
    return {"constant": np.zeros((1, times.size)), "smooth": np.array(smooth), "sudden": np.array(sudden)}


class Fits:
    """Weighted least squares of y = a + b F for every course F at once: weights are known, so it is a projection."""

    def __init__(self, family: dict[str, np.ndarray], weights_T: np.ndarray) -> None:
        self.weights_T = weights_T
        self.total = weights_T.sum()
        self.bases: dict[str, np.ndarray] = {}  # [S, T] unit vectors, orthogonal to the constant; 0 where F is flat
        self.root_T = np.sqrt(weights_T)
        for kind, shapes_ST in family.items():
            centred = (shapes_ST - (shapes_ST @ weights_T / self.total)[:, None]) * self.root_T
            norm = np.linalg.norm(centred, axis=1, keepdims=True)
            flat = norm < 1e-9 * math.sqrt(self.total)
            self.bases[kind] = np.where(flat, 0.0, centred / np.where(flat, 1.0, norm))

    def _centred(self, y_RT: np.ndarray) -> np.ndarray:
        return (y_RT - (y_RT @ self.weights_T / self.total)[..., None]) * self.root_T

    def deviances(self, y_RT: np.ndarray, kind: str) -> np.ndarray:
        """Weighted sums of squares left by each course.  [R, T] -> [R, S]"""
        centred = self._centred(y_RT)
        return (centred**2).sum(-1)[..., None] - (centred @ self.bases[kind].T) ** 2

    def bests(self, y_RT: np.ndarray, kind: str) -> np.ndarray:
        return self.deviances(y_RT, kind).min(-1)

    def best(self, y_T: np.ndarray, kind: str) -> float:
        return max(0.0, float(self.bests(y_T[None], kind)[0]))

    def place(self, y_T: np.ndarray, kind: str) -> int:
        """Which course fits best."""
        return int(self.deviances(y_T[None], kind)[0].argmin())

    def course(self, y_T: np.ndarray, kind: str) -> np.ndarray:
        """The best course of a kind, on the scale of y."""
        basis = self.bases[kind][self.place(y_T, kind)]
        return y_T @ self.weights_T / self.total + basis @ self._centred(y_T[None])[0] * basis / self.root_T

    def range_of_jump(self, y_T: np.ndarray, drawn_RT: np.ndarray) -> tuple[int, int]:
        """The first and last place of the jump that fit nearly as well as the best one.

        Places whose deviance exceeds the best by no more than the true place's does in 95 % of the draws around the
        fitted jump (a likelihood-ratio set, calibrated by simulation because the usual chi-square does not hold here).
        """
        place = self.place(y_T, "sudden")
        drawn = self.deviances(drawn_RT, "sudden")
        allowed = float(np.quantile(drawn[:, place] - drawn.min(1), 0.95))
        own = self.deviances(y_T[None], "sudden")[0]
        near = np.flatnonzero(own - own.min() <= allowed + 1e-9)
        return int(near[0]), int(near[-1])


def draws(
    course_T: np.ndarray, effective_T: np.ndarray, persistence: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Angles of counts drawn around a course.  [R, T]

    Binomial counts of the effective numbers of trials, rounded, which keeps a dispersion's variance; with persistence
    through a Gaussian copula: neighbouring times' normal scores correlate so.
    """
    trials = np.maximum(1, np.round(effective_T)).astype(int)
    rates = rate(course_T)
    if persistence == 0:
        return angle(rng.binomial(trials, rates, (count, trials.size)), trials)
    scores = rng.normal(size=(count, trials.size))
    for t in range(1, trials.size):
        scores[:, t] = persistence * scores[:, t - 1] + math.sqrt(1 - persistence**2) * scores[:, t]
    return angle(stats.binom.ppf(stats.norm.cdf(scores), trials, rates), trials)
