"""Expressions are untrusted text: exact values, or a reason; never an exception, a hang or a run of code."""

import operator
import random
from fractions import Fraction

import pytest

from r1zero.grading.arithmetic import MAX_DEPTH, MAX_DIGITS, MAX_LENGTH, evaluate

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
HOSTILE = [
    "9**9**9",
    "9**9**9**9",
    "1//0",
    "7//2",
    "(" * 100_000 + "1" + ")" * 100_000,
    "(" * 200 + "1" + ")" * 200,
    "-" * 100_000 + "1",
    "٣+٤",  # Arabic-Indic digits
    "３+４",  # full-width digits
    "²+1",
    '__import__("os").system("touch /tmp/should-not-exist")',
    "().__class__",
    "lambda: 1",
    "(10**10)!",
    "1e9",
    "2.5*2",
    "0x10",
    "1_000",
    "1,000",
    "1" * 100_000,
    "\x00",
    "\ud800",
    "3*8=24",
    "nan",
    "inf",
]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7", 7),
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("20-6-4", 10),
        ("24/4/3", 2),
        ("24/(4/3)", 18),
        ("1/3+1/6", Fraction(1, 2)),
        ("8/(3-8/3)", 24),
        ("8 × 3 − 4 ÷ 2 · 1", 22),
        (r"8 \times 3 - 4 \div 2 \cdot 1", 22),
        (r"\left(8 - 5\right)\times4", 12),
        ("-3*-(2+1)", 9),
        ("2--3", 5),
        ("-2+5", 3),
        ("+4", 4),
        ("\t( 1 +\n2 )", 3),
        ("0*5", 0),
        ("0/5", 0),
    ],
)
def test_the_value_is_the_one_worked_out_by_hand(expression, value):
    evaluation = evaluate(expression)
    assert (evaluation.value, evaluation.reason) == (value, "")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("()", "a number is missing before ')'"),
        ("3+", "a number is missing at the end"),
        ("*3", "a number is missing before '*'"),
        ("3*/4", "a number is missing before '/'"),
        ("3 4", "an operator is missing before '4'"),
        ("3(4)", "an operator is missing before '('"),
        ("(3)4", "an operator is missing before '4'"),
        ("(3+4", "'(' without ')'"),
        ("3+4)", "')' without '('"),
        ("1/0", "division by zero"),
        ("1/(2-4/2)", "division by zero"),
        ("9**9", "'**' is not allowed"),
        ("7//2", "'//' is not allowed"),
        ("05+1", "number '05' has a leading zero"),
        ("3.5", "'.' is not allowed"),
        ("x+1", "'x' is not allowed"),
        (r"\frac12", r"'\\frac12' is not allowed"),
    ],
)
def test_a_malformed_expression_says_what_is_wrong(expression, reason):
    evaluation = evaluate(expression)
    assert (evaluation.value, evaluation.reason) == (None, reason)


@pytest.mark.parametrize("expression", HOSTILE, ids=lambda text: repr(text[:20]))
def test_hostile_text_gets_a_short_reason_in_one_line(expression):
    evaluation = evaluate(expression)
    assert evaluation.value is None
    assert 0 < len(evaluation.reason) < 80
    assert evaluation.reason.isprintable()


def test_the_limits_are_inclusive():
    assert evaluate("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH).value == 1
    assert "nested" in evaluate("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1)).reason
    assert evaluate("9" * MAX_DIGITS).value == 10**MAX_DIGITS - 1
    assert "digits" in evaluate("9" * (MAX_DIGITS + 1)).reason
    assert evaluate("1" + " " * (MAX_LENGTH - 1)).value == 1
    assert "characters" in evaluate("1" + " " * MAX_LENGTH).reason


def test_large_products_stay_exact():
    product = "*".join(["9" * 20] * 20)
    assert evaluate(f"{product}-{product}+1").value is None  # longer than allowed, refused before any work
    nines = 10**20 - 1
    assert evaluate("*".join(["9" * 20] * 10) + "+1").value == nines**10 + 1


def test_randomly_built_expressions_have_the_value_of_their_own_tree():
    chance = random.Random(7)
    for _ in range(3000):
        text, value, numbers = _random_expression(chance, depth=chance.randint(0, 5))
        evaluation = evaluate(text)
        if value is None:
            assert evaluation.reason == "division by zero", text
        else:
            assert (evaluation.value, evaluation.numbers) == (value, tuple(numbers)), text


def _random_expression(chance: random.Random, depth: int) -> tuple[str, Fraction | None, list[int]]:
    """Text, exact value (None when it divides by zero) and numbers of a random tree."""
    text, value, numbers, _ = _random_tree(chance, depth)
    return text, value, numbers


def _random_tree(chance: random.Random, depth: int) -> tuple[str, Fraction | None, list[int], int]:
    """As above, with the precedence of its outermost operator: parentheses stand where needed, or by chance."""
    if depth == 0:
        number = chance.randint(0, 12)
        return str(number), Fraction(number), [number], 3
    sign = chance.choice("+-*/")
    rank = 1 if sign in "+-" else 2
    left, left_value, left_numbers, left_rank = _random_tree(chance, chance.randint(0, depth - 1))
    right, right_value, right_numbers, right_rank = _random_tree(chance, chance.randint(0, depth - 1))
    if left_rank < rank or chance.random() < 0.2:
        left = f"({left})"
    if right_rank <= rank or chance.random() < 0.2:
        right = f"({right})"
    space = chance.choice(["", " "])
    if left_value is None or right_value is None or (sign == "/" and right_value == 0):
        value = None
    else:
        value = OPERATIONS[sign](left_value, right_value)
    return left + space + sign + space + right, value, left_numbers + right_numbers, rank
