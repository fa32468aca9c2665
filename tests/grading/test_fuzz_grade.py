"""Arbitrary text as a response, an answer or a row: a grade comes back, always."""

from __future__ import annotations

import json

import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from r1zero.cli.grade import read_lines, submit  # noqa: E402
from r1zero.grading import EXTRACTORS, equivalent, grade  # noqa: E402
from r1zero.grading.batch import grade_many  # noqa: E402
from r1zero.records import Grade  # noqa: E402

PIECES = (
    *("\\boxed{", "{", "}", "</think> <answer>", "</answer>", "<answer>", "Answer: ", "#### ", "The answer is ", "\n"),
    *("\\frac", "\\sqrt", "^", "_", "!", "**", "\\left(", "\\right]", ",", "\\cup", "\\pm", "=", "\\infty", "%", "$"),
    *(
        "1",
        "0",
        "12",
        "3.5",
        "1,234",
        "x",
        "\\pi",
        "e",
        " ",
        "\\text{cm}",
        "\\begin{pmatrix}",
        "\\\\",
        "&",
        "½",
        "\ud800",
    ),
)
latex = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
any_text = st.text(st.characters(), max_size=60) | latex  # surrogate halves and control characters, too
golds = st.sampled_from(
    ["1/2", "\\frac{\\sqrt{3}}{2}", "(0,1]", "x^2+1", "\\{1,2\\}", '{"nums": [3, 8], "target": 24}']
)
fuzz = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@fuzz
@given(response=any_text, gold=golds, rule=st.sampled_from(sorted(EXTRACTORS)))
def test_any_response_under_any_rule_has_a_grade(response, gold, rule):
    verdict = grade(response, gold, rule)
    assert isinstance(verdict, Grade)
    assert verdict.correct == (verdict.reason == "")
    assert verdict.formatted == (verdict.extracted is not None)


@fuzz
@given(answer=any_text.filter(lambda text: text.strip() and "boxed" not in text))
def test_any_answer_equals_itself(answer):
    assert equivalent(answer, answer, task="math")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | any_text, lambda inner: st.lists(inner, max_size=2)
)
lines = any_text | st.dictionaries(
    st.sampled_from(["gold", "response", "prediction", "task", "template", "answer_format"]), json_values
).map(json.dumps)


@fuzz
@given(texts=st.lists(lines, max_size=4))
def test_any_file_of_lines_is_graded_or_each_line_told_why_not(texts):
    graded = list(grade_many(read_lines(texts), submit))
    assert all(isinstance(verdict, Grade | ValueError) for _, verdict in graded)
    assert len(graded) == sum(bool(text.strip()) for text in texts)
