"""What kind of thing an answer is, and what its parts are."""

import pytest

from r1zero.grading.normalize import normalize
from r1zero.grading.structure import label, read, readings


@pytest.mark.parametrize(
    ("text", "kind", "parts", "marks"),
    [
        ("42", "leaf", [], ()),
        ("(3,4]", "tuple", ["3", "4"], ("(", "]")),
        ("(1,000)", "tuple", ["1", "000"], ("(", ")")),  # in brackets every comma separates
        ("\\langle 1, 2\\rangle", "tuple", ["1", "2"], ("\\langle", "\\rangle")),
        ("(x+1)(x-1)", "leaf", [], ()),
        ("((1,2))", "tuple", ["1", "2"], ("(", ")")),
        ("\\{1, 2\\}", "set", ["1", "2"], ()),
        ("1, 2 and 3", "list", ["1", "2", "3"], ()),
        ("$1$, $2$", "list", ["1", "2"], ()),
        ("(1,2), (3,4)", "list", ["(1,2)", "(3,4)"], ()),
        ("1 \\pm 2", "list", ["1 + 2", "1 - 2"], ()),
        ("1 \\mp 2", "list", ["1 - 2", "1 + 2"], ()),
        ("(0,1) \\cup (2,3)", "union", ["(0,1)", "(2,3)"], ()),
        ("1 < x \\le 2", "relation", ["1", "x", "2"], ("<", "<=")),
        ("x \\in [0,1]", "tuple", ["0", "1"], ("[", "]")),
        ("2516_8", "base", [], ("2516", "8")),
        ("AF_{16}", "base", [], ("af", "16")),
        ("29_8", "leaf", [], ()),  # no such numeral
        ("x_1", "leaf", [], ()),
        ("\\begin{pmatrix}1 & 2\\\\3 & 4\\end{pmatrix}", "matrix", ["1", "2", "3", "4"], ("2",)),
        ("January 2, 2020", "leaf", [], ()),
    ],
)
def test_an_answer_is_taken_apart(text, kind, parts, marks):
    shape = read(normalize(text))
    assert (shape.kind, [item.text for item in shape.items], shape.marks) == (kind, parts, marks)


def test_a_number_with_commas_may_be_a_list():
    assert [shape.kind for shape in readings("100,200")] == ["leaf", "list"]
    assert [shape.kind for shape in readings("100, 200")] == ["list"]
    assert [shape.kind for shape in readings("1,5")] == ["list"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x = 3", "x"),
        ("f(x) = x + 1", "f(x)"),
        ("\\angle ABC = 90", "\\angleABC"),
        ("(a,b) = (1,2)", "(a,b)"),
        ("2x = 4", ""),
        ("\\sqrt{x} = 2", ""),
        ("x > 3", ""),
    ],
)
def test_a_name_before_an_equals_sign_is_a_label(text, name):
    assert label(read(text)) == name
