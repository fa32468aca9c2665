"""Placebo places are matched one to one, as alike as possible."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from r1zero.probe.matching import OTHER_PROBLEM, Spot, match


def test_the_nearest_in_depth_and_entropy_are_taken() -> None:
    wanted = [Spot("a", 10, 0.5), Spot("b", 40, 2.0), Spot("c", 160, 1.0)]
    candidates = [Spot("x", 160, 1.1), Spot("x", 10, 2.0), Spot("x", 11, 0.5), Spot("x", 39, 1.9), Spot("x", 500, 9.0)]
    assert match(wanted, candidates, seed=0) == [2, 3, 0]


def test_the_same_problem_is_preferred_among_equals() -> None:
    wanted = [Spot("a", 10, 0.5), Spot("b", 20, 1.0)]
    candidates = [Spot("b", 10, 0.5), Spot("a", 10, 0.5), Spot("b", 20, 1.0), Spot("a", 20, 1.0)]
    assert match(wanted, candidates, seed=0) == [1, 2]


def test_the_sum_of_costs_is_the_least_there_is() -> None:
    rng = np.random.default_rng(0)
    wanted, candidates = (
        [Spot(f"p{rng.integers(3)}", int(rng.integers(100)), float(rng.random())) for _ in range(n)] for n in (4, 6)
    )
    depth, entropy = (
        np.array([f(s) for s in wanted]).std() for f in (lambda s: np.log1p(s.depth), lambda s: s.entropy)
    )

    def cost(chosen: tuple[int, ...]) -> float:
        pairs = [(a, candidates[index]) for a, index in zip(wanted, chosen, strict=True)]
        return sum(
            abs(np.log1p(a.depth) - np.log1p(b.depth)) / depth
            + abs(a.entropy - b.entropy) / entropy
            + OTHER_PROBLEM * (a.problem_id != b.problem_id)
            for a, b in pairs
        )

    best = min(cost(chosen) for chosen in permutations(range(6), 4))
    assert cost(tuple(match(wanted, candidates, seed=0))) == pytest.approx(best)


def test_spots_beyond_the_candidates_have_none() -> None:
    assert sorted(match([Spot("a", 1, 0.1), Spot("a", 2, 0.2)], [Spot("a", 2, 0.2)], seed=0)) == [-1, 0]
    assert match([Spot("a", 1, 0.1)], [], seed=0) == [-1]
