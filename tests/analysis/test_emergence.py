"""Measures by step from facts made by hand."""

import math

import numpy as np
import polars as pl
import pytest

from r1zero.analysis.emergence import MOST_STEPS, emergence
from r1zero.facts.read import facts_frame


def run_of(chances, problems=20, samples=4, seed=0):
    """A row a response; its cue comes with the step's chance, and reflecting corrects half of the first answers."""
    rng = np.random.default_rng(seed)
    rows = []
    for step, chance in chances.items():
        for problem in range(problems):
            for sample in range(samples):
                cue = bool(rng.random() < chance)
                right = bool(rng.random() < 0.5)
                transition = ("FT" if right else "FF_same") if cue else ("TT" if right else "none")
                outcome = "correct" if right else "wrong"
                row = {"step": step, "problem_id": f"p{problem}", "sample": sample, "cues": int(cue), "correct": right}
                row |= {"transition": transition, "outcome": outcome, "num_tokens": 10 + step, "nll_mean": 0.5}
                rows.append(row | {"num_chars": 30 + step, "answered": True})
    return facts_frame(rows)


def test_measures_stand_at_their_steps_with_intervals():
    found = emergence(run_of({0: 0.0, 10: 0.5}))
    assert found.steps == (0.0, 10.0) and found.responses == (80, 80) and found.problems == 20 and found.frozen
    none, half = found.measures["reflecting"]
    assert none.estimate == 0 and none.high == pytest.approx(1 - 0.025 ** (1 / 20))  # exact, by problems
    assert half.low < 0.5 < half.high
    assert [one.estimate for one in found.measures["tokens"]] == [10, 20]
    assert found.measures["entropy"][0].estimate == pytest.approx(0.5)
    assert math.isnan(found.measures["corrected"][0].estimate)  # nobody stated a wrong answer first
    assert found.measures["corrected"][1].estimate == pytest.approx(0.5, abs=0.25)
    assert found.first_reflecting == (0, 80)
    assert found.first_problems.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert found.changes["reflecting"].verdict == "cannot tell"


def test_a_cue_that_comes_at_once_is_sudden_and_one_that_grows_is_not():
    sudden = emergence(run_of({step: 0.02 if step < 50 else 0.4 for step in range(0, 100, 10)}))
    assert sudden.changes["reflecting"].verdict == "sudden" and sudden.p_sudden["reflecting"] < 0.05
    assert (sudden.changes["reflecting"].when.low, sudden.changes["reflecting"].when.high) == (40, 50)
    assert sudden.changes["accuracy"].verdict == "no change"
    growing = emergence(run_of({step: 0.02 + step / 200 for step in range(0, 100, 10)}))
    assert growing.changes["reflecting"].verdict in ("gradual", "either") and growing.p_sudden["reflecting"] > 0.05


def test_what_is_not_known_is_undefined_and_nothing_fails():
    for facts in (
        facts_frame([]),
        facts_frame([{"problem_id": "a", "cues": 1}]),  # no step
        facts_frame([{"step": 3, "problem_id": "a"}]),
        facts_frame([{"step": 3, "cues": 0}, {"step": 4, "cues": 2, "correct": True}]),
    ):
        found = emergence(facts)
        assert len(found.steps) == facts["step"].drop_nulls().n_unique()
        assert all(change.verdict == "cannot tell" for change in found.changes.values())


def test_many_steps_are_pooled_and_other_problems_are_said_to_differ():
    rows = run_of(dict.fromkeys(range(2 * MOST_STEPS), 0.3), problems=3, samples=2)
    fresh = rows.with_columns(pl.format("{}-{}", "problem_id", "step").alias("problem_id"))
    found = emergence(fresh)
    assert found.pooled == 2 and len(found.steps) == MOST_STEPS and found.steps[0] == 0.5
    assert not found.frozen and found.responses[0] == 12


def test_responses_that_say_all_the_same_are_no_evidence_of_a_change():
    """At each step each of 30 problems is reflected upon by all of its 8 responses or by none: a constant rate."""
    rng, alarms = np.random.default_rng(0), 0
    for seed in range(10):
        rows = [
            {"problem_id": f"p{p}", "step": step, "sample": k, "cues": cues}
            for step in range(8)
            for p in range(30)
            for cues in [int(rng.random() < 0.4)]
            for k in range(8)
        ]
        alarms += emergence(facts_frame(rows), seed=seed).changes["reflecting"].p_change < 0.05
    assert alarms <= 2
