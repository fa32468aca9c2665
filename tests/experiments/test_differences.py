"""Paired differences over seeds and over problems: by hand, and in simulations whose truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from r1zero.experiments.arms import Arm
from r1zero.experiments.differences import compare_arms
from r1zero.experiments.measures import MEASURES, Measured, measure, ratios
from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.resampling import bootstrapped, label_swapped, same_problems, spreads, swap_p_values
from r1zero.statistics.intervals import mean_interval, sign_flip_test

ACCURACY, RIGHT, NOT_RIGHT = 0, 2, 3


def evaluation(rows: list[tuple]) -> pl.DataFrame:
    columns = ["problem_id", "correct", "num_tokens", "finish_reason", "response"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def simulated(shares_P: np.ndarray, tokens_P: np.ndarray | None = None, name: str = "run", first: int = 0) -> Measured:
    """A run whose every measure is its accuracy, or whose lengths of right responses are given."""
    sums = np.tile(shares_P, (len(MEASURES), 1)).astype(float)
    counts = np.ones_like(sums)
    if tokens_P is not None:
        sums[RIGHT], counts[RIGHT] = shares_P * tokens_P, shares_P
    return Measured(name, tuple(f"p{first + i}" for i in range(len(shares_P))), sums, counts, one_response=False)


def arm(label: str, seeds: range) -> Arm:
    runs = tuple(RecordedRun(Path(f"{label}/{s}"), {"config": {"seed": s}}, ({"step": 1},)) for s in seeds)
    return Arm(label, runs)


def compared(pairs: list[tuple[Measured, Measured]], **settings):
    arms = arm("a", range(len(pairs))), arm("b", range(len(pairs)))
    measured = {arms[side].runs[s].dir: pair[side] for s, pair in enumerate(pairs) for side in (0, 1)}
    return compare_arms(*arms, measured, **({"greedy": False} | settings))


def test_measures_of_three_problems_by_hand():
    """Right: 10 and 20 tokens; not right: 8 (wrong), 4 (unformatted), 32 (cut)."""
    found = measure(
        evaluation(
            [
                ("p", True, 10, "stop", "Wait, yes"),
                ("p", False, 8, "stop", "no"),
                ("q", True, 20, "length", "hmm"),
                ("q", False, 32, "length", "hmm"),
                ("r", False, 4, "stop", ""),
                ("r", False, 4, "stop", ""),
            ]
        ),
        "run",
    )
    values = dict(zip(MEASURES, found.values, strict=True))
    assert values["accuracy"] == pytest.approx(1 / 3)
    assert values["tokens"] == pytest.approx(78 / 6)
    assert (values["tokens_correct"], values["tokens_incorrect"]) == (15, 12)
    assert values["truncated_share"] == pytest.approx(1 / 6)  # a right answer that was cut is right
    assert values["cue_share"] == pytest.approx(1 / 2)
    assert not found.one_response


def test_problems_are_aligned_by_name_and_strangers_refused():
    a, b = simulated(np.array([0, 0.5, 1])), simulated(np.array([1, 0.5, 0]))
    shuffled = Measured("b", ("p2", "p0", "p1"), b.sums_MP[:, [2, 0, 1]], b.counts_MP[:, [2, 0, 1]], False)
    assert (shuffled.in_order_of(a).sums_MP == b.sums_MP).all()
    with pytest.raises(ValueError, match=r"different held-out problems \(2 in common of 3 and 3\)"):
        simulated(np.zeros(3), first=1).in_order_of(a)


def test_seeds_that_share_problems_are_averaged_problem_by_problem():
    """Seed 0 gains on p0 and loses on p1, seed 1 the reverse: over these problems nothing is left to vary."""
    up, down = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    pairs = [(simulated(down), simulated(up)), (simulated(up), simulated(down))]
    difference = compared(pairs)
    assert difference.shared_problems
    over_problems = difference.accuracy.over_problems
    assert (over_problems.interval.low, over_problems.interval.high) == (0, 0)
    assert (over_problems.better, over_problems.worse, over_problems.tied) == (0, 0, 2)
    apart = [(simulated(down), simulated(up)), (simulated(up, first=5), simulated(down, first=5))]
    difference = compared(apart)
    assert not difference.shared_problems and difference.accuracy.over_problems.count == 4
    assert difference.accuracy.over_problems.interval.low < 0 < difference.accuracy.over_problems.interval.high


def test_swapping_labels_is_flipping_signs_where_a_measure_is_a_mean():
    """Eight problems with differences .1 to .8: swaps agree with the exact test over all 2^8 signs."""
    gaps = np.arange(1, 9) / 10 * np.array([1, 1, -1, 1, 1, -1, 1, 1])
    pair = (simulated(np.zeros(8)), simulated(gaps))
    swaps = label_swapped([pair], shared=True, resamples=40_000)
    assert swap_p_values(gaps.mean() * np.ones(6), swaps)[ACCURACY] == pytest.approx(sign_flip_test(gaps), abs=0.01)


def test_a_ratio_is_resampled_with_its_own_denominator():
    """Right responses of 10 and 30 tokens, equally many: 5 longer in the other arm, whichever is drawn."""
    a = simulated(np.array([1.0, 1.0]), np.array([10.0, 30.0]))
    b = simulated(np.array([1.0, 1.0]), np.array([10.0, 30.0]) + 5)
    assert set(bootstrapped([(a, b)], shared=True, resamples=64)[:, RIGHT]) == {5.0}
    none = simulated(np.zeros(2), np.zeros(2))
    difference = compared([(a, none)])
    row = difference.measures[RIGHT]
    assert (
        math.isnan(row.other_value) and math.isnan(row.over_problems.p_value) and math.isnan(row.over_problems.p_holm)
    )
    assert math.isnan(ratios(np.zeros(1), np.zeros(1))[0])


def test_the_spread_of_a_mean_is_the_standard_deviation_of_its_differences():
    rng = np.random.default_rng(0)
    a, b = rng.random(50), rng.random(50)
    assert spreads([(simulated(a), simulated(b))], shared=True)[ACCURACY] == pytest.approx((b - a).std(ddof=1))
    two = [(simulated(a), simulated(b)), (simulated(a, first=50), simulated(b, first=50))]
    expected_error = (b - a).std(ddof=1) / math.sqrt(50) / math.sqrt(2)  # of the mean of two independent means
    assert spreads(two, shared=False)[ACCURACY] / math.sqrt(100) == pytest.approx(expected_error)


def test_each_level_covers_what_it_speaks_of():
    """A seed moves a whole run by N(0, .1); the arms truly differ by .05, these very runs by something else.

    The interval over seeds covers .05, that over problems covers the runs' own difference, and not .05.
    """
    covers_truth, covers_runs, mistaken, trials = 0, 0, 0, 200
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        pairs, own = [], []
        for _ in range(4):
            ease = rng.normal(0.5, 0.2, 60)
            moved = 0.05 + rng.normal(0, 0.1)
            own.append(moved)
            noise = rng.normal(0, 0.1, (2, 60))
            pairs.append((simulated(ease + noise[0]), simulated(ease + moved + noise[1])))
        gaps = [float(b.values[ACCURACY] - a.values[ACCURACY]) for a, b in pairs]
        seeds = mean_interval(gaps)
        covers_truth += seeds.low <= 0.05 <= seeds.high
        assert same_problems(pairs) is not None
        low, high = np.quantile(bootstrapped(pairs, shared=True, resamples=300)[:, ACCURACY], [0.025, 0.975])
        covers_runs += low <= np.mean(own) <= high
        mistaken += not low <= 0.05 <= high
    assert 0.91 <= covers_truth / trials <= 0.99
    assert 0.89 <= covers_runs / trials <= 0.99
    assert mistaken / trials > 0.4


def test_label_swaps_keep_their_level_for_lengths_of_right_responses():
    """Both arms answer alike; lengths depend on the problem, and which problems are right on the draw."""
    rejected, trials = 0, 200
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        p, length = rng.beta(1, 1, 60), rng.normal(100, 30, 60)
        pair = tuple(simulated(rng.binomial(4, p) / 4, length + rng.normal(0, 5, 60)) for _ in range(2))
        observed = pair[1].values - pair[0].values
        swaps = label_swapped([pair], shared=True, resamples=200, seed=trial)
        rejected += swap_p_values(observed, swaps)[RIGHT] < 0.05
    assert 0.01 <= rejected / trials <= 0.09
