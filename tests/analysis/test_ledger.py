"""The outcome ledger and the exact decomposition of length."""

from __future__ import annotations

import json
import math
import random

import pytest

from r1zero.analysis.ledger import LengthReference, decompose_length, frame_reference, length_reference, outcome_ledger
from r1zero.records import OUTCOMES, Grade, Problem, Prompt, Response, Rollout
from r1zero.store import rollouts_frame

FACTS = {
    "correct": (True, True, "stop"),
    "wrong": (False, True, "stop"),
    "unformatted": (False, False, "stop"),
    "truncated": (False, False, "length"),
}


def rollout(outcome: str, tokens: int, problem: str = "p", sample: int = 0) -> Rollout:
    correct, formatted, finish = FACTS[outcome]
    prompt = Prompt(Problem(problem, "countdown", "?", "!"), "native", "?", (1,))
    response = Response("x", tuple(range(tokens)), (-1.0,) * tokens, finish)  # type: ignore[arg-type]
    return Rollout(1, sample, prompt, response, Grade(correct, formatted, None, ""), float(correct))


def test_ledger_counts_each_response_once_with_hand_counted_means():
    rollouts = [
        rollout("correct", 10, "a"),
        rollout("correct", 20, "b"),
        rollout("wrong", 40, "b"),
        rollout("truncated", 64, "c"),
    ]
    rows = {row.outcome: row for row in outcome_ledger(rollouts_frame(rollouts, run="r"))}
    assert [rows[o].count for o in OUTCOMES] == [2, 1, 0, 1]
    assert rows["correct"].tokens_mean.estimate == 15 and rows["correct"].tokens_mean.low == 10
    assert rows["unformatted"].share.estimate == 0 and math.isnan(rows["unformatted"].tokens_mean.estimate)


def test_stored_rows_fall_in_the_same_outcome_as_their_records():
    rollouts = [rollout(o, 5, f"p{i}") for i, o in enumerate(OUTCOMES * 2)]
    frame = rollouts_frame(rollouts, run="r")
    assert frame_reference(frame) == length_reference(rollouts)
    assert [row.count for row in outcome_ledger(frame)] == [2, 2, 2, 2]


def test_decomposition_by_hand():
    """Half correct of 10, half wrong of 30 (mean 20) to .8 of 15 and .2 of 30 (mean 18).

    within: (.5+.8)/2 * 5 + (.5+.2)/2 * 0 = 3.25; mix: 12.5 * .3 + 30 * -.3 = -5.25; total -2.
    """
    before = length_reference([rollout("correct", 10)] * 5 + [rollout("wrong", 30)] * 5)
    after = length_reference([rollout("correct", 15)] * 8 + [rollout("wrong", 30)] * 2)
    change = decompose_length(before, after)
    assert change.total == pytest.approx(-2)
    assert change.within_total == pytest.approx(3.25) and change.mix_total == pytest.approx(-5.25)
    assert change.within["wrong"] == pytest.approx(0) and change.mix["correct"] == pytest.approx(3.75)


def test_parts_add_up_to_the_change_whatever_outcomes_are_missing():
    rng = random.Random(0)
    for _ in range(200):
        sides = [
            length_reference([rollout(rng.choice(present), rng.randint(1, 300)) for _ in range(rng.randint(1, 12))])
            for present in (rng.sample(OUTCOMES, rng.randint(1, 4)), rng.sample(OUTCOMES, rng.randint(1, 4)))
        ]
        change = decompose_length(*sides)
        assert change.within_total + change.mix_total == pytest.approx(sides[1].mean - sides[0].mean, abs=1e-9)
        assert change.total == pytest.approx(sides[1].mean - sides[0].mean)


def test_an_outcome_that_appears_is_all_mix():
    before, after = (
        length_reference([rollout("correct", 10)]),
        length_reference([rollout("correct", 10), rollout("wrong", 50)]),
    )
    change = decompose_length(before, after)
    assert (
        change.within_total == 0 and change.mix_total == pytest.approx(20) and change.mix["wrong"] == pytest.approx(25)
    )


def test_the_oat_zero_surge_is_almost_all_mix():
    """Read off the published figure: unformatted 1 % to 37 % at ~1,575 characters, correct growing from 65 to 110."""
    before = LengthReference(
        {"unformatted": 0.01, "wrong": 0.78, "correct": 0.21, "truncated": 0.0},
        {"unformatted": 1550.0, "wrong": 70.0, "correct": 65.0, "truncated": math.nan},
    )
    after = LengthReference(
        {"unformatted": 0.37, "wrong": 0.19, "correct": 0.44, "truncated": 0.0},
        {"unformatted": 1600.0, "wrong": 88.0, "correct": 110.0, "truncated": math.nan},
    )
    change = decompose_length(before, after)
    assert 0.92 < change.mix_total / change.total < 0.96


def test_a_reference_survives_json_and_a_wrong_one_is_refused():
    reference = length_reference([rollout("correct", 10), rollout("truncated", 64)])
    back = LengthReference.from_dict(json.loads(json.dumps(reference.to_dict())))
    assert back.shares == reference.shares and back.mean == reference.mean == 37
    assert math.isnan(back.tokens_mean["wrong"])
    with pytest.raises(ValueError, match="not a saved length reference"):
        LengthReference.from_dict({"shares": {}})
    with pytest.raises(ValueError, match="no rollouts"):
        length_reference([])
