"""Precision and recall from a stratified sample of labels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from r1zero.statistics.screening import screening


def test_recall_is_weighted_up_by_the_strata():
    """100 flagged, 900 not; 10 labelled of each: 8 and 1 are true.  Prevalence = .1 * .8 + .9 * .1 = .17."""
    flagged = np.repeat([True, False], [100, 900])
    labels = np.full(1000, None, object)
    labels[:10] = [True] * 8 + [False] * 2
    labels[100:110] = [True] + [False] * 9
    found = screening("d", flagged, labels, flagged)
    assert found.precision.estimate == pytest.approx(0.8)
    assert found.recall.estimate == pytest.approx(0.08 / 0.17)  # without weights it would be 8/9
    assert found.specificity.estimate == pytest.approx(0.81 / 0.83)
    assert found.prevalence.estimate == pytest.approx(0.17)
    assert (found.labelled, found.flagged) == (20, 10)
    assert all(x.low <= x.estimate <= x.high for x in (found.precision, found.recall, found.kappa, found.prevalence))


def test_another_detector_is_weighted_by_the_strata_the_sample_was_drawn_by():
    rng = np.random.default_rng(1)
    truth = rng.random(200_000) < 0.2
    strata = np.where(truth, rng.random(200_000) < 0.6, rng.random(200_000) < 0.05)
    judge = np.where(truth, rng.random(200_000) < 0.9, rng.random(200_000) < 0.2)
    labels = np.full(200_000, None, object)
    for stratum in (True, False):  # 5,000 of each, however rare
        drawn = rng.choice(np.flatnonzero(strata == stratum), 5000, replace=False)
        labels[drawn] = truth[drawn]
    found = screening("judge", judge, labels, strata)
    assert found.recall.estimate == pytest.approx(0.9, abs=0.03)
    assert found.precision.estimate == pytest.approx(0.2 * 0.9 / (0.2 * 0.9 + 0.8 * 0.2), abs=0.03)
    assert found.prevalence.estimate == pytest.approx(0.2, abs=0.015)


def test_with_few_labels_nothing_is_said():
    flagged = np.repeat([True, False], 50)
    labels = np.full(100, None, object)
    labels[:4] = True
    labels[50:90] = False
    assert math.isnan(screening("d", flagged, labels, flagged).recall.estimate)


def test_intervals_cover_planted_precision_and_recall():
    rng, hits, sims = np.random.default_rng(0), np.zeros(3), 200
    for _ in range(sims):
        truth = rng.random(2000) < 0.2
        flagged = np.where(truth, rng.random(2000) < 0.5, rng.random(2000) < 0.1)
        labels = np.full(2000, None, object)
        for stratum in (True, False):
            drawn = rng.choice(np.flatnonzero(flagged == stratum), 60, replace=False)
            labels[drawn] = truth[drawn]
        found = screening("d", flagged, labels, flagged)
        realised = ((truth & flagged).sum() / flagged.sum(), (truth & flagged).sum() / truth.sum(), truth.mean())
        measured = (found.precision, found.recall, found.prevalence)
        hits += [x.low <= y <= x.high for x, y in zip(measured, realised, strict=True)]
    assert (hits / sims).min() >= 0.9
