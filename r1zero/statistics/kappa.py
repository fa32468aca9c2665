"""Agreement of two observers on the same responses, beyond what chance gives.

C cells of the 2 x 2 table in the order both, only the first, only the second, neither; D draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from r1zero.grading.agreement import Agreement
from r1zero.statistics.intervals import NOTHING, Interval, accuracy_interval, effective_number

DRAWS = 4000
PRIOR = 0.5  # Jeffreys', a cell


@dataclass(frozen=True)
class Concord:
    """How far two observers agree."""

    first: str
    second: str
    counts: Agreement
    share: Interval  # of responses on which they agree
    kappa: Interval


def kappa_of(cells_DC: np.ndarray) -> np.ndarray:
    """Cohen's kappa (p - e) / (1 - e) of tables of probabilities.  [D, C] -> [D]

    Cohen 1960, Educational and Psychological Measurement 20:37.  NaN where chance alone agrees always.

    >>> kappa_of(np.array([[0.4, 0.1, 0.1, 0.4]])).round(3).tolist()
    [0.6]
    """
    total = cells_DC.sum(axis=-1)
    both, first, second, neither = np.moveaxis(cells_DC, -1, 0) / total
    chance = (both + first) * (both + second) + (neither + first) * (neither + second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (both + neither - chance) / (1 - chance), math.nan)


def concord(
    first_N: np.ndarray, second_N: np.ndarray, clusters_N: np.ndarray, names: tuple[str, str], *, seed: int = 0
) -> Concord:
    """Agreement of two observers' verdicts, clustered by problem.  [N], [N], [N]

    Kappa is bounded by quantiles of its posterior under Jeffreys' prior on the four cells, which has a width also where
    the two never differ.  The counts are scaled to the effective number of responses: that which the clustered interval
    of the share of agreement has (Korn & Graubard 1998, Survey Methodology 24:193), at least the number of problems.
    """
    first, second = np.asarray(first_N, bool), np.asarray(second_N, bool)
    cells = np.array(
        [(first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum()]
    )
    counts = Agreement(*map(int, cells))
    if not counts.rows:
        return Concord(*names, counts, NOTHING, NOTHING)
    _, index = np.unique(clusters_N, return_inverse=True)
    agreed, sizes = np.bincount(index, weights=first == second), np.bincount(index)
    share = accuracy_interval(agreed, sizes)
    scale = effective_number(agreed, sizes) / counts.rows
    draws = np.random.default_rng(seed).dirichlet(cells * scale + PRIOR, DRAWS)
    low, high = np.nanquantile(kappa_of(draws), [0.025, 0.975])
    estimate = counts.kappa
    if math.isnan(estimate):  # both say one thing only: there is nothing to agree on
        return Concord(*names, counts, share, NOTHING)
    return Concord(*names, counts, share, Interval(estimate, min(estimate, float(low)), max(estimate, float(high))))
