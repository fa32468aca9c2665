"""The ridge logistic regression: conditions it solves, and a truth it recovers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from r1zero.statistics.logistic import fit_logistic, predict_unseen


def test_without_features_the_intercept_is_the_log_odds():
    right = np.array([True, True, True, False])
    assert fit_logistic(np.zeros((4, 0)), right)[0] == pytest.approx(math.log(3))


def test_gradient_is_zero_at_the_solution():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)), rng.random(80) < 0.3
    w = fit_logistic(x, y, ridge=2.0)
    p = 1 / (1 + np.exp(-(w[0] + x @ w[1:])))
    assert x.T @ (p - y) + 2.0 * w[1:] == pytest.approx(np.zeros(3), abs=1e-4)
    assert np.sum(p - y) == pytest.approx(0, abs=1e-4)


def test_separable_and_constant_data_have_finite_solutions():
    w = fit_logistic(np.array([[-100.0], [100.0]] * 3), np.array([False, True] * 3))
    assert np.isfinite(w).all() and w[1] > 0
    assert np.isfinite(fit_logistic(np.ones((4, 2)), np.array([True] * 4))).all()


def test_planted_coefficients_are_found():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20_000, 2))
    y = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 + x @ [1.0, -2.0])))
    assert fit_logistic(x, y) == pytest.approx([0.5, 1.0, -2.0], abs=0.1)


def test_a_feature_that_only_names_the_problem_predicts_nothing_unseen():
    """Each problem is all right or all wrong and has its own feature: fitted, that separates; unseen, it is useless."""
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(40), 5)
    right = (rng.random(40) < 0.5)[cluster]
    scores, fold = predict_unseen(np.eye(40)[cluster], right, cluster)
    assert np.isfinite(scores).all() and abs(np.corrcoef(scores, right)[0, 1]) < 0.4
    assert all(np.unique(fold[cluster == c]).size == 1 for c in range(40)) and np.bincount(fold).tolist() == [40] * 5
    assert np.isnan(predict_unseen(np.ones((3, 1)), np.array([True, False, True]), np.zeros(3))[0]).all()
