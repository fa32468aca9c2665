"""Calibration: when answers agree, are they right?

P problems, each with one confidence (how many of its responses agree) and one outcome (is what they agree on right).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from r1zero.statistics.auroc import Separation, separation
from r1zero.statistics.intervals import NOTHING, Interval, mean_interval, wilson_interval

BINS = 10
RESAMPLES = 1000


@dataclass(frozen=True)
class Bin:
    """Problems of about the same confidence."""

    confidence: float  # their mean
    right: Interval  # share of them that is right
    num_problems: int


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be trusted, over problems."""

    num_problems: int
    bins: tuple[Bin, ...]
    gap: Interval  # mean confidence minus share right: above 0 is overconfident
    error: Interval  # expected calibration error: mean over problems of |confidence - share right| of their bin
    error_by_chance: float  # what that error would be on average if confidence were the chance of being right
    p_value: float  # how often it would then be as large
    telling: Separation  # does confidence tell right from wrong


def calibration(confidence: np.ndarray, right: np.ndarray, *, seed: int = 0) -> Calibration:
    """Bins, errors and AUROC of one confidence and one outcome a problem.  [P], [P]

    Ten equal bins of (0, 1], or each value by itself where there are no more than that.  The error is biased upwards by
    chance, which is why what chance alone gives stands beside it (Widmann et al. 2019, arXiv:1910.11385, section 5).
    Its interval are percentiles of a bootstrap over problems.
    """
    kept = np.isfinite(confidence)
    c, y = np.asarray(confidence, float)[kept], np.asarray(right, float)[kept]
    if c.size == 0:
        return Calibration(0, (), NOTHING, NOTHING, math.nan, math.nan, separation([], [], []))
    index = _bins(c)
    bins = tuple(
        Bin(float(c[index == b].mean()), wilson_interval(float(y[index == b].sum()), int((index == b).sum())), int(n))
        for b, n in enumerate(np.bincount(index))
    )
    observed, resampled, by_chance = _errors(index, c, y, seed)
    low, high = np.quantile(resampled, [0.025, 0.975]) if c.size > 1 else (math.nan, math.nan)
    return Calibration(
        num_problems=int(c.size),
        bins=bins,
        gap=mean_interval(c - y),
        error=Interval(observed, float(low), float(high)),
        error_by_chance=float(by_chance.mean()),
        p_value=float((1 + np.sum(by_chance >= observed - 1e-12)) / (1 + RESAMPLES)),
        telling=separation(c, y > 0.5, np.arange(c.size)),
    )


def _bins(confidence: np.ndarray) -> np.ndarray:
    """Which bin each problem is in, counted from 0 without gaps.  [P]"""
    values, index = np.unique(confidence, return_inverse=True)
    if values.size > BINS:
        tenths = np.ceil(confidence * BINS - 1e-9).astype(int)
        index = np.unique(tenths, return_inverse=True)[1]
    return index


def _errors(
    index: np.ndarray, confidence: np.ndarray, right: np.ndarray, seed: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """The calibration error, that of R bootstrap draws, and that of R draws where confidence is the chance of right.

    Problems alike in confidence and outcome are drawn together: by a multinomial, or a binomial.  -> (), [R], [R]
    """
    rng = np.random.default_rng(seed)
    kinds, kind = np.unique(np.stack([index, confidence, right], axis=1), axis=0, return_inverse=True)
    levels, level = np.unique(np.stack([index, confidence], axis=1), axis=0, return_inverse=True)
    counts, sizes = np.bincount(kind.ravel()), np.bincount(level.ravel())
    size, surplus = index.size, kinds[:, 1] - kinds[:, 2]

    def error(sums_RK: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """sum over bins of |sum of (confidence - right)| / P, from those sums by kind.  [R, K] -> [R]"""
        of_bin = (bins[:, None] == np.arange(int(bins.max()) + 1)).astype(float)
        return np.abs(sums_RK @ of_bin).sum(axis=1) / size

    observed = error((counts * surplus)[None, :], kinds[:, 0])
    resampled = error(rng.multinomial(size, counts / size, size=RESAMPLES) * surplus, kinds[:, 0])
    chance = np.clip(levels[:, 1], 0, 1)
    honest = rng.binomial(sizes, chance, size=(RESAMPLES, sizes.size))
    by_chance = error(sizes * levels[:, 1] - honest, levels[:, 0])
    return float(observed[0]), resampled, by_chance
