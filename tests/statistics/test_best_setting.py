"""The best of several settings: by hand, and how sure in a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from r1zero.statistics.best_setting import choose


def test_two_problems_by_hand():
    """(1, 0) and (0, 1): drawn anew, one column wins alone a quarter of the time each, else both tie."""
    found = choose(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert found.firsts == pytest.approx((0.5, 0.5), abs=0.04) and found.lead.interval.estimate == 0


def test_a_column_that_is_better_everywhere_is_always_first():
    found = choose(np.array([[0.1, 0.3, 0.2], [0.5, 0.9, 0.6], [0.0, 0.2, 0.1]]))
    assert (found.best, found.runner_up, found.firsts) == (1, 2, (0.0, 1.0, 0.0))
    assert found.lead.interval.estimate == pytest.approx(0.5 / 3)


def test_nothing_to_choose_from_is_none():
    assert choose(np.zeros((5, 1))) is None and choose(np.zeros((1, 3))) is None and choose(np.zeros((0, 2))) is None
    assert choose(np.array([[0.0, np.nan], [1.0, 0.0]])) is None


def test_equal_settings_are_first_equally_often_on_average():
    rng = np.random.default_rng(1)
    firsts = np.mean([choose((rng.random((60, 4)) < 0.5).astype(float)).firsts for _ in range(60)], axis=0)
    assert firsts == pytest.approx([0.25] * 4, abs=0.08)


def test_the_mean_decides_not_the_middle():
    values_PC = np.array([[1.0, 0.4], [0.0, 0.4], [0.0, 0.0]])  # means .33 and .27, medians 0 and .4
    assert choose(values_PC).best == 0
