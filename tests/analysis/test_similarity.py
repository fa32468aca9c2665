"""Similarity of texts: sets counted by hand, and the interval of a mean over pairs."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from scipy import stats

from r1zero.analysis.similarity import compressed_share, jaccard, joint_share, ngrams, pair_mean, repeated_share


def test_jaccard_by_hand():
    """abcd has abc, bcd; abce has abc, bce: 1 of 3.  A text of two words has none."""
    found = jaccard(["a b c d", "a b c e", "a b", "A B C D"])
    assert found[0] == pytest.approx([1, 1 / 3, 0, 1]) and found[2, 2] == 0
    assert ngrams("1+1=2") == [("1", "+", "1"), ("+", "1", "="), ("1", "=", "2")]


def test_repetition_and_compression_see_a_loop():
    rng = random.Random(0)
    fresh = " ".join(rng.choice("abcdefghijklmnop") * rng.randint(1, 9) for _ in range(200))
    loop = "and so on we go " * 60
    assert repeated_share(loop) > 0.95 and compressed_share(loop) < 0.1
    assert repeated_share(fresh) < 0.3 and compressed_share(fresh) > 0.25
    assert math.isnan(repeated_share("a b")) and math.isnan(compressed_share("")) and math.isnan(joint_share([]))


def test_copies_compress_together_and_strangers_do_not():
    rng = random.Random(1)
    strangers = ["".join(rng.choice("0123456789abcdef") for _ in range(400)) for _ in range(8)]
    assert joint_share(strangers) > 0.9 and joint_share([strangers[0]] * 8) < 0.25


def test_pair_mean_by_enumeration():
    rng = np.random.default_rng(0)
    values = rng.random((7, 7))
    values = (values + values.T) / 2
    clusters = np.array([0, 0, 1, 1, 2, 3, 3])
    chosen = clusters[:, None] != clusters[None, :]
    pairs = [(i, j) for i, j in itertools.combinations(range(7), 2) if clusters[i] != clusters[j]]
    mean = np.mean([values[i, j] for i, j in pairs])
    sums = [sum(values[i, j] - mean for i, j in pairs if c in (clusters[i], clusters[j])) for c in range(4)]
    half = stats.t.ppf(0.975, 3) * math.sqrt(4 / 3 * np.sum(np.square(sums))) / len(pairs)
    found = pair_mean(values, chosen, clusters)
    assert (found.estimate, found.high - found.estimate) == pytest.approx((mean, half))
    assert math.isnan(pair_mean(values, np.zeros((7, 7), bool), clusters).estimate)


def test_interval_of_a_mean_over_pairs_covers_the_truth():
    """Value of a pair = u_i + u_j of its two clusters + noise, mean 0; 15 clusters of 3."""
    rng, hits = np.random.default_rng(3), []
    clusters = np.repeat(np.arange(15), 3)
    for _ in range(300):
        u, noise = rng.normal(size=15)[clusters], rng.normal(size=(45, 45))
        values = u[:, None] + u[None, :] + noise + noise.T
        found = pair_mean(values, clusters[:, None] != clusters[None, :], clusters)
        hits.append(found.low <= 0 <= found.high)
    assert 0.91 <= np.mean(hits) <= 0.99
