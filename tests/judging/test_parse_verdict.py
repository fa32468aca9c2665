"""A verdict is read strictly; what is not plainly one is none."""

from __future__ import annotations

import pytest

from r1zero.judging.parse import parse_verdict

FOUR = (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("reply", "category"),
    [
        ('{"reason": "it looks back", "category": 2}', 2),
        ('{"category": 0}', 0),
        ('\n {"category": 3, "reason": ""} \n', 3),
        ('```json\n{"reason": "x",\n "category": 1}\n```', 1),
        ('```\n{"category": 1}\n```', 1),
        ('It tries.\n{"reason": "tries", "category": 1}', 1),
        ('<think>is it 3?\n3\n</think>\n{"reason": "", "category": 1}', 1),
        ("2", 2),
        ("It looks back at step 3.\n2", 2),
        ("reason\n 1 \n\n", 1),
    ],
)
def test_a_verdict_is_a_json_object_or_a_bare_digit_on_the_last_line(reply: str, category: int):
    assert parse_verdict(reply, FOUR) == category


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " \n ",
        "12.",  # what the original script takes for 2
        "12",
        "The answer is 12",
        "Category: 2",
        "2.",
        "-2",
        "**2**",
        "٢",  # an Arabic-Indic two is a digit to int()
        "²",
        "4",  # no category
        "2\nI hope this helps",
        '{"reason": "cut off", "categ',
        '{"reason": "x", "category": 2',
        '{"reason": "x", "category": "2"}',
        '{"reason": "x", "category": 2.0}',
        '{"reason": "x", "category": true}',
        '{"reason": "x", "category": null}',
        '{"reason": "x", "category": [2]}',
        '{"reason": 5, "category": 2}',
        '{"reason": "x"}',
        '{"category": 1, "category": 2}',
        '{"reason": "x", "category": 2, "confidence": 0.4}',
        '{"reason": "x", "category": 9}',
        '{"category": 1} {"category": 2}',
        '[{"category": 2}]',
        '{"category": ' + "1" * 5000 + "}",
        '{"reason": ' + "[" * 100_000,
        "<think>2\n{",
    ],
)
def test_anything_else_is_unparseable(reply: str):
    assert parse_verdict(reply, FOUR) is None


def test_a_category_of_another_instruction_is_no_verdict():
    assert parse_verdict('{"category": 2}', (0, 1)) is None
    assert parse_verdict("2", (0, 1)) is None


def test_an_object_outside_the_categories_is_not_rescued_by_a_digit():
    assert parse_verdict('{"reason": "x", "category": 7}', FOUR) is None
    assert parse_verdict('1\n{"reason": "x", "category": 7}', FOUR) is None


def test_a_digit_at_the_end_of_a_reply_that_was_cut_is_no_verdict():
    assert parse_verdict("The text does these steps:\n1", FOUR, finished=False) is None
    assert parse_verdict('{"reason": "whole all the same", "category": 1}', FOUR, finished=False) == 1
