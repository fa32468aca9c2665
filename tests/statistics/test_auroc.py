"""AUROC: counts by hand, DeLong's interval where responses are independent, coverage where they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from r1zero.statistics.auroc import separation


def test_pairs_counted_by_hand():
    """Right 3, 1; wrong 2, 1, 0.  Wins 3 of 3 and 1.5 of 3: 4.5 of 6."""
    found = separation([3, 1, 2, 1, 0], [True, True, False, False, False], range(5))
    assert found.auroc.estimate == pytest.approx(4.5 / 6)
    assert (found.num_right, found.num_wrong, found.num_clusters) == (2, 3, 5)


def test_only_pairs_of_the_same_stratum_count():
    """Within the first problem right wins, within the second it loses twice; the third has no pair."""
    scores, right = [2, 1, 5, 6, 7, 9], [True, False, True, False, False, True]
    found = separation(scores, right, [0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 1, 2])
    assert found.auroc.estimate == pytest.approx(1 / 3)
    assert (found.num_right, found.num_wrong, found.num_clusters) == (2, 3, 2)


def brute(scores, right, strata):
    return [
        (float(scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]), i, j)
        for i in range(len(scores))
        for j in range(len(scores))
        if right[i] and not right[j] and strata[i] == strata[j]
    ]


def test_variance_is_the_jackknife_of_whole_clusters():
    """D_c from every pair a cluster is in, by enumeration, with ties, strata across clusters and pairs inside one."""
    rng = np.random.default_rng(0)
    scores, right = rng.integers(0, 6, 40), rng.random(40) < 0.4
    strata, clusters = rng.integers(0, 3, 40), rng.integers(0, 8, 40)
    pairs = brute(scores, right, strata)
    assert set(clusters.tolist()) == set(range(8))
    theta = sum(w for w, _, _ in pairs) / len(pairs)
    sums = {c: sum(w - theta for w, i, j in pairs if c in (clusters[i], clusters[j])) for c in set(clusters.tolist())}
    error = math.sqrt(8 / 7 * sum(d * d for d in sums.values())) / len(pairs)
    half = stats.t.ppf(0.975, 7) * error / (theta * (1 - theta))
    found = separation(scores, right, clusters, strata).auroc
    assert found.estimate == pytest.approx(theta)
    assert math.log(found.high / (1 - found.high)) - math.log(theta / (1 - theta)) == pytest.approx(half)


def test_order_and_monotone_transforms_do_not_matter():
    rng = np.random.default_rng(3)
    scores, right, clusters = rng.normal(size=60), rng.random(60) < 0.5, rng.integers(0, 15, 60)
    shuffled = rng.permutation(60)
    plain = separation(scores, right, clusters)
    assert separation(np.exp(scores)[shuffled], right[shuffled], clusters[shuffled]) == plain
    flipped = separation(-scores, right, clusters).auroc
    assert (flipped.estimate, flipped.low) == pytest.approx((1 - plain.auroc.estimate, 1 - plain.auroc.high))


def test_what_cannot_be_told_is_nan_and_perfection_has_a_width():
    assert math.isnan(separation([], [], []).auroc.estimate)
    assert math.isnan(separation([1.0, 2.0], [True, True], [0, 1]).auroc.estimate)
    assert math.isnan(separation([1.0, math.nan], [True, False], [0, 1]).auroc.estimate)
    one_problem = separation([1.0, 2.0], [False, True], [0, 0]).auroc
    assert one_problem.estimate == 1 and math.isnan(one_problem.low)
    perfect = separation([1.0, 2.0, 3.0, 4.0], [False, False, True, True], range(4)).auroc
    assert perfect.estimate == 1 and 0.2 < perfect.low < 0.5


def simulated(rng: np.random.Generator, within: bool):
    """40 problems x 6: score = shift if right + how the problem scores + noise; easy problems score higher."""
    ease = np.repeat(rng.normal(size=40), 6)
    right = rng.random(240) < 1 / (1 + np.exp(-ease))
    scores = 0.6 * right + 0.8 * ease + rng.normal(size=240)
    clusters = np.repeat(np.arange(40), 6)
    return separation(scores, right, clusters, clusters if within else None).auroc


def test_interval_covers_the_truth_although_problems_differ():
    """Truth within a problem: Phi(0.6 / sqrt 2); across problems: the mean of 400 other simulations."""
    truth = float(stats.norm.cdf(0.6 / math.sqrt(2)))
    rng = np.random.default_rng(5)
    hits = [truth >= (one := simulated(rng, within=True)).low and truth <= one.high for _ in range(300)]
    assert 0.91 <= np.mean(hits) <= 0.99
    pooled = np.mean([simulated(np.random.default_rng((9, i)), within=False).estimate for i in range(400)])
    found = [simulated(rng, within=False) for _ in range(300)]
    assert 0.91 <= np.mean([one.low <= pooled <= one.high for one in found]) <= 0.99
    assert pooled > truth + 0.05  # difficulty helps the pooled score


def test_the_best_of_nine_scores_that_say_nothing_is_seldom_said_to_tell():
    rng, alarms, single, sims = np.random.default_rng(0), 0, 0, 150
    for _ in range(sims):
        problem, right = np.repeat(np.arange(40), 6), rng.random(240) < 0.5
        found = [separation(rng.normal(size=240), right, problem, family=9) for _ in range(9)]
        best = max(found, key=lambda one: abs(one.auroc.estimate - 0.5))
        alarms += best.tells
        single += best.auroc.low > 0.5 or best.auroc.high < 0.5
    assert alarms / sims <= 0.1 and single / sims > 0.2
