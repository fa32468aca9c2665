"""Degenerate groups: hand counts, the published table, and simulated difficulty."""

from __future__ import annotations

import math

import numpy as np
import pytest

from r1zero.analysis.groups import degenerate_predicted, degenerate_share, degenerate_share_at


def test_prediction_is_the_binomial_formula_for_right_or_wrong_rewards():
    """p^G + (1-p)^G at p = .25: .320 for G = 4 and .100 for G = 8."""
    assert degenerate_predicted([[1, 0, 0, 0]] * 6) == pytest.approx(0.3203, abs=1e-4)
    assert degenerate_predicted([[1, 1, 0, 0, 0, 0, 0, 0]] * 6) == pytest.approx(0.1001, abs=1e-4)


def test_three_reward_values_predict_with_the_multinomial():
    assert degenerate_predicted([[0.0, 0.1, 1.0, 0.1]]) == pytest.approx(0.25**4 * 2 + 0.5**4)


def test_share_counts_equal_rewards_not_equal_correctness():
    assert degenerate_share([[0.1, 0.1], [0.0, 0.1], [0.0, 0.0]]) == pytest.approx(2 / 3)
    assert math.isnan(degenerate_share([])) and math.isnan(degenerate_predicted([]))


def test_equally_hard_problems_meet_the_prediction_and_unequal_ones_exceed_it():
    rng = np.random.default_rng(0)
    equal = rng.binomial(1, 0.3, size=(4000, 8)).tolist()
    assert degenerate_share(equal) == pytest.approx(degenerate_predicted(equal), abs=0.02)
    unequal = (rng.random((4000, 8)) < rng.choice([0.02, 0.58], size=(4000, 1))).astype(int).tolist()
    assert degenerate_share(unequal) > degenerate_predicted(unequal) + 0.2


def test_share_at_another_group_size_is_unbiased():
    """Problems with p = .1 or .7, 8 responses each: at G = 4 the truth is (.6562 + .2482) / 2 = .4522."""
    rng = np.random.default_rng(1)
    counts = rng.binomial(8, rng.choice([0.1, 0.7], size=20_000))
    truth = np.mean([p**4 + (1 - p) ** 4 for p in (0.1, 0.7)])
    assert degenerate_share_at(counts.tolist(), [8] * 20_000, 4) == pytest.approx(truth, abs=0.01)
    assert degenerate_share_at([8, 0, 3], [8, 8, 8], 8) == pytest.approx(2 / 3)
    assert degenerate_share_at([1], [2], 4) is math.nan or math.isnan(degenerate_share_at([1], [2], 4))
    with pytest.raises(ValueError, match="group_size=0"):
        degenerate_share_at([1], [2], 0)
