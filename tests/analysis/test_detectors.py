"""Detectors of reflection on facts made by hand: responses, questions, keywords, agreement."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from r1zero.analysis.detectors import reflection
from r1zero.facts.columns import facts_frame
from r1zero.facts.cues import CuePool

POOL = CuePool("mine", ("wait", "recheck*"))


def facts(num_problems: int = 4, samples: int = 8, **extra: object) -> pl.DataFrame:
    """The first problem's first two responses hold "wait", the very first twice and "recheck" once."""
    rows = []
    for p in range(num_problems):
        for s in range(samples):
            cues = [[0, 0, 1], [0]][s] if p == 0 and s < 2 else []
            rows.append(
                {"problem_id": f"p{p}", "sample": s, "digest": p * 100 + s + 1, "cues": len(cues), "keywords": cues,
                 "cues_oat_zero": int(bool(cues) and s == 0), "cues_understand_r1_zero": 0}
            )  # fmt: skip
    return facts_frame([row | extra for row in rows])


def row_of(result, detector: str):
    return next(row for row in result.detectors if row.detector == detector)


def test_responses_and_questions_are_counted_apart():
    row = row_of(reflection(facts(), pool=POOL), "keywords mine")
    assert (row.found, row.responses, row.found_questions, row.questions, row.samples) == (2, 32, 1, 4, (8, 8))
    assert row.by_response.estimate == pytest.approx(2 / 32) and row.by_question.estimate == 0.25
    assert row.by_question_at.estimate == pytest.approx(0.25)  # all eight are there


def test_questions_at_a_common_number_of_responses():
    """2 of 16 responses: of 8 drawn at least one reflects with chance 1 - C(14,8)/C(16,8)."""
    row = row_of(reflection(facts(samples=16), pool=POOL), "keywords mine")
    assert row.at == 8 and row.by_question_at.estimate == pytest.approx((1 - math.comb(14, 8) / math.comb(16, 8)) / 4)
    assert row_of(reflection(facts(samples=3), pool=POOL), "keywords mine").at == 3


def test_none_found_has_an_exact_bound_that_counts_questions():
    row = row_of(reflection(facts(), pool=POOL), "keywords understand-r1-zero")
    assert row.found == 0 and row.by_response.high == pytest.approx(1 - 0.025 ** (1 / 4))


def test_cross_needs_both_on_the_same_response():
    judged = facts().with_columns(
        judge_category=pl.when(pl.col("sample") == 1).then(2).otherwise(1).cast(pl.Int8)  # second response of each
    )
    result = reflection(judged, pool=POOL)
    assert (row_of(result, "judge").found, row_of(result, "cross").found) == (4, 1)
    unjudged = judged.with_columns(judge_category=pl.when(pl.col("problem_id") != "p0").then("judge_category"))
    assert row_of(reflection(unjudged, pool=POOL), "cross").responses == 24


def test_keywords_are_counted_by_temperature():
    both = pl.concat(
        [facts(temperature=0.2), facts(temperature=1.0).with_columns(cues=0, keywords=pl.lit([], pl.List(pl.Int16)))]
    )
    first, second = reflection(both.select(facts().columns).cast(facts().schema), pool=POOL).keywords
    assert (first.cue, first.count, second.cue, second.count) == ("wait", 3, "recheck*", 1)
    assert first.per_thousand.estimate == pytest.approx(3000 / 64)
    assert first.by_temperature == ((0.2, 3, 3000 / 32), (1.0, 0, 0.0))


def test_detectors_are_split_by_temperature_and_template_where_there_are_several():
    both = pl.concat([facts(temperature=0.2, template="r1"), facts(temperature=1.0, template="none")])
    result = reflection(both, pool=POOL)
    assert {(row.detector, row.temperature) for row in result.by_temperature} >= {
        ("keywords mine", 0.2),
        ("keywords mine", 1.0),
    }
    assert {row.template for row in result.by_template} == {"r1", "none"}
    assert reflection(facts(temperature=0.2), pool=POOL).by_temperature == ()


def test_labels_and_latent_classes_recover_a_planted_prevalence():
    rng, num = np.random.default_rng(0), 6000
    truth = rng.random(num) < 0.2
    cue = np.where(truth, rng.random(num) < 0.6, rng.random(num) < 0.03)
    judge = np.where(truth, rng.random(num) < 0.9, rng.random(num) < 0.1)
    twice = np.where(truth, rng.random(num) < 0.7, rng.random(num) < 0.15)
    labelled = np.isin(
        np.arange(num), np.concatenate([rng.choice(np.flatnonzero(cue == c), 300, False) for c in (0, 1)])
    )
    made = facts_frame(
        [
            {"problem_id": f"p{i % 1500}", "digest": i + 1, "cues": int(cue[i]), "keywords": [0] * int(cue[i]),
             "judge_category": 2 if judge[i] else 1, "candidates": 2 if twice[i] else 1,
             "label_reflects": bool(truth[i]) if labelled[i] else None}
            for i in range(num)
        ]
    )  # fmt: skip
    result = reflection(made, pool=POOL)
    assert result.latent.identified and result.latent.prevalence.low < truth.mean() < result.latent.prevalence.high
    keyword = next(one for one in result.screenings if one.detector == "keywords mine")
    assert keyword.labelled == 600 and keyword.recall.low < 0.6 < keyword.recall.high
    assert keyword.prevalence.low < truth.mean() < keyword.prevalence.high
    assert any((one.first, one.second) == ("keywords mine", "judge") for one in result.agreement)


@pytest.mark.parametrize("rows", [[], [{}], [{"problem_id": "p", "cues": 0, "keywords": []}], [{"template": "r1"}] * 3])
def test_nothing_known_is_no_error(rows):
    result = reflection(facts_frame(rows))
    assert result.responses == len(rows) and not result.latent.identified and result.keywords == ()
