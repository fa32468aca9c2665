"""Uncertainty and correctness on made-up facts whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from r1zero.analysis.uncertainty import FEATURES, uncertainty
from r1zero.facts.columns import facts_frame


def made(
    problems: int = 60, samples: int = 6, *, effect: float = -0.8, ease: float = 0.0, seed: int = 0
) -> pl.DataFrame:
    """nll_mean is noise + effect if right - ease x how easy the problem is; all else is noise."""
    rng, rows = np.random.default_rng(seed), []
    for problem in range(problems):
        easy = rng.normal()
        for sample in range(samples):
            right = bool(rng.random() < 1 / (1 + math.exp(-easy)))
            noise = dict(zip(FEATURES, rng.normal(size=9), strict=True))
            noise["nll_mean"] += effect * right - ease * easy
            about = {"problem_id": f"p{problem}", "sample": sample, "template": "r1", "temperature": 1.0}
            rows.append(about | noise | {"correct": right, "truncated": False, "num_tokens": int(rng.integers(5, 90))})
    return facts_frame(rows)


def test_an_informative_feature_is_found_and_noise_is_not():
    found = uncertainty(made())
    first = found.features[0]
    assert found.strongest.name == "nll_mean" and first.overall.tells and first.within.tells
    assert first.overall.auroc.estimate == pytest.approx(1 - 0.714, abs=0.06)  # Phi(-0.8 / sqrt 2) = .286
    assert first.mean_right < first.mean_wrong
    assert sum(one.overall.tells for one in found.features[1:]) <= 2
    assert found.models[0].overall.auroc.low > 0.55 and found.models[0].within.auroc.estimate > 0.6


def test_a_feature_that_knows_only_difficulty_says_nothing_within_a_question():
    found = uncertainty(made(effect=0.0, ease=1.5, problems=120))
    first = found.features[0]
    assert first.overall.auroc.high < 0.42 and not first.within.tells


def test_a_shift_between_temperatures_is_no_information():
    """Hot responses are wrong and unsure, cold ones right and sure: no pair under one temperature exists."""
    rows = [
        {"problem_id": f"p{i}", "template": "r1", "temperature": t, "correct": t < 0.5, "num_tokens": 9}
        | dict.fromkeys(FEATURES, t)
        for i in range(10)
        for t in (0.1, 1.0)
    ]
    found = uncertainty(facts_frame(rows))
    assert found.num_responses == 20 and math.isnan(found.features[0].overall.auroc.estimate)


def test_what_is_left_out_is_counted():
    rows = [
        dict.fromkeys(FEATURES, 0.5) | {"problem_id": f"p{i}", "correct": bool(i % 2), "num_tokens": 5}
        for i in range(6)
    ]
    rows += [rows[0] | {"truncated": True}, rows[0] | {"correct": None}, rows[0] | {"nll_early": None}]
    found = uncertainty(facts_frame([*rows, rows[0] | {"nll_r2": None}]))
    assert (found.num_responses, found.num_truncated, found.num_unknown, found.num_problems) == (7, 1, 2, 6)
    assert found.accuracy == pytest.approx(3 / 7)


@pytest.mark.parametrize("rows", [[], [{}], [{"correct": True}], [dict.fromkeys(FEATURES, 0.5) | {"correct": True}]])
def test_nothing_known_is_nan(rows):
    found = uncertainty(facts_frame(rows))
    assert math.isnan(found.models[0].overall.auroc.estimate) and len(found.features) == 10


def test_interval_of_the_regression_covers_a_coin_where_nothing_can_be_known():
    models = [uncertainty(made(30, 4, effect=0.0, seed=i)).models[0] for i in range(200)]
    for found in ([model.overall.auroc for model in models], [model.within.auroc for model in models]):
        assert np.mean([one.low <= 0.5 <= one.high for one in found]) >= 0.9
        assert np.mean([one.estimate for one in found]) == pytest.approx(0.5, abs=0.02)
