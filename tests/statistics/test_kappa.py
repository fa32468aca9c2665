"""Cohen's kappa against worked numbers, and its interval against simulated truths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from r1zero.statistics.kappa import concord, kappa_of


def verdicts(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    cells = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [both, first, second, neither], axis=0).astype(bool)
    return cells[:, 0], cells[:, 1]


def test_kappa_is_the_textbook_number():
    first, second = verdicts(20, 5, 10, 15)  # p = .7, e = .5 * .6 + .5 * .4 = .5
    found = concord(first, second, np.arange(50), ("a", "b"))
    assert found.kappa.estimate == pytest.approx(0.4) and found.share.estimate == pytest.approx(0.7)
    assert 0.1 < found.kappa.low < 0.4 < found.kappa.high < 0.7


def test_full_agreement_has_a_width_and_no_agreement_to_find_has_no_kappa():
    first, second = verdicts(10, 0, 0, 10)
    full = concord(first, second, np.arange(20), ("a", "b")).kappa
    assert full.estimate == full.high == 1 and 0.5 < full.low < 1
    silent = concord(*verdicts(0, 0, 0, 9), np.arange(9), ("a", "b"))
    assert math.isnan(silent.kappa.estimate) and silent.share.estimate == 1
    assert math.isnan(concord(np.array([]), np.array([]), np.array([]), ("a", "b")).kappa.estimate)


def test_copies_count_for_nothing():
    first, second = verdicts(20, 5, 10, 15)
    once = concord(first, second, np.arange(50), ("a", "b")).kappa
    copies = concord(np.tile(first, 5), np.tile(second, 5), np.tile(np.arange(50), 5), ("a", "b")).kappa
    assert copies.estimate == pytest.approx(once.estimate)
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.05)


def test_the_interval_covers_the_true_kappa_in_clustered_data():
    rng, hits, sims = np.random.default_rng(0), 0, 200
    rate_of, flip = (0.1, 0.5), 0.1  # problems are of two kinds; the second observer is wrong in 10 %
    truth = None
    for seed in range(sims):
        kinds = rng.choice(rate_of, 60)
        first = rng.random((60, 4)) < kinds[:, None]
        second = first ^ (rng.random((60, 4)) < flip)
        share = np.mean(rate_of)
        cells = np.array([[share * (1 - flip), share * flip, (1 - share) * flip, (1 - share) * (1 - flip)]])
        truth = float(kappa_of(cells)[0])
        found = concord(first.ravel(), second.ravel(), np.repeat(np.arange(60), 4), ("a", "b"), seed=seed).kappa
        hits += found.low <= truth <= found.high
    assert hits / sims >= 0.9
