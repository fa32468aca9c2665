"""Answering by template, on facts made by hand."""

from __future__ import annotations

import math

import polars as pl
import pytest

from r1zero.analysis.answering import answering
from r1zero.facts.columns import facts_frame


def facts(**extra: object) -> pl.DataFrame:
    """Ten problems under two templates: r1 is answered by 9 of 10, none by 2 of 10."""
    rows = [
        {
            "problem_id": f"p{i}", "template": template, "answered": i < right, "correct": i < right // 2,
            "formatted": i < right, "truncated": i == 0, "num_chars": 0 if i >= right else 5, "digest": 100 * right + i,
        }
        for template, right in (("none", 2), ("r1", 9))
        for i in range(10)
    ]  # fmt: skip
    return facts_frame([row | extra for row in rows])


def test_templates_are_ranked_by_the_share_that_answers():
    found = answering(facts())
    assert [row.template for row in found.templates] == ["r1", "none"]
    best = found.templates[0]
    assert (best.rule.estimate, best.empty.estimate, best.format_and_end.estimate) == pytest.approx((0.9, 0.1, 0.8))
    assert best.correct.estimate == pytest.approx(0.4) and (best.responses, best.problems) == (10, 10)
    assert math.isnan(best.judge.estimate) and found.agreement is None and found.cells == ()


def test_the_choice_is_made_by_each_measure():
    choices = {choice.measure: choice for choice in answering(facts()).choices}
    assert set(choices) == {"tries to answer", "format and end", "pass@1"}
    lead = choices["tries to answer"].rivals[0].behind
    assert lead.interval.estimate == pytest.approx(0.7) and (lead.wins, lead.losses) == (7, 0)


def test_an_end_that_is_not_known_is_not_counted_as_none():
    found = answering(facts(truncated=None))
    assert math.isnan(found.templates[0].format_and_end.estimate)
    assert {choice.measure for choice in found.choices} == {"tries to answer", "pass@1"}


def test_rule_and_judge_are_compared():
    judged = facts().with_columns(judge_answers=pl.col("answered") | (pl.col("problem_id") == "p9"))
    found = answering(judged)
    counts = found.agreement.counts
    assert (counts.both, counts.only_first, counts.only_second, counts.neither) == (11, 0, 2, 7)
    assert found.templates[0].judge.estimate == 1


def test_temperatures_make_cells_where_there_are_several():
    hot = pl.concat([facts(temperature=0.2), facts(temperature=1.0).with_columns(digest=pl.col("digest") + 1000)])
    cells = answering(hot).cells
    assert [(cell.template, cell.temperature) for cell in cells] == [
        ("none", 0.2), ("none", 1.0), ("r1", 0.2), ("r1", 1.0)
    ]  # fmt: skip
    assert answering(facts(temperature=0.2)).cells == ()


def test_labels_judge_the_rule():
    labelled = facts().with_columns(label_answers=pl.col("answered") & (pl.col("digest") != 900))
    (rule,) = answering(labelled).screenings
    assert rule.precision.estimate == pytest.approx(10 / 11) and rule.recall.estimate == 1


@pytest.mark.parametrize("rows", [[], [{}], [{"problem_id": "p", "answered": True}], [{"template": "r1"}] * 3])
def test_nothing_known_is_no_error(rows):
    found = answering(facts_frame(rows))
    assert found.responses == len(rows) and found.choices == ()
