"""Answers counted: every formula against drawing all subsets."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from r1zero.statistics.tally import Tally, agreement, distinct_at, entropy, largest_share, majority_at, solved_at
from r1zero.statistics.votes import RIGHT

TALLIES = [
    Tally(3, (2, 1), 2),
    Tally(2, (2, 2), 0),
    Tally(1, (1, 1, 1, 1), 3),
    Tally(4, (3,), 1),
    Tally(0, (3, 2), 1),
    Tally(5, (), 3),
    Tally(2, (4, 1), 1),
]


def votes_of(tally: Tally) -> list[object]:
    wrong = [f"w{i}" for i, count in enumerate(tally.wrong) for _ in range(count)]
    return [RIGHT] * tally.right + wrong + [None] * tally.none


def majority_wins(votes: tuple[object, ...]) -> float:
    """Which answer has most votes, ties drawn fairly, by looking."""
    counts = Counter(vote for vote in votes if vote is not None)
    first = [vote for vote, count in counts.items() if count == max(counts.values())]
    return (RIGHT in first) / len(first) if first else 0.0


@pytest.mark.parametrize("tally", TALLIES)
def test_chances_are_means_over_all_subsets(tally):
    for k in range(1, tally.n + 1):
        drawn = list(itertools.combinations(votes_of(tally), k))
        assert majority_at(tally, k) == pytest.approx(np.mean([majority_wins(votes) for votes in drawn]))
        assert solved_at(tally, k) == pytest.approx(np.mean([RIGHT in votes for votes in drawn]))
        assert distinct_at(tally, k) == pytest.approx(np.mean([len(set(votes) - {None}) for votes in drawn]))
    pairs = [a == b and a is not None for a, b in itertools.combinations(votes_of(tally), 2)]
    assert agreement(tally) == pytest.approx(np.mean(pairs))


def test_more_are_asked_than_answered():
    assert all(math.isnan(f(Tally(1, (), 1), 3)) for f in (majority_at, solved_at, distinct_at))
    assert math.isnan(agreement(Tally(1, (), 0))) and math.isnan(entropy(Tally(1, (), 4)))


def test_largest_share_counts_those_without_an_answer_among_all():
    assert largest_share(Tally(1, (2,), 5)) == 0.25 and largest_share(Tally(0, (), 4)) == 0


def test_entropy_has_a_quarter_of_the_bias_of_the_plug_in():
    """Four answers with .4 .3 .2 .1, eight responses: the plug-in is short of the truth by .22 nats, this by .06."""
    p = np.array([0.4, 0.3, 0.2, 0.1])
    truth = -float(p @ np.log(p))
    counts = np.random.default_rng(0).multinomial(8, p, size=4000)
    found = np.mean([entropy(Tally(0, tuple(int(c) for c in row if c), 0)) for row in counts])
    q = counts / 8
    plug_in = -np.sum(q * np.log(np.where(q > 0, q, 1)), axis=1).mean()
    assert abs(found - truth) < 0.07 and truth - plug_in > 0.2


def test_many_responses_stay_within_bounds():
    """2,000 responses, where binomial coefficients overflow; by symmetry two equal answers share the wins."""
    assert majority_at(Tally(700, (700,), 600), 64) == pytest.approx(0.5)
    assert majority_at(Tally(500, (500, 500, 500), 0), 16) == pytest.approx(0.25)
