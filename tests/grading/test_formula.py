"""How formulas are read, and what they are worth: each value worked out by hand."""

from fractions import Fraction

import pytest

from r1zero.grading.formula import UnreadableError, parse
from r1zero.grading.guards import TooCostlyError
from r1zero.grading.values import UndefinedError, ratio_at_points, rational, same_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("-2^2", -4),
        ("(-2)^2", 4),
        ("2^3^2", 512),
        ("1/2/2", Fraction(1, 4)),
        ("1/2 \\cdot 4", 2),
        ("2\\frac13", Fraction(7, 3)),
        ("-2\\frac12", Fraction(-5, 2)),
        ("2\\frac{3}{2}", 3),  # improper: a product
        ("2 1/3", Fraction(7, 3)),
        ("\\frac12", Fraction(1, 2)),
        ("\\frac{1}2", Fraction(1, 2)),
        ("3!", 6),
        ("2 \\cdot 3!", 12),
        ("\\binom{5}{2}", 10),
        ("{5 \\choose 2}", 10),
        ("\\sqrt[3]{-8}", -2),
        ("8^{2/3}", 4),
        ("\\lfloor 7/2 \\rfloor", 3),
        ("\\lceil 7/2 \\rceil", 4),
        ("|{-3}|", 3),
        ("17 \\mod 5", 2),
        ("0.1\\overline{6}", Fraction(1, 6)),
        ("1,234.5", Fraction(2469, 2)),
        ("1 234 567", 1234567),
        ("4.5e3", 4500),
        ("50%", Fraction(1, 2)),
        ("\\max(2, 3)", 3),
        ("\\gcd(12, 18)", 6),
        ("\\frac{2004!}{2003!}", 2004),
    ],
)
def test_a_rational_value_is_exact(text, value):
    assert rational(parse(text)) == value


@pytest.mark.parametrize(
    "text",
    ["", "1 2", "x2", "1 +", "(1", "1)", "\\frac{1}", "\\unknown", "2 = 2", "1..2", "3!!", "\\text{two words}", "\\\\"],
)
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(UnreadableError):
        parse(text)


@pytest.mark.parametrize("text", ["9**9**9**9", "(10^9)!", "10**(10**10)", "\\sin(10^{10^8})"])
def test_what_costs_too_much_is_refused(text):
    with pytest.raises(TooCostlyError):
        same_value(parse(text), parse("\\sqrt{2}"))


@pytest.mark.parametrize("text", ["1/0", "0^0", "\\ln 0", "\\frac{1}{x-x}"])
def test_what_has_no_value_equals_nothing(text):
    with pytest.raises(UndefinedError):
        same_value(parse(text), parse("\\sqrt{2}x"))


def test_a_true_zero_is_told_from_a_small_number():
    assert same_value(parse("\\sqrt{2}^2 - 2"), parse("0"))
    assert same_value(parse("\\sin(\\pi)"), parse("0"))
    assert not same_value(parse("e^{-200}"), parse("0"))
    assert not same_value(parse("\\sqrt{2} + 10^{-30}"), parse("\\sqrt{2}"))


def test_identities_hold_where_both_sides_are_real():
    assert same_value(parse("\\ln x^2"), parse("2\\ln x"))
    assert same_value(parse("\\sqrt{x^2}"), parse("|x|"))
    assert not same_value(parse("\\sqrt{x^2}"), parse("x"))


def test_a_multiple_of_an_equation_has_one_ratio_everywhere():
    assert ratio_at_points(parse("2x - 4y"), parse("2y - x")) == -2.0
    assert ratio_at_points(parse("x"), parse("x^2")) is None
