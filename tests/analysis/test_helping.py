"""First answers against last ones, and the section that shows what reflecting goes with."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from r1zero.analysis.helping import helping
from r1zero.analysis.transitions import BEHAVIOURS, transition_rates
from r1zero.facts.columns import facts_frame
from r1zero.facts.cues import find_cues
from r1zero.facts.trajectory import TRANSITIONS, trajectory
from r1zero.grading import grade
from r1zero.reports.probe.helping import section
from r1zero.reports.probe.page import render_page
from r1zero.statistics.intervals import ratio_interval, wilson_interval

DATA = Path(os.environ.get("R1ZERO_DATA") or Path(__file__).parents[3] / "shared" / "data")
RESPONSES = DATA / "responses"


def response(way, *, cues=0, problem="p", candidates=2, **further):
    right = {"TT": True, "FT": True}.get(way, False)
    facts = {"model": "m", "problem_id": problem, "cues": cues, "transition": way, "candidates": candidates}
    return facts | {"correct": right, "num_chars": 400, "first_answer_end": 100} | further


# each way twice, on ten problems, so that every rate can be counted on fingers
ROWS = [response(way, problem=f"{way}{i}") for way in ("TT", "FT", "TF", "FF_same", "FF_other") for i in range(2)]


def test_rates_of_first_and_last_answers_are_what_the_cells_say():
    found = transition_rates(facts_frame([*ROWS, *[response("TT", problem=f"t{i}") for i in range(4)]]))
    assert found.counts == {"TT": 6, "FT": 2, "TF": 2, "FF_same": 2, "FF_other": 2, "none": 0}
    assert found.correction.estimate == 2 / 6  # FT of FT and FF
    assert found.damage.estimate == 2 / 8  # TF of TF and TT
    assert found.first_right.estimate == 8 / 14 and found.last_right.estimate == 8 / 14
    assert found.gain.estimate == 0 and found.gain.low < 0 < found.gain.high
    assert found.superficial.estimate == 2 / 14
    assert found.chars_after.estimate == 300 and found.share_after.estimate == 0.75


def test_responses_without_an_answer_are_no_first_tries():
    found = transition_rates(facts_frame([*ROWS, *[response("none", problem=f"n{i}") for i in range(10)]]))
    assert found.first_right.estimate == 4 / 10
    assert found.superficial.estimate == 12 / 20
    assert found.share(BEHAVIOURS["4 no valid answer"]) == 0.5


def test_responses_of_one_answer_can_neither_correct_nor_damage():
    one = [response("FF_same", candidates=1, problem=f"o{i}") for i in range(10)]
    found = transition_rates(facts_frame([*ROWS, *one]))
    assert found.correction.estimate == 2 / 16
    assert found.correction_of_several.estimate == 2 / 6
    assert found.several.estimate == 0.5


def test_every_transition_is_one_behaviour():
    assert sorted(way for ways in BEHAVIOURS.values() for way in ways) == sorted(TRANSITIONS)


def test_responses_that_all_differ_in_problem_have_wilsons_interval():
    found = ratio_interval(np.array([1.0] * 3 + [0.0] * 7), np.ones(10))
    plain = wilson_interval(3, 10)
    assert found.estimate == 0.3
    assert found.low == pytest.approx(plain.low, abs=0.02) and found.high == pytest.approx(plain.high, abs=0.02)


def test_ratios_clustered_by_problem_cover_nine_times_in_ten():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(200):
        p = rng.choice([0.05, 0.3, 0.8], 40)  # mean 23/60
        found = ratio_interval(rng.binomial(8, p).astype(float), np.full(40, 8.0))
        covered += found.low <= 23 / 60 <= found.high
    assert covered >= 180


def test_nothing_stated_is_nothing_and_not_zero():
    found = transition_rates(facts_frame([{"problem_id": "p", "correct": True, "cues": 0}]))
    assert found.responses == 0
    for interval in (
        found.correction,
        found.damage,
        found.gain,
        found.first_right,
        found.chars_after,
        found.share_after,
    ):
        assert math.isnan(interval.estimate)
    never = transition_rates(facts_frame([response("TT", problem=str(i)) for i in range(9)]))
    assert never.damage.estimate == 0 and 0.2 < never.damage.high < 0.4
    assert never.gain.low < 0 < never.gain.high


def made(effect, model="m", problems=30, samples=16, seed=1):
    """A model on whose questions reflecting adds `effect` to being right; the hard ones make it reflect."""
    rng = np.random.default_rng(seed)
    rows = []
    for problem in range(problems):
        accuracy = rng.choice([0.15, 0.4, 0.7])
        for sample in range(samples):
            cue = rng.random() < 0.7 - 0.5 * accuracy
            right = bool(rng.random() < accuracy + effect * cue)
            way = rng.choice(["TT", "FT"] if right else ["TF", "FF_same", "FF_other", "none"])
            rows.append(
                response(str(way), cues=int(cue), problem=str(problem), model=model, sample=sample, num_tokens=90)
            )
    return facts_frame(rows)


def test_what_helps_hurts_or_does_nothing_is_said_so():
    helps, hurts, neither = (section({"m": helping(made(effect))}).findings[0] for effect in (0.25, -0.14, 0.0))
    assert "right more often" in helps and "right less often" in hurts and "cannot be shown" in neither
    assert "Pooled over questions" in helps


def test_too_few_questions_are_said_to_be_too_few():
    few = section({"m": helping(made(0.2, problems=4))}).findings[0]
    assert "cannot be told" in few and "4 problems" in few and "10 problems are needed" in few
    single = section({"m": helping(made(0.2, samples=1))}).findings[0]
    assert "nothing can be told" in single and "30 with one response only" in single


def test_the_strictest_contrast_with_enough_problems_is_read():
    assert helping(made(0.1, samples=30)).contrast.min_size == 5
    assert helping(made(0.1, samples=5)).contrast.min_size in (1, 2)


def test_the_section_of_one_model_names_no_model_and_of_two_both():
    one, two = helping(made(0.1)), helping(made(-0.1, seed=4))
    alone, both = section({"base": one}), section({"base": one, "instruct": two})
    assert not any(finding.startswith("base") for finding in alone.findings)
    assert {finding.split(":")[0] for finding in both.findings} == {"base", "instruct"}
    for shown in (alone, both):
        assert all(len(row) == len(table.columns) for table in shown.tables for row in table.rows)
        page = render_page([shown])
        assert all(panel.title in page for panel in shown.panels)
    assert len(alone.panels) == 3 and len(both.panels) == 4
    assert "model" in both.tables[0].columns and "model" not in alone.tables[0].columns


def test_figures_hold_the_numbers_of_the_tables():
    result = helping(made(0.1))
    effects, questions, ways = (panel.figure for panel in section({"m": result}).panels)
    assert effects["data"][0]["x"][:2] == [result.naive.estimate, result.contrast.effect.estimate]
    assert len(questions["data"][0]["x"]) == result.contrast.num_questions
    assert questions["data"][0]["x"] == sorted(questions["data"][0]["x"])
    for bar in range(2):
        assert sum(trace["x"][bar] for trace in ways["data"]) == pytest.approx(1)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"model": "m"}],
        [{"correct": True, "cues": 0}],
        [response("TT", cues=1)],
        [response(None, cues=1, correct=None)],
        [response("none", cues=3, problem=None, num_chars=None, first_answer_end=None)],
    ],
)
def test_hardly_any_facts_still_make_a_section(rows):
    shown = section({"m": helping(facts_frame(rows))})
    assert shown.findings and render_page([shown])


@pytest.mark.skipif(not RESPONSES.is_dir(), reason="no responses/ in R1ZERO_DATA: real responses are not read")
@pytest.mark.parametrize("name", ["qwen_math_cot_100", "qwen2.5-math-1.5b_instruct_math500_r1", "olmo2-1b_base_gsm8k"])
def test_real_responses_have_a_way_each_and_the_graded_answer_last(name):
    lines = (RESPONSES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:150]
    for row in map(json.loads, lines):
        graded = grade(row["response"], row["gold"], "any", task="math")
        found = trajectory(row["response"], row["gold"], "math", graded, find_cues(row["response"]))
        assert found.transition in (("TT", "FT") if graded.correct else ("TF", "FF_same", "FF_other", "none"))
        assert (found.candidates > 0) or found.transition == "none"
