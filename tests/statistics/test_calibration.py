"""Calibration: errors by hand, and a p-value that is right where confidence is honest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from r1zero.statistics.calibration import calibration


def test_errors_by_hand():
    """Two problems at 1/2, one of them right: 0 off.  Two at 1, one right: 1/2 off.  (2 x 0 + 2 x 1/2) / 4 = 1/4."""
    found = calibration(np.array([0.5, 0.5, 1.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert (found.error.estimate, found.gap.estimate) == pytest.approx((0.25, 0.25))
    assert [(b.confidence, b.right.estimate, b.num_problems) for b in found.bins] == [(0.5, 0.5, 2), (1.0, 0.5, 2)]
    assert found.telling.auroc.estimate == 0.5


def test_many_values_share_ten_bins():
    confidence = np.linspace(0.01, 1, 100)
    found = calibration(confidence, (confidence > 0.5).astype(float))
    assert [b.num_problems for b in found.bins] == [10] * 10
    assert found.telling.auroc.estimate == 1


def test_nothing_known_is_nan():
    found = calibration(np.array([]), np.array([]))
    assert found.num_problems == 0 and math.isnan(found.error.estimate) and math.isnan(found.telling.auroc.estimate)
    assert math.isnan(calibration(np.array([1.0]), np.array([1.0])).error.low)


def test_honest_confidence_is_called_wrong_in_one_of_twenty_and_overconfidence_is_found():
    rng = np.random.default_rng(0)
    honest, over = [], []
    for i in range(200):
        c = rng.integers(1, 9, 80) / 8
        honest.append(calibration(c, (rng.random(80) < c).astype(float), seed=i))
        over.append(calibration(c, (rng.random(80) < c - 0.25).astype(float), seed=i))
    assert 0.01 <= np.mean([found.p_value < 0.05 for found in honest]) <= 0.10
    assert np.mean([found.p_value < 0.05 for found in over]) > 0.95
    assert np.mean([found.gap.low <= 0 <= found.gap.high for found in honest]) > 0.9
    mean_error = np.mean([found.error.estimate for found in honest])
    assert mean_error == pytest.approx(np.mean([found.error_by_chance for found in honest]), rel=0.05)
