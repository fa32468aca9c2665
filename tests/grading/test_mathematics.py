"""Pairs of gold and answer by format, equal and unequal; the failure classes of other graders are among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1zero.grading import equivalent, fault, grade, mathematics, pool
from r1zero.grading.mathematics import read_gold
from r1zero.grading.pool import GradingFault

# one gold a line: its format, answers that are equal to it and answers that are not
ROWS = [
    json.loads(line)
    for name in ("math_pairs.jsonl", "math_pairs_of_real_golds.jsonl", "math_pairs_of_near_misses.jsonl")
    for line in (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
]
FORMATS = list(dict.fromkeys(row["format"] for row in ROWS))


def pairs(kind: str, side: str) -> list[tuple[str, str]]:
    return [(row["gold"], answer) for row in ROWS if row["format"] == kind for answer in row[side]]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_equal_answer_in_another_spelling_is_right(kind):
    assert [(gold, answer) for gold, answer in pairs(kind, "equal") if fault(answer, gold)] == []


@pytest.mark.parametrize("kind", FORMATS)
def test_an_unequal_answer_is_wrong(kind):
    assert [(gold, answer) for gold, answer in pairs(kind, "unequal") if equivalent(answer, gold)] == []


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ({"answers": ["6630.65", "6630"]}, ["6630.65", "6630"], ["6631", "6630.6"]),
        (
            {"answers": ["4.2"], "tolerance": 0.1},
            ["4.2", "4.3", "4.1", "\\frac{42}{10}", "3\\sqrt2"],
            ["4.31", "4.0", "x"],
        ),
        ({"answers": ["8.7 \\times 10^{8}"], "relative": 0.01}, ["8.75e8", "8.62e8"], ["8.8e8", "8.7e7", "8.7"]),
        ({"answers": ["166"], "unit": "cm^2"}, ["166", "166 cm^2", "166\\text{ cm}^2"], ["165", "1.66"]),
        ({"answers": ["1, 2"], "ordered": True}, ["1, 2", "(1, 2)"], ["2, 1"]),
        ({"answers": ["1, 2"], "ordered": False, "type": "Numerical"}, ["2, 1"], ["2, 1, 1"]),
        (["one half", "1/2"], ["0.5", "one half"], ["one third"]),
    ],
)
def test_a_gold_with_parts_says_how_it_is_compared(gold, right, wrong):
    text = json.dumps(gold)
    assert [fault(answer, text) for answer in right] == [""] * len(right)
    assert [answer for answer in wrong if equivalent(answer, text)] == []


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ("", "the gold is empty"),
        ('{"answers": []}', "`answers` must be a list of texts"),
        ('{"answer": ["1"]}', "unknown key 'answer'"),
        ('{"answers": ["1"], "tolerance": -1}', "tolerance=-1 must be a number that is not negative"),
        ('{"answers": ["1"], "relative": "1%"}', "relative='1%' must be a number"),
    ],
)
def test_a_gold_that_nothing_can_satisfy_is_refused(gold, message):
    with pytest.raises(ValueError, match=message):
        read_gold(gold)


def test_the_gold_tells_the_task():
    assert grade("so \\boxed{0.5}", "\\frac12", "boxed").correct
    assert grade("Answer: 3 * 8", '{"nums": [3, 8], "target": 24}', "native").correct
    assert not equivalent("24", '{"nums": [3, 8], "target": 24}')
    assert fault("24", "24") == fault("24", "24", task="math") == ""


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("50", ["50%", "50\\%"], ["5000%", "0.5"]),
        ("0.5", ["50%"], ["0.5%", "50"]),
        ("1", ["100%", "1%"], ["10%"]),
        ("2.5", ["250%", "2.5%"], ["25%"]),
        ("40\\%", ["40", "0.4", "2/5"], ["4", "0.04", "40 dollars"]),
    ],
)
def test_a_percent_sign_against_a_bare_number_is_read_as_the_question_would(gold, right, wrong):
    assert [answer for answer in right if not equivalent(answer, gold)] == []
    assert [answer for answer in wrong if equivalent(answer, gold)] == []


def test_a_letter_after_pi_is_a_variable_and_no_unit():
    assert not equivalent("2\\pi n", "2\\pi")  # not 2 pi newtons
    assert not equivalent("2\\pi k", "2\\pi")
    assert equivalent("2k\\pi + \\frac{\\pi}{4}", "\\frac{\\pi}{4}+2\\pi n")


def test_a_letter_is_only_renamed_where_it_stands_for_any_constant():
    assert equivalent("\\frac{x^3}{3}+c", "\\frac{x^3}{3}+C")
    assert not equivalent("\\frac{18+3C}{7}", "\\frac{18+3c}{7}")
    assert not equivalent("2k", "2n")


def test_a_derivative_is_no_quotient():
    assert equivalent("m\\dot{v}+bv=f", "m \\frac{d v}{d t}+b v=f")
    assert not equivalent("m\\frac{v}{t}+bv=f", "m \\frac{d v}{d t}+b v=f")


def test_a_refused_answer_says_why():
    assert fault("x" * 2000, "42") == "longer than 1000 characters"
    assert fault("(" * 100, "42") == "more than 64 brackets nested"
    assert fault("1" * 500, "42") == "a number of more than 300 digits"
    assert fault("\\input{secrets}", "42") == "not an answer: \\input"
    assert fault("   ", "42") == "empty"
    assert fault("43", "42") == "not equal to the gold"
    assert fault("x" * 2000, "x" * 2000) == ""  # what is the gold to the letter needs no reading


def test_a_verdict_that_broke_off_is_asked_for_again(monkeypatch):
    answers = [GradingFault("not graded: no grading process (no room)"), True]

    def symbolic_equal(prediction, gold):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(pool, "symbolic_equal", symbolic_equal)
    gold = "\\int_0^1 x^{2417} dx"
    assert fault("\\frac{1}{2417+1}", gold) == "not graded: no grading process (no room)"
    assert fault("\\frac{1}{2417+1}", gold) == ""
    assert fault("\\frac{1}{2417+1}", gold) == "" and not answers  # this one is remembered


def test_megabytes_are_not_remembered():
    before = mathematics._remembered.cache_info().currsize
    assert fault("y" * 100_000, "x+1") == "longer than 1000 characters"
    assert mathematics._remembered.cache_info().currsize == before


def test_letters_behind_a_number_are_variables_unless_they_are_a_unit_or_a_word():
    for product in ("3xy", "3 xy", "3xyz", "3abc", "3\\,dx", "3n", "3ln"):
        assert not equivalent(product, "3"), product
    for product in ("\\frac{5}{7}x", "-\\frac{5}{7}i", "\\frac{1}{2}mv"):
        assert not equivalent(product, "\\frac57") and not equivalent(product, "-\\frac57"), product
        assert not equivalent(product, "\\frac12"), product
    for answer in ("3 apples", "3km", "3 mL", "3rd", "3 a day", "She has 3 left"):
        assert equivalent(answer, "3"), answer


@pytest.mark.parametrize(
    "answer",
    [
        "half of 8", "double 8", "twice $8$", "8 squared", "less than 8", "more than $8$", "up to 8",
        "the square root of 8", "a multiple of 8", "all except 8", "it is never $8$", "wrong: $8$", "8 is wrong",
        "8 times y", "8 over y", "8 choose n", "log of 8",
    ],
)  # fmt: skip
def test_a_number_that_its_sentence_makes_another_is_not_the_answer(answer):
    assert not equivalent(answer, "8")


@pytest.mark.parametrize(
    "answer",
    ["She has 8 left", "8 square meters", "8 more than Tom", "The sum is $8$", "8 times a week", "the 8th", "8 a day"],
)
def test_a_number_in_a_plain_sentence_is_the_answer(answer):
    assert equivalent(answer, "8")
