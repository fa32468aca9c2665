"""The sections on exploration, difficulty, uncertainty and triviality: what they say of facts made by hand."""

from __future__ import annotations

import polars as pl
import pytest

from r1zero.analysis.difficulty import difficulty
from r1zero.analysis.exploration import exploration
from r1zero.analysis.triviality import TrivialityResult, triviality
from r1zero.analysis.uncertainty import FEATURES, uncertainty
from r1zero.facts.columns import facts_frame
from r1zero.probe.effects import Effect
from r1zero.probe.thinking import ARMS, CONTRASTS, Answered, ThinkingResult
from r1zero.reports.probe import difficulty as probe_difficulty
from r1zero.reports.probe import exploration as probe_exploration
from r1zero.reports.probe import triviality as probe_triviality
from r1zero.reports.probe import uncertainty as probe_uncertainty
from r1zero.reports.probe.page import render_page
from r1zero.reports.sections import Section
from r1zero.statistics.intervals import Interval


def asked(problem: int, answers: str, temperature: float) -> list[dict]:
    about = {"task": "t", "template": "r1", "problem_id": f"p{problem:03}", "temperature": temperature}
    return [
        about
        | {"sample": i, "correct": one == "R", "answer": 0 if one == "R" else ord(one), "truncated": False}
        | {"outcome": "correct" if one == "R" else "wrong", "num_tokens": 20 if one == "R" else 40, "num_chars": 90}
        | dict.fromkeys(FEATURES, 0.2 if one == "R" else 0.4 + 0.01 * i)
        for i, one in enumerate(answers)
    ]


@pytest.fixture(scope="module")
def facts() -> pl.DataFrame:
    """Cold: all four alike, right on half of the problems.  Hot: one right of four different ones."""
    cold = [row for i in range(40) for row in asked(i, ("R" if i % 2 else "a") * 4, 0.2)]
    return facts_frame([*cold, *(row for i in range(40) for row in asked(i, "Rabc", 1.0))])


def told(section: Section) -> str:
    assert all(len(row) == len(table.columns) for table in section.tables for row in table.rows)
    assert not any("nan" in text for table in section.tables for row in table.rows for text in row)
    assert "<section" in render_page([section])
    return " ".join(section.findings)


def test_temperature_that_buys_coverage_and_pays_with_correctness_is_said_to(facts):
    section = probe_exploration.section({"m": exploration(facts)})
    said = told(section)
    assert "going from temperature 0.2 to 1 moves pass@1 by −.25" in said and "pass@4 by +.50" in said
    assert "temperature buys coverage and pays with correctness" in said
    assert "Best temperature: 0.2 for pass@1 (first in 1.00 of resamples); 1 for pass@4" in said
    assert section.panels[0].title == "What temperature buys"
    names = [trace.get("name") for trace in section.panels[0].figure["data"] if trace.get("name")]
    assert names == ["pass@4", "maj@4", "pass@1"]


def test_wrong_responses_twice_as_long_on_the_same_question_are_said_to_be(facts):
    section = probe_difficulty.section({"m": difficulty(facts)})
    assert "2.00 [2.00, 2.00] times on the same question (40 problems): they are longer" in told(section)
    assert any("other half of the responses" in note for note in section.notes)


def test_what_harder_questions_lose_is_said_only_where_they_lose_it(facts):
    levels = facts.filter(temperature=0.2).with_columns(level=pl.col("correct").cast(pl.Float64) * -4 + 5)
    said = told(probe_difficulty.section({"m": difficulty(levels)}))
    assert (
        "1.00 [.83, 1.00] are right at level 1, .00 [.00, .17] at level 5; most of what is lost becomes wrong" in said
    )
    mixed = facts.with_columns(level=pl.col("problem_id").str.slice(1).cast(pl.Float64) // 20)
    assert "with overlapping intervals." in told(probe_difficulty.section({"m": difficulty(mixed)}))


def test_difference_in_length_seen_on_too_few_problems_is_not_told(facts):
    few = facts.filter(pl.col("problem_id") < "p003")
    assert "3 problems have both, 5 are needed" in told(probe_difficulty.section({"m": difficulty(few)}))


def test_lower_uncertainty_of_right_responses_is_said_with_both_comparisons(facts):
    said = told(probe_uncertainty.section({"m": uncertainty(facts)}))
    assert "is lower in right than in wrong responses in 1.00" in said and "not only because hard questions" in said
    few = uncertainty(facts.head(12))
    assert "too few to tell, 20 of each are needed" in told(probe_uncertainty.section({"m": few}))


def texts(template: str = "r1") -> pl.DataFrame:
    rows = [(f"p{i}", f"{i} and {i + 1} make {2 * i + 1}, try {j} </think> {i}") for i in range(30) for j in range(2)]
    frame = pl.DataFrame(rows, schema=["problem_id", "response"], orient="row")
    return frame.with_columns(task=pl.lit("t"), template=pl.lit(template))


def needed(drop: Interval, p_holm: float = 0.003) -> ThinkingResult:
    share = Interval(0.5, 0.4, 0.6)
    arms = tuple(Answered(arm, share, share, Interval(9, 8, 10)) for arm in ARMS)
    effects = tuple(Effect(one, drop, 0.001, p_holm, share, 80, 40, 0.1) for one in CONTRASTS)
    return ThinkingResult(80, 40, 3, share, 0, arms, effects, 900)


def test_thinking_that_is_about_its_question_and_needed_is_said_to_be():
    result = {"m": triviality(texts())}
    alone = probe_triviality.section(result)
    assert "it is about its question" in told(alone) and any("was not tried" in note for note in alone.notes)
    both = probe_triviality.section(result, {"m": needed(Interval(0.3, 0.2, 0.4))})
    assert "needs the thinking: without it .30 [.20, .40] fewer are right (p = .003)" in told(both)
    harm = probe_triviality.section(result, {"m": needed(Interval(-0.3, -0.4, -0.2))})
    assert "does harm: without it .30 [.20, .40] more are right" in told(harm)
    for unclear in (needed(Interval(0.0, -0.1, 0.1)), needed(Interval(0.4, 0.1, 0.7), p_holm=0.054)):
        assert "needs the thinking cannot be told from chance" in told(probe_triviality.section({}, {"m": unclear}))


def test_models_stand_side_by_side_with_a_column_of_their_own(facts):
    for module, measure in (
        (probe_exploration, exploration),
        (probe_difficulty, difficulty),
        (probe_uncertainty, uncertainty),
    ):
        section = module.section({"base": measure(facts), "tuned": measure(facts)})
        assert told(section).startswith("base: ") and section.tables[0].columns[0] == "model"
        assert {row[0] for row in section.tables[0].rows} == {"base", "tuned"}
    section = probe_triviality.section({"base": triviality(texts()), "tuned": triviality(texts("none"))})
    assert {row[0] for row in section.tables[0].rows} == {"base", "tuned"}


@pytest.mark.parametrize("rows", [[], [{}], [{"correct": True, "outcome": "correct"}]])
def test_sections_of_next_to_nothing_say_so(rows):
    frame = facts_frame(rows)
    assert told(probe_exploration.section({"m": exploration(frame)}))
    assert told(probe_difficulty.section({"m": difficulty(frame)}))
    assert "No finished response" in told(probe_uncertainty.section({"m": uncertainty(frame)}))
    assert told(probe_triviality.section({"m": TrivialityResult(())})) == "There are no responses to read."


def test_names_of_models_are_text_and_no_markup(facts):
    page = render_page([probe_difficulty.section({"<b>": difficulty(facts), "b": difficulty(facts)})])
    assert "<b>: " not in page and "<b> (" not in page
