"""Stated answers and transitions: texts written for the purpose, and hostile ones."""

from __future__ import annotations

import doctest
import json

import pytest

from r1zero.facts import chains, statements
from r1zero.facts import trajectory as trajectories
from r1zero.facts.chains import compose
from r1zero.facts.cues import find_cues
from r1zero.facts.trajectory import MAX_STATED, same_answer, stated_answers, trajectory
from r1zero.grading import grade
from r1zero.records import Grade

GOLD = json.dumps({"nums": [20, 18, 14], "target": 12})


@pytest.mark.parametrize("module", [statements, chains, trajectories])
def test_docstring_examples_of_trajectories_hold(module):
    assert doctest.testmod(module).failed == 0


def stated(text, task="math"):
    return [one.answer for one in stated_answers(text, task, find_cues(text))]


def way(text, gold, answer_format="any", task="math"):
    return trajectory(text, gold, task, grade(text, gold, answer_format, task=task), find_cues(text))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("so \\boxed{5}. Wait, no: \\boxed{\\frac{1}{2}}", ["5", "\\frac{1}{2}"]),
        ("\\boxed{\\boxed{5}}", ["5"]),  # the innermost, as the grader reads it
        ("fill \\boxed{\\phantom{2}} with \\boxed{4}", ["4"]),  # an empty box asks
        ("The answer is $\\boxed{5}$.", ["5"]),  # one statement
        ("The answer is 5. So the box: \\boxed{5}", ["5"]),  # repeated without a second look
        ("The answer is 5. Let me check again. The answer is 5.", ["5", "5"]),  # repeated after one
        ("The result is 50. Final answer: 10", ["10"]),  # a result on the way
        ("The answer is not correct. The answer is 7.", ["7"]),
        ("5 + 6 = 11\n#### 11", ["11"]),
        ("#### Step two\nx", []),  # a heading
        ("</think> <answer> 4 </answer>", ["4"]),
        ("8 - 24 = -16 bars. But wait, that is negative.", ["-16"]),
        ("16 + 2 = 18\nThus she has $18", ["$18"]),
        ("Therefore there are 6 of them. We then multiply everything by many other things to go on.", []),
        ("We look at n = 63k. Let's check each factor: 1 is none", []),  # looks ahead
        ("```python\nanswer = solve(x)  # wait\n``` so \\boxed{3}", ["3"]),  # code states nothing
        ("by AM-GM the terms $a$ and $d$. Wait, no", []),  # a formula that equates nothing
    ],
)
def test_statements_of_prose_are_read_in_order(text, answers):
    assert stated(text) == answers


def test_statements_know_their_place():
    text = "So \\boxed{5}. Wait, \\boxed{6}."
    assert [text[one.start : one.end] for one in stated_answers(text, "math", find_cues(text))] == [
        "\\boxed{5}",
        "\\boxed{6}",
    ]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("20-18=2, 2+14=16 vs 12, no.\nAnswer: 14+18-20", ["14+18-20"]),  # rejected: a step of the search
        ("14+18=32, 32-20=12 vs 12, yes.\nAnswer: 14+18-20", ["(14+18)-20", "14+18-20"]),
        ("3*18=54, 54-18=36.\nLet me re-evaluate: 18-3=15, 18-15=3.", ["(3*18)-18"]),  # put in question by the cue
        ("3*18=54, 54-18=36 vs 3, no.\nWait, 18-3=15, 18-15=3.", []),  # this response rejects in words
        ("Answer: 14-(20-18)\nLet me check again: 20-18=2\nAnswer: 14+18-20", ["14-(20-18)", "14+18-20"]),
        (" 25-10=15, 19+15=34 vs 34, yes. </think> <answer> 25-10+19 </answer>", ["19+(25-10)", "25-10+19"]),
    ],
)
def test_countdown_attempts_count_where_the_response_stands_by_them(text, answers):
    assert stated(text, "countdown") == answers


def test_steps_compose_to_one_expression_of_the_given_numbers():
    assert compose("9-7=2, 2*5=10, 5-2=3") == "5-2"  # the last step; nothing left of the others
    assert compose("20/18=1, 1*14=14") == "(20/18)*14"  # what is claimed only says which step is meant
    assert compose("2+2=4, 3+1=4, 4*4=16") == "(3+1)*(2+2)"  # each result is used once
    assert compose("1+1=2, " * 21) is None


@pytest.mark.parametrize(
    ("text", "transition"),
    [
        ("\\boxed{5}. Let me check: \\boxed{5}", "TT"),
        ("\\boxed{4}. Wait, \\boxed{5}", "FT"),
        ("\\boxed{5}. Wait, \\boxed{4}", "TF"),
        ("\\boxed{4}. Wait, \\boxed{4.0}", "FF_same"),
        ("\\boxed{4}. Wait, \\boxed{6}", "FF_other"),
        ("\\boxed{4}", "FF_same"),  # one answer is first and last
        ("wait, wait, wait", "none"),
    ],
)
def test_transitions_of_boxed_answers(text, transition):
    assert way(text, "5", "boxed").transition == transition


def test_transitions_of_countdown_are_judged_by_what_expressions_are_worth():
    assert way("Answer: 14-(20-18)\nWait.\nAnswer: 14+18-20", GOLD, "native", "countdown").transition == "TT"
    assert way("Answer: 14-20\nWait.\nAnswer: 14+18-20", GOLD, "native", "countdown").transition == "FT"
    assert way("Answer: 14+18-20\nWait.\nAnswer: 20-18-14", GOLD, "native", "countdown").transition == "TF"
    assert way("Answer: 20+18+14\nWait.\nAnswer: 14+18+20", GOLD, "native", "countdown").transition == "FF_same"
    assert way("20-18=2, 2+14=16 vs 12, no.", GOLD, "native", "countdown").transition == "none"


def test_what_the_grader_read_is_the_last_answer_even_where_no_rule_states_it():
    found = way("Let me see: \\boxed{4} eggs, so 4 + 1 gives 5 in all", "5", "last_number")
    assert (found.candidates, found.transition) == (2, "FT")
    assert way("4 + 1 gives 5 in all", "5", "last_number").first_answer_end == len("4 + 1 gives 5")


def test_statements_inside_the_graded_answer_are_no_others():
    text = "<answer>She sells 3 and then 2. So, x = 5</answer>"
    assert way(text, "7").candidates == 1


def test_only_the_first_answer_is_judged_and_only_where_it_differs():
    asked = []

    def equal(answer, gold):
        asked.append((answer, gold))
        return answer == gold

    right, wrong = Grade(True, True, "5", ""), Grade(False, True, "6", "")
    assert trajectory("\\boxed{4}, wait \\boxed{5}", "5", "math", right, [], equal=equal).transition == "FT"
    assert trajectory("\\boxed{6}", "5", "math", wrong, [], equal=equal).transition == "FF_same"
    assert asked == [("4", "5")]


def test_without_a_gold_there_is_no_transition_but_there_are_answers():
    found = trajectory("\\boxed{4}, wait \\boxed{5}", None, "math", Grade(False, True, "5", ""), [])
    assert (found.candidates, found.transition, found.first_answer_end) == (2, None, 9)


def test_same_answers_are_so_in_text_or_in_value():
    assert same_answer("1,000", "1000.0", "math") and not same_answer("1/3", "0.33", "math")
    assert same_answer("20+18", "18 + 20", "countdown") and not same_answer("20+18", "19+19", "countdown")


HOSTILE = {
    "boxes in boxes": "\\boxed{" * 8_000 + "5" + "}" * 8_000,
    "unclosed boxes": "\\boxed{" * 20_000,
    "braces": "\\boxed{" + "{" * 100_000,
    "answer is": "the answer is " * 14_000,
    "answers": "answer: 5 " * 20_000,
    "results": "final result is " * 12_000,
    "tags": "<answer>" * 12_000 + "</answer>" * 12_000,
    "marks": "####" * 50_000,
    "marks and lines": "#### 5\n" * 28_000,
    "cues": "wait 5 = 5. " * 16_000,
    "fences": "```" * 60_000,
    "dollars": "$" * 200_000,
    "therefore": "\nTherefore x = 5" * 12_000,
    "steps": "1+1=2, " * 28_000,
    "sums": "1+" * 100_000,
    "equals": "1=" * 100_000,
    "digits": "1" * 200_000,
    "spaces": "A:" + " " * 200_000,
    "parentheses": "(" * 200_000,
}


@pytest.mark.parametrize("task", ["math", "countdown"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_read_to_its_end_and_capped(name, task):
    text = HOSTILE[name]  # in quadratic time this would take hours
    found = stated_answers(text, task, find_cues(text))
    assert len(found) <= MAX_STATED
    assert [one.start for one in found] == sorted(one.start for one in found)
    assert all(0 <= one.start < one.end <= len(text) and one.answer for one in found)
