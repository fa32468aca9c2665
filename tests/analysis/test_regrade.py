"""Grading anew: rules side by side, labels, votes and lengths, worked out by hand on a dozen responses."""

import math
from dataclasses import replace

import numpy as np
import pytest

from r1zero.analysis.regrade import (
    RULES,
    Origin,
    StoredResponse,
    Tally,
    ballot,
    default_rules,
    group_size,
    precision,
    recall,
    regrade,
    report,
    share_by_question,
    together,
)
from r1zero.grading import EXTRACTORS, VERIFIERS
from r1zero.grading.agreement import Agreement
from r1zero.statistics.intervals import wilson_interval

ORIGIN = Origin("base.jsonl", "base", "toy", "r1", "math")
RULE_NAMES = ("r1", "boxed", "any")


def row(number, text, *, question="q", gold="4", **fields):
    return StoredResponse(ORIGIN, number, f"id-{number}", question, (gold,), text, **fields)


def graded(rows, rules=RULE_NAMES, *, kept=5):
    tally = Tally(rows[0].origin, rules, kept=kept)
    for response, grades in regrade(rows, lambda _: rules):
        tally.add(response, grades)
    return report(tally)


def by_rule(rows, rules=RULE_NAMES):
    return {one.rule: one for one in graded(rows, rules).rules}


def test_every_rule_says_where_the_same_text_has_its_answer():
    text = r"I box \boxed{4} first. </think> <answer> 5 </answer>"
    [(response, grades)] = regrade([row(1, text)], lambda _: ("r1", "boxed", "gsm8k"))
    assert response.id == "id-1"
    assert {rule: (g.correct, g.formatted, g.extracted) for rule, g in grades.items()} == {
        "r1": (False, True, "5"),
        "boxed": (True, True, "4"),
        "gsm8k": (False, False, None),
    }
    assert grades["boxed"].reason == "" and grades["gsm8k"].reason and grades["r1"].reason != grades["gsm8k"].reason


def test_grades_come_in_the_order_of_the_rows_and_belong_to_them():
    rows = [row(i, rf"\boxed{{{i}}}" if i % 3 else "nothing", gold=str(i)) for i in range(20)]
    seen = [(response.row, grades["boxed"].correct) for response, grades in regrade(rows, lambda _: ("boxed", "r1"))]
    assert seen == [(i, bool(i % 3)) for i in range(20)]


def test_an_answer_that_several_rules_find_is_checked_once(monkeypatch):
    asked = []
    monkeypatch.setitem(VERIFIERS, "math", lambda answer, gold: asked.append(answer) or "")
    text = r"\boxed{4} </think> <answer> 4 </answer>"
    [(_, grades)] = regrade([row(1, text)], lambda _: ("r1", "boxed", "any"))
    assert asked == ["4"]
    assert all(grade.correct for grade in grades.values())


def test_the_best_of_several_golds_counts():
    response = replace(row(1, r"\boxed{4}"), golds=("3", "4"))
    [(_, grades)] = regrade([response], lambda _: ("boxed",))
    assert grades["boxed"].correct


def test_a_gold_that_cannot_be_read_names_its_row():
    countdown = replace(ORIGIN, task="countdown")
    broken = StoredResponse(countdown, 7, "x", "q", ('{"nums": []}',), "Answer: 3")
    with pytest.raises(ValueError, match=r"base.jsonl, row 7 \(x\)"):
        list(regrade([broken], lambda _: ("native",)))


def test_a_timeout_is_wrong_counted_and_its_answer_kept(monkeypatch):
    monkeypatch.setitem(VERIFIERS, "math", lambda answer, gold: "timed out")
    one = graded([row(1, r"\boxed{9^{9^9}}", label=False), row(2, "no box")])
    rules = {rule.rule: rule for rule in one.rules}
    assert (rules["boxed"].timeouts, rules["r1"].timeouts) == (1, 0)
    assert rules["boxed"].no_answer.estimate == 0.5
    assert rules["boxed"].accuracy.estimate == 0


def test_default_rules_hold_the_templates_own_and_exist():
    assert {name for names in RULES.values() for name in names} <= set(EXTRACTORS)
    assert default_rules(ORIGIN) == RULES["math"]
    assert default_rules(replace(ORIGIN, template="native"))[0] == "native"
    assert default_rules(replace(ORIGIN, template="../../etc/passwd")) == RULES["math"]


def test_accuracy_counts_questions_and_with_one_response_each_is_wilsons():
    rows = [row(i, rf"\boxed{{{4 if i < 3 else 5}}}", question=f"q{i}") for i in range(10)]
    assert by_rule(rows)["boxed"].accuracy == wilson_interval(3, 10)
    four_times = [replace(r, row=10 * k + r.row) for r in rows for k in range(4)]
    clustered = by_rule(four_times)["boxed"].accuracy
    assert clustered.high - clustered.low > 0.9 * (wilson_interval(3, 10).high - wilson_interval(3, 10).low)


def test_labels_give_agreement_precision_and_recall_and_null_is_left_out():
    rows = [
        row(1, r"\boxed{4}", label=True),
        row(2, r"\boxed{4}", label=True),
        row(3, r"\boxed{4}", label=False),  # taken for right
        row(4, r"\boxed{5}", label=True),  # refused
        row(5, "no answer", label=True),  # refused for its format
        row(6, r"\boxed{5}", label=False),
        row(7, r"\boxed{4}", label=None),
    ]
    one = graded(rows)
    boxed = {rule.rule: rule for rule in one.rules}["boxed"].agreement
    assert boxed == Agreement(both=2, only_first=1, only_second=2, neither=1)
    assert (precision(boxed), recall(boxed), boxed.share) == (2 / 3, 2 / 4, 3 / 6)
    assert one.unlabelled == 1
    assert math.isnan({rule.rule: rule for rule in one.rules}["r1"].agreement_share.estimate) is False
    assert math.isnan(precision(Agreement())) and math.isnan(recall(Agreement(only_first=3)))


def test_disagreements_to_read_are_those_with_an_answer_and_the_wrongly_right_come_first():
    rows = [
        row(1, r"\boxed{5}", label=True),
        row(2, "no answer", label=True),
        row(3, r"\boxed{4}", label=False),
        row(4, r"\boxed{6}", label=True),
    ]
    one = graded(rows, ("boxed",), kept=1)
    assert [(d.row, d.extracted, d.label) for d in one.disagreements] == [(3, "4", False), (1, "5", True)]
    assert (one.only_we, one.only_label) == (1, 2)


def test_what_is_read_is_read_under_the_rule_that_its_labels_were_given_under():
    stored = replace(ORIGIN, judged_by="stored grades")
    assert Tally(ORIGIN, RULE_NAMES, kept=1).read_under == "any"
    assert Tally(stored, RULE_NAMES, kept=1).read_under == "r1"
    assert Tally(replace(stored, template="unknown"), RULE_NAMES, kept=1).read_under == "any"
    assert Tally(stored, ("boxed", "gsm8k"), kept=1).read_under == "boxed"


def test_together_adds_labels_of_all_origins_and_no_stored_grades():
    rows = [row(1, r"\boxed{4}", label=True), row(2, r"\boxed{5}", label=True)]
    stored = [replace(r, origin=replace(ORIGIN, judged_by="stored grades")) for r in rows]
    total = together([graded(rows), graded(rows[:1]), graded(stored)])
    assert total["boxed"] == Agreement(both=2, only_second=1)


def test_pass_and_majority_at_k_over_questions_with_k_responses():
    answers = {"a": "4 4 5 5", "b": "4 5 5 5", "c": "5 5 5 6", "short": "4"}
    rows = [row(i, rf"\boxed{{{x}}}", question=q) for q in answers for i, x in enumerate(answers[q].split())]
    one = graded(rows)
    boxed = {rule.rule: rule for rule in one.rules}["boxed"]
    assert (one.questions, one.k) == (4, 4)
    assert boxed.pass_at_k.estimate == pytest.approx(2 / 3)  # a and b hold a right one
    assert boxed.majority_at_k.estimate == pytest.approx(0.5 / 3)  # a is a draw
    few = by_rule([row(i, r"\boxed{4}", question="a") for i in range(2)])["boxed"].pass_at_k
    assert (few.estimate, few.high) == (1.0, 1.0) and few.low == pytest.approx(0.2065, abs=1e-4)  # Wilson's, 1 of 1
    assert math.isnan(by_rule([row(1, "x")])["boxed"].pass_at_k.estimate)


def test_long_answers_vote_by_digest():
    assert ballot("x" * 80) == "x" * 80
    assert len(ballot("x" * 81)) == 32
    assert ballot("x" * 81) == ballot("x" * 81) != ballot("x" * 80 + "y")
    assert ballot("\ud800" * 100) is not None and ballot(None) is None


def test_the_ledger_has_tokens_when_all_rows_know_them_else_characters():
    rows = [
        row(1, r"\boxed{4}", num_tokens=10, finish_reason="stop"),
        row(2, r"\boxed{5}", num_tokens=20, finish_reason="stop"),
        row(3, "cut", num_tokens=30, finish_reason="length"),
        row(4, "none", num_tokens=40, finish_reason="stop"),
    ]
    one = graded(rows, ("boxed",))
    assert [(r.outcome, r.count, r.tokens_mean.estimate) for r in one.ledger] == [
        ("correct", 1, 10), ("wrong", 1, 20), ("unformatted", 1, 40), ("truncated", 1, 30),
    ]  # fmt: skip
    assert (one.truncated.estimate, one.length_unit) == (0.25, "tokens")
    without = graded([*rows, row(5, "?????")], ("boxed",))
    assert (without.length_unit, without.truncated.estimate) == ("characters", 0.25)
    assert without.ledger[0].tokens_mean.estimate == len(r"\boxed{4}")


def test_group_size_is_what_half_of_the_questions_have():
    assert [group_size(s) for s in ([8], [1, 8], [8, 8, 1], [3, 5, 4, 2])] == [8, 8, 8, 4]


def test_the_share_of_nothing_is_undefined():
    assert math.isnan(share_by_question(np.array([], bool), np.array([], int)).estimate)
