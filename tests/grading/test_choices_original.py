"""Our reading of multiple choices beside VisualThinker-R1-Zero's scorer on CV-Bench, rebuilt from its description."""

import re
from collections import defaultdict

import pytest

from r1zero.grading import grade
from r1zero.grading.choices import choice_gold

CHOICES = [["3", "2", "1"], ["left", "right"], ["chair", "table"], ["the red box", "the blue box"]]
FORMS = [
    *("({A})", "{A}", "{A}.", "{a}", "({a})", "({A}) {x}", "{A}. {x}", "Option {A}", "The answer is ({A})"),
    *("{x}", "{x}.", "It is {x}", "There is {x} here", "The answer is {x}.", "I think the answer is {A}"),
    *("<answer>{x}</answer>", "<answer>({A})</answer>", "<answer>\n{A}\n</answer>", "<answer>({A}) {x}</answer>"),
    *("<think>maybe {y}</think><answer>{x}</answer>", "<think>({B})?</think>\n<answer>{A}</answer>"),
    *("The answer is {x} because of {y}", "{x}, not {y}", "{x} and {y}", "not {x}"),
]
STRICTER = {"{x} and {y}", "not {x}"}  # two choices, and one that is denied: theirs takes the one it comes across


def theirs(response: str, choices: list[str], right: int) -> bool:
    math_verify = pytest.importorskip("math_verify")
    tag = re.search(r"<answer>\s*(.*?)\s*</answer>", response, re.DOTALL)
    names = [name for n in "ABCDEF" for name in (n, n.lower(), f"({n})", f"({n.lower()})")]
    config = [
        math_verify.LatexExtractionConfig(),
        math_verify.ExprExtractionConfig(),
        math_verify.StringExtractionConfig(strings=(*names, *choices)),
    ]
    answer = math_verify.parse(tag[1] if tag else response, extraction_config=config)
    letter = "ABCDEF"[right]
    golds = [choices[right], choices[right].lower(), letter, letter.lower(), f"({letter})", f"({letter.lower()})"]
    parsed = [math_verify.parse(gold, extraction_config=config) for gold in golds]
    return any(math_verify.verify(gold, answer) for gold in parsed if gold and answer)


def test_both_scorers_agree_but_where_a_response_names_two_choices_or_denies_one():
    differ = defaultdict(set)
    for choices in CHOICES:
        for right in range(len(choices)):
            for named in range(len(choices)):
                other = (named + 1) % len(choices)
                words = {"A": "ABC"[named], "a": "abc"[named], "x": choices[named]}
                for form in FORMS:
                    response = form.format(**words, B="ABC"[other], y=choices[other])
                    ours = grade(response, choice_gold(choices[right], choices), "answer_or_all").correct
                    if ours != theirs(response, choices, right):
                        differ[form].add(ours)
                    if form not in STRICTER:
                        assert ours == (named == right), response
    assert set(differ) <= STRICTER and all(verdicts == {False} for verdicts in differ.values())
