"""Shares clustered by problem, exact where nothing or everything was found."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from r1zero.analysis.clustered import any_of, cluster, rate, share
from r1zero.facts.columns import facts_frame
from r1zero.statistics.intervals import exact_interval, wilson_interval


def test_exact_bounds_are_those_of_clopper_and_pearson():
    none, some = exact_interval(0, 100), exact_interval(13, 30)
    assert none.low == 0 and none.high == pytest.approx(1 - 0.025 ** (1 / 100))  # (1 - p)^100 = 2.5 %
    assert (some.low, some.high) == (pytest.approx(0.2546, abs=1e-4), pytest.approx(0.6257, abs=1e-4))
    assert exact_interval(7, 7).low == pytest.approx(0.025 ** (1 / 7)) and exact_interval(7, 7).high == 1
    assert math.isnan(exact_interval(0, 0).high)


def test_a_share_with_one_response_a_problem_is_wilsons():
    facts = facts_frame([{"problem_id": f"p{i}", "answered": i < 3} for i in range(10)])
    found, wilson = share(facts, pl.col("answered")), wilson_interval(3, 10)
    assert (found.estimate, found.low, found.high) == pytest.approx((wilson.estimate, wilson.low, wilson.high))


def test_copies_of_a_response_make_no_share_more_certain():
    once = facts_frame([{"problem_id": f"p{i}", "answered": i < 3} for i in range(10)])
    often = pl.concat([once] * 6)
    assert str(share(often, pl.col("answered"))) == str(share(once, pl.col("answered")))


def test_nothing_found_is_bounded_by_the_number_of_problems():
    facts = facts_frame([{"problem_id": f"p{i % 5}", "cues": 0} for i in range(40)])
    assert share(facts, pl.col("cues") > 0) == exact_interval(0, 5)
    assert share(facts, pl.col("cues") == 0) == exact_interval(5, 5)
    assert math.isnan(share(facts, pl.col("judge_answers")).estimate)


def test_a_response_without_a_problem_stands_for_itself():
    facts = facts_frame([{"answered": True}, {"answered": False}, {"problem_id": "p"}, {"problem_id": "p"}])
    assert facts.select(cluster().n_unique()).item() == 3


def test_a_rate_is_the_ratio_of_sums():
    facts = facts_frame(
        [{"problem_id": "a", "cues": 3, "num_tokens": 10}, {"problem_id": "b", "cues": 1, "num_tokens": 30}]
    )
    assert rate(facts, pl.col("cues")).estimate == 2
    assert rate(facts, pl.col("cues"), pl.col("num_tokens")).estimate == pytest.approx(0.1)
    never = rate(facts, pl.col("cues") * 0)
    assert (never.estimate, never.low) == (0, 0) and math.isnan(never.high)


def test_at_least_one_of_k_is_hypergeometric():
    found, samples = np.array([1, 0]), np.array([4, 4])
    assert any_of(found, samples, 1).estimate == pytest.approx((1 / 4 + 0) / 2)
    assert any_of(found, samples, 2).estimate == pytest.approx((1 - 3 / 6) / 2)  # C(3,2) / C(4,2)
    assert math.isnan(any_of(found, samples, 8).estimate)


def test_bounds_of_a_rate_are_two_standard_errors_of_independent_problems():
    """1,000 problems, half 0 and half 1: standard deviation 1/2, so 1.96 x 0.5 / sqrt(1000) on either side."""
    found = rate(facts_frame([{"problem_id": f"p{i}", "cues": i % 2} for i in range(1000)]), pl.col("cues"))
    assert (found.low, found.high) == pytest.approx((0.5 - 0.031, 0.5 + 0.031), abs=0.003)
