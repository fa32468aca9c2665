"""Grades of Countdown responses, and that the verifier accepts what a solver finds and nothing spoiled."""

import json
import random
from fractions import Fraction

import pytest

from r1zero.grading import check_gold, equivalent, grade
from r1zero.records import Grade, Problem

GOLD = '{"nums": [3, 8, 5], "target": 29}'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("3 * 8 + 5", ""),
        ("5 + (8 × 3)", ""),
        ("-(-5 - 3*8)", ""),
        ("3 * 8", "number 5 is not used"),
        ("3 * 8 + 5 + 7", "7 is not among the numbers"),
        ("3 * 8 + 5 * 3 / 3", "number 3 is used 3 times but given once"),
        ("3 + 8 + 5", "value 16 instead of 29"),
        ("8 / 3 + 5", "value 23/3 instead of 29"),
        ("3 * 8 + 5 = 29", "'=' is not allowed"),
        ("29", "29 is not among the numbers"),
        ("38 - 5", "38 is not among the numbers"),
        ("", "empty"),
        ("3 / (8 - 5 - 3)", "division by zero"),
        ("9**9**9", "'**' is not allowed"),
        ("1//0", "'//' is not allowed"),
        ("(" * 100_000 + "3*8+5" + ")" * 100_000, "longer than 500 characters"),
        ("٣ * ٨ + ٥", "'٣' is not allowed"),
        ('__import__("os")', "'__import__' is not allowed"),
    ],
)
def test_each_fault_has_its_reason(answer, reason):
    assert grade(f"Answer: {answer}", GOLD, "native") == Grade(
        correct=not reason, formatted=bool(answer), extracted=answer or None, reason=reason if answer else ABSENT_NATIVE
    )
    assert equivalent(answer, GOLD) == (not reason)


ABSENT_NATIVE = "no line begins with 'Answer: '"


def test_numbers_given_twice_are_used_twice():
    gold = '{"nums": [4, 4, 2], "target": 10}'
    assert equivalent("4 + 4 + 2", gold)
    assert grade("Answer: 4 * 2 + 2", gold, "native").reason == "number 2 is used 2 times but given once"
    assert grade("Answer: 4 + 2", gold, "native").reason == "number 4 is used once but given 2 times"


def test_rationals_are_exact_where_floats_would_be_near():
    # 100000/99999 * 99999 is exact; 1/3 as 0.33333 is not in reach of a tolerance of 1e-5
    assert equivalent("8 / (3 - 8 / 3)", '{"nums": [8, 3, 8, 3], "target": 24}')
    near = '{"nums": [1, 300000, 7], "target": 7}'  # 7 + 1/300000 differs from 7 by 3e-6, inside TinyZero's tolerance
    assert grade("Answer: 7 + 1 / 300000", near, "native").reason == "value 2100001/300000 instead of 7"


def test_an_unreadable_value_is_shortened_in_the_reason():
    gold = json.dumps({"nums": [10**29] * 8, "target": 1})
    reason = grade("Answer: " + "*".join(["1" + "0" * 29] * 8), gold, "native").reason
    assert reason == "value 10000000000000000000... (233 characters) instead of 1"


def test_what_a_solver_finds_is_right_and_spoiled_copies_are_wrong():
    chance = random.Random(3)
    solved = 0
    for _ in range(200):
        nums = [chance.randint(1, 25) for _ in range(chance.choice([2, 3, 4]))]
        target = chance.randint(1, 100)
        gold = json.dumps({"nums": nums, "target": target})
        expression = _solve(nums, target)
        if expression is None:
            continue
        solved += 1
        assert equivalent(expression, gold), (expression, gold)
        assert not equivalent(expression, json.dumps({"nums": nums, "target": target + 1}))
        assert not equivalent(f"{expression} + 0", gold)
        assert not equivalent(f"{expression} * 1", gold)
        assert not equivalent(f"({expression}", gold)
        assert not equivalent(expression, json.dumps({"nums": [*nums, 1], "target": target}))
    assert solved > 15


def _solve(nums: list[int], target: int) -> str | None:
    """A solution by trying everything, or None."""

    def search(parts: list[tuple[Fraction, str]]) -> str | None:
        if len(parts) == 1:
            return parts[0][1] if parts[0][0] == target else None
        for i in range(len(parts)):
            for j in range(len(parts)):
                if i == j:
                    continue
                (a, x), (b, y) = parts[i], parts[j]
                rest = [parts[k] for k in range(len(parts)) if k not in (i, j)]
                made = [(a - b, f"({x} - {y})")]
                if i < j:
                    made += [(a + b, f"({x} + {y})"), (a * b, f"({x} * {y})")]
                if b:
                    made.append((a / b, f"({x} / {y})"))
                for part in made:
                    if found := search([*rest, part]):
                        return found
        return None

    return search([(Fraction(n), str(n)) for n in nums])


@pytest.mark.parametrize(
    "gold",
    [
        "24",
        "not json",
        "[3, 8]",
        "[" * 100_000,
        '{"nums": [3, 8]}',
        '{"target": 24}',
        '{"nums": [], "target": 24}',
        '{"nums": "3 8", "target": 24}',
        '{"nums": [3, -8], "target": 24}',
        '{"nums": [3, 8.5], "target": 24}',
        '{"nums": [3, true], "target": 24}',
        '{"nums": [3, 8], "target": "24"}',
        '{"nums": [3, 8], "target": null}',
        '{"nums": [3, 1e400], "target": 3}',
        json.dumps({"nums": [1] * 300, "target": 300}),
    ],
)
def test_a_gold_that_no_answer_could_satisfy_is_refused_by_name(gold):
    with pytest.raises(ValueError, match="problem countdown-7: gold"):
        check_gold(Problem(id="countdown-7", task="countdown", text="", gold=gold))
    check_gold(Problem(id="countdown-8", task="countdown", text="", gold=GOLD))


def test_unknown_tasks_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no grader for task 'countdwn': did you mean countdown"):
        grade("Answer: 3", GOLD, "native", task="countdwn")
