"""How good a detector is, judged by hand labels of a sample of responses.

S strata (what the sample was drawn by), each split by the detector's verdict into cells; D draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from r1zero.statistics.intervals import NOTHING, Interval
from r1zero.statistics.kappa import DRAWS, PRIOR, kappa_of

FEWEST = 5  # labels of each verdict, below which nothing is said


@dataclass(frozen=True)
class Screening:
    """A detector against labels, weighted up to all responses."""

    detector: str
    labelled: int
    flagged: int  # of those labelled
    precision: Interval  # of flagged responses, those that the labels call so
    recall: Interval  # of responses that labels call so, those flagged
    specificity: Interval  # of the others, those not flagged
    kappa: Interval
    prevalence: Interval  # of all responses, those that labels would call so


def screening(detector: str, flagged_N: np.ndarray, label_N: np.ndarray, stratum_N: np.ndarray) -> Screening:
    """Precision, recall and kappa of a detector.  [N] booleans, [N] True, False or None (not labelled), [N]

    Within a stratum the labelled responses must be a random sample (`r1zero label` draws them so; a plain random sample
    is one stratum).  The share p of true ones in a cell (stratum, verdict) is known from its labels and the cell's
    weight w from all responses, so that recall = sum over flagged cells of w p / sum over all cells of w p, and so on:
    post-stratification (Holt & Smith 1979, JRSS A 142:33).  Bounds are quantiles when each p is drawn from its
    posterior Beta(k + 1/2, n - k + 1/2).  NaN with fewer than 5 labels on either verdict.
    """
    flagged = np.asarray(flagged_N, bool)
    known = np.array([one is not None for one in label_N])
    true = np.array([bool(one) for one in label_N])
    num_flagged = int((flagged & known).sum())
    few = min(num_flagged, int(known.sum()) - num_flagged) < FEWEST
    if few:
        return Screening(detector, int(known.sum()), num_flagged, *[NOTHING] * 5)
    _, stratum = np.unique(np.asarray(stratum_N).astype(str), return_inverse=True)
    cell = 2 * stratum + flagged
    weights = np.bincount(cell) / cell.size
    labels = np.bincount(cell[known], minlength=weights.size)
    positives = np.bincount(cell[known & true], minlength=weights.size)
    is_flagged = np.arange(weights.size) % 2 == 1
    unseen = labels == 0
    with np.errstate(invalid="ignore"):
        shares = np.where(unseen, 0.5, positives / labels)
    draws = np.random.default_rng(0).beta(positives + PRIOR, labels - positives + PRIOR, (DRAWS, weights.size))
    estimates = _measures(shares[None], weights, is_flagged)[:, 0]
    bounds = np.nanquantile(_measures(draws, weights, is_flagged), [0.025, 0.975], axis=1)
    intervals = [_around(*map(float, triple)) for triple in zip(estimates, *bounds, strict=True)]
    return Screening(detector, int(known.sum()), num_flagged, *intervals)


def _measures(shares_DC: np.ndarray, weights_C: np.ndarray, is_flagged_C: np.ndarray) -> np.ndarray:
    """Precision, recall, specificity, kappa and prevalence of each draw.  -> [5, D]"""
    true, false = shares_DC * weights_C, (1 - shares_DC) * weights_C
    both, missed = true[:, is_flagged_C].sum(1), true[:, ~is_flagged_C].sum(1)
    wrongly, rest = false[:, is_flagged_C].sum(1), false[:, ~is_flagged_C].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = kappa_of(np.stack([both, wrongly, missed, rest], axis=-1))
        measures = [both / (both + wrongly), both / (both + missed), rest / (rest + wrongly), kappa, both + missed]
    return np.stack(measures)


def _around(estimate: float, low: float, high: float) -> Interval:
    if math.isnan(estimate):
        return NOTHING
    return Interval(estimate, min(estimate, low), max(estimate, high))
