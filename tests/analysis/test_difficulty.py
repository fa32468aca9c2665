"""Difficulty: ledgers and length contrasts by hand, and coverage of a planted effect."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from r1zero.analysis.difficulty import difficulty, fixed_effect, thirds
from r1zero.facts.columns import facts_frame


def row(problem: str, outcome: str, tokens: int = 10, **more) -> dict:
    base = {"problem_id": problem, "outcome": outcome, "correct": outcome == "correct", "template": "r1"}
    return base | {"num_tokens": tokens, "num_chars": 3 * tokens, "temperature": 1.0} | more


def test_outcomes_are_counted_by_level():
    facts = facts_frame(
        [
            row("a", "correct", level=1.0),
            row("a", "wrong", level=1.0),
            row("b", "truncated", level=5.0),
            row("c", "unformatted", level=5.0),
            row("d", "wrong", level=None),
        ]
    )
    found = difficulty(facts)
    assert (found.by, found.num_responses, found.num_unplaced) == ("level", 5, 1)
    assert [(one.difficulty, one.num_problems) for one in found.rows] == [("level 1", 1), ("level 5", 2)]
    assert [one.shares["correct"].estimate for one in found.rows] == [0.5, 0]
    assert found.rows[1].shares["truncated"].estimate == found.rows[1].shares["unformatted"].estimate == 0.5


def test_without_levels_a_response_is_placed_by_the_other_half_of_its_problem():
    """Middle: samples 0 and 2 are one half, both right; they see the wrong 1 and 3, which see them."""
    outcomes = {"easy": "cccc", "middle": "cwcw", "hard": "wwww"}
    names = {"c": "correct", "w": "wrong"}
    rows = [row(p, names[o], level=3.0, sample=i) for p, own in outcomes.items() for i, o in enumerate(own)]
    facts = facts_frame([*rows, row("one", "wrong")])
    placed = thirds(facts)
    assert placed["others"].to_list() == [1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0]
    found = difficulty(facts)
    assert found.by == "others" and found.num_unplaced == 1
    assert [(one.difficulty, one.shares["correct"].estimate) for one in found.rows] == [
        ("easier (others 100 % right)", pytest.approx(4 / 6)),
        ("harder (others 0 % right)", pytest.approx(2 / 6)),
    ]


def test_luck_alone_makes_no_problem_look_easy():
    """300 problems have the same chance, 20 responses each: all thirds are right equally often, over 30 seeds."""
    found = []
    for seed in range(30):
        right = np.random.default_rng(seed).random(6000) < 0.3
        facts = facts_frame(
            [row(f"p{i // 20}", "correct" if r else "wrong", sample=i % 20) for i, r in enumerate(right)]
        )
        found.append([one.shares["correct"] for one in difficulty(facts).rows])
    assert np.mean([[one.estimate for one in rows] for rows in found], axis=0) == pytest.approx([0.3] * 3, abs=0.01)
    assert np.mean([one.low < 0.3 < one.high for rows in found for one in rows]) >= 0.9


def test_equal_shares_are_one_part_in_the_third_where_their_middle_falls():
    """Nine of twelve responses see only right ones: the middle of the upper three quarters is in the second third."""
    outcomes = {"a": "cccccccccc", "b": "ww"}
    names = {"c": "correct", "w": "wrong"}
    placed = thirds(facts_frame([row(p, names[o]) for p, own in outcomes.items() for o in own]))
    assert placed["rank"].to_list() == [1] * 10 + [2] * 2


def test_length_on_the_same_question_by_hand():
    """a: wrong 20 and 40, right 10: mean log ratio log(2√2), weight 2/3.  b: wrong 5, right 10: log 1/2, weight 1/2."""
    asked = [("a", "wrong", 20), ("a", "wrong", 40), ("a", "correct", 10), ("a", "truncated", 999), ("b", "wrong", 5)]
    facts = facts_frame([row(*one) for one in (*asked, ("b", "correct", 10), ("c", "wrong", 1000))])
    found = {(one.outcome, one.unit): one for one in difficulty(facts).contrasts}
    tokens = found["wrong", "tokens"]
    expected = (2 / 3 * math.log(2 * math.sqrt(2)) + 1 / 2 * math.log(1 / 2)) / (2 / 3 + 1 / 2)
    assert tokens.within.estimate == pytest.approx(math.exp(expected))
    assert tokens.difference.estimate == pytest.approx((2 / 3 * 20 + 1 / 2 * -5) / (7 / 6))
    assert (tokens.num_questions, tokens.num_problems) == (2, 2)
    assert tokens.raw.estimate == pytest.approx((20 * 40 * 5 * 1000) ** 0.25 / 10)
    assert found["wrong", "characters"].within.estimate == pytest.approx(tokens.within.estimate)
    assert math.isnan(found["unformatted", "tokens"].within.estimate)


def test_templates_and_temperatures_are_not_compared_with_each_other():
    facts = facts_frame(
        [row("a", "wrong", 90, template="x"), row("a", "correct", 10), row("a", "wrong", 90, temperature=0.5)]
    )
    assert difficulty(facts).contrasts[0].num_questions == 0


def test_nothing_known_is_nan():
    for rows in ([], [{}], [{"outcome": "wrong", "correct": False}]):
        found = difficulty(facts_frame(rows))
        assert len(found.lengths) == 4 and math.isnan(found.contrasts[0].within.estimate)


def test_fixed_effect_is_least_squares_with_a_dummy_for_each_cell():
    rng = np.random.default_rng(0)
    cells, treated = rng.integers(0, 6, 50), rng.random(50) < 0.5
    values = rng.normal(size=50) + cells + 0.7 * treated
    X = np.column_stack([treated, np.eye(6)[cells]]).astype(float)
    beta = np.linalg.lstsq(X, values, rcond=None)[0]
    residual = values - X @ beta
    found = fixed_effect(values, treated, cells, cells)
    assert found.effect.estimate == pytest.approx(beta[0])
    bread = np.linalg.inv(X.T @ X)
    scores = np.stack([(X[cells == c] * residual[cells == c, None]).sum(axis=0) for c in range(6)])
    error = math.sqrt((6 / 5 * bread @ scores.T @ scores @ bread)[0, 0])
    assert found.effect.high - beta[0] == pytest.approx(stats.t.ppf(0.975, 5) * error)


def test_interval_covers_a_planted_ratio_although_hard_questions_are_long_and_often_wrong():
    """40 questions x 8: log length = difficulty + 0.3 if wrong + noise; wrong more often where difficult."""
    rng, hits, raw_hits = np.random.default_rng(2), [], []
    for _ in range(300):
        hard = np.repeat(rng.normal(size=40), 8)
        wrong = rng.random(320) < 1 / (1 + np.exp(-1.5 * hard))
        logs = hard + 0.3 * wrong + rng.normal(scale=0.5, size=320)
        problem = np.repeat(np.arange(40), 8)
        effect = fixed_effect(logs, wrong, problem, problem).effect
        raw = fixed_effect(logs, wrong, np.zeros(320, int), problem).effect
        hits.append(effect.low <= 0.3 <= effect.high)
        raw_hits.append(raw.low <= 0.3 <= raw.high)
    assert 0.91 <= np.mean(hits) <= 0.98
    assert np.mean(raw_hits) < 0.1


def test_responses_of_different_checkpoints_are_not_one_question():
    """Later checkpoints write longer and are more often wrong; at one checkpoint wrong answers are no longer."""
    rows = [
        row(f"p{p}", outcome, tokens=10 * (step + 1), step=step)
        for p in range(6)
        for step, outcomes in enumerate((["correct", "correct", "wrong"], ["correct", "wrong", "wrong"]))
        for outcome in outcomes
    ]
    wrong = next(one for one in difficulty(facts_frame(rows)).contrasts if one.unit == "tokens")
    assert wrong.raw.estimate > 1.2 and wrong.within.estimate == pytest.approx(1) and wrong.num_questions == 12
