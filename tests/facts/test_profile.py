"""The uncertainty profile: numbers worked out by hand, and one by one equal to all at once."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from r1zero.facts.profile import FEATURES, features, features_of


def named(logprobs) -> dict[str, float]:
    return dict(zip(FEATURES, features(logprobs), strict=True))


def test_profile_of_a_line_is_its_slope_and_is_explained_by_it():
    """1, 2, 3, 4, 5, 6 nats: thirds 1.5, 3.5, 5.5; 5 nats over the whole; variance 35/12."""
    found = named([-1.0, -2, -3, -4, -5, -6])
    assert (found["nll_early"], found["nll_middle"], found["nll_late"]) == pytest.approx((1.5, 3.5, 5.5))
    assert (found["nll_mean"], found["nll_slope"], found["nll_r2"]) == pytest.approx((3.5, 5.0, 1.0))
    assert (found["nll_max"], found["nll_sd"]) == pytest.approx((6.0, math.sqrt(35 / 12)))


def test_pq_is_the_variance_of_the_sampled_token():
    """p = 1/2 and 1/4: (1/4 + 3/16) / 2 = 7/32."""
    assert named(np.log([0.5, 0.25]))["pq_mean"] == pytest.approx(7 / 32)


def test_slope_and_r2_are_those_of_least_squares():
    logprobs = -np.random.default_rng(0).exponential(size=50)
    fit = stats.linregress(np.linspace(0, 1, 50), -logprobs)
    found = named(logprobs)
    assert (found["nll_slope"], found["nll_r2"]) == pytest.approx((fit.slope, fit.rvalue**2))


@pytest.mark.parametrize(
    ("logprobs", "undefined"),
    [
        ([], set(FEATURES)),
        ([-1.0, -math.inf, -1.0], set(FEATURES)),
        ([-0.5], {"nll_early", "nll_middle", "nll_late", "nll_slope", "nll_r2"}),
        ([-0.5, -0.7], {"nll_early", "nll_middle", "nll_late"}),
        ([-0.1] * 7, {"nll_r2"}),
    ],
)
def test_what_is_undefined_is_nan(logprobs, undefined):
    assert {name for name, value in named(logprobs).items() if math.isnan(value)} == undefined


def test_all_at_once_equals_one_by_one():
    rng = np.random.default_rng(1)
    rows = [(-rng.exponential(size=rng.integers(0, 9))).astype(np.float32).tolist() for _ in range(200)] + [None]
    found = features_of(pl.Series(rows, dtype=pl.List(pl.Float32)))
    assert found.columns == list(FEATURES) and set(found.dtypes) == {pl.Float32}
    assert found.row(200) == (None,) * 9
    for row, shown in zip(rows[:200], found.rows(), strict=False):
        expected = features(row)
        assert [math.nan if x is None else x for x in shown] == pytest.approx(expected, rel=1e-5, abs=1e-5, nan_ok=True)


def test_rows_without_any_token_are_null_and_break_nothing():
    found = features_of(pl.Series([None, []], dtype=pl.List(pl.Float32)))
    assert found.height == 2 and found.null_count().row(0) == (2,) * 9
    assert features_of(pl.Series([], dtype=pl.List(pl.Float32))).height == 0
