"""One spelling for many; nothing that carries meaning is lost."""

import pytest

from r1zero.grading.normalize import normalize, plain_text, unwrap


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("$\\dfrac{1}{2}$.", "\\frac{1}{2}"),
        ("\\[ 42 \\]", "42"),
        ("\\left( 1, 2 \\right]", "( 1, 2 ]"),
        ("x²−１", "x^{2}-1"),
        ("11,\\! 111", "11111"),
        ("10{,}000", "10000"),
        ("1{,}2", "1{,}2"),  # no thousands: left alone
        ("90^{\\circ}", "90^\\circ"),
        ("90°", "90^\\circ"),
        ("x \\leq 3", "x \\le 3"),
        ("\\lbrace 1 \\rbrace", "\\{ 1 \\}"),
        ("\\mbox{east}", "\\text{east}"),
        ("\\begin{bmatrix}1\\\\2\\end{bmatrix}", "\\begin{matrix}1\\\\2\\end{matrix}"),
        ("6.7 x 10^5", "6.7 \\times 10^5"),
        ("5\\text{ percent}", "5\\%"),
        ("\\boxed{\\boxed{7}}", "7"),
        ("a\u200bb\x00c", "ab c"),
        ("4:30 p.m.", "4:30 p.m."),
        ("5!", "5!"),
        ("yes!", "yes"),
        ("$1$, $2$", "$1$, $2$"),  # two formulas are not one
        ("", ""),
    ],
)
def test_many_spellings_become_one(text, plain):
    assert normalize(text) == plain


def test_brackets_signs_and_braces_that_mean_something_stay():
    assert normalize("[0, 1)") == "[0, 1)"
    assert normalize("\\{-1\\}") == "\\{-1\\}"
    assert unwrap("{1}{2}") == "{1}{2}"
    assert plain_text("5 \\text{ cm}") == "5 cm"
