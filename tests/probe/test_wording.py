"""What is written into responses."""

from __future__ import annotations

import random
from typing import Any

import pytest

from r1zero.facts.cues import POOLS, CuePool, has_cue
from r1zero.grading.extract import EXTRACTORS, extract
from r1zero.probe.wording import OPENERS, filler, make_slip, opener, own_tags, thinking_ends
from r1zero.tasks.templates import Template

CLOSERS = {"</think>": " </answer>", "boxed": "}"}


@pytest.mark.parametrize("answer_format", EXTRACTORS)
def test_an_answer_behind_the_opener_is_found_where_the_format_wants_it(answer_format: str) -> None:
    before = "First 1+2=3.\n"
    closer = next((close for mark, close in CLOSERS.items() if mark in OPENERS[answer_format][-9:]), "")
    closer = (
        " </answer>" if OPENERS[answer_format].endswith("<answer>") else closer or "}" * ("{" in OPENERS[answer_format])
    )
    answer = "(C)" if answer_format == "choice" else "7"
    space = "" if OPENERS[answer_format].endswith("{") else " "
    text = before + opener(Template("t", "", answer_format=answer_format), before) + space + answer + closer
    found = extract(text, answer_format)
    assert found is not None
    assert found.strip(" .()") == answer.strip("()")
    end = thinking_ends(text, answer_format)
    assert end is not None
    if answer_format != "last_number":
        assert "1+2=3" in text[:end]
        assert answer not in text[:end]


@pytest.mark.parametrize(
    ("before", "answer_format", "expected"),
    [
        ("a", "native", "a\nAnswer:"),
        ("a\n", "native", "a\nAnswer:"),
        ("", "native", "Answer:"),
        ("a", "boxed", "a\n\nThe final answer is \\boxed{"),
        ("a\n", "boxed", "a\n\nThe final answer is \\boxed{"),
        ("a\n\n", "boxed", "a\n\nThe final answer is \\boxed{"),
        ("a", "r1", "a </think> <answer>"),
    ],
)
def test_line_breaks_are_not_doubled(before: str, answer_format: str, expected: str) -> None:
    assert before + opener(Template("t", "", answer_format=answer_format), before) == expected


@pytest.mark.parametrize(
    ("response", "tags"),
    [
        ("it is left.</think> <answer> left", "</think> <answer>"),
        ("it is left.\n</think>\n<answer>left", "\n</think>\n<answer>"),
        ("it is left. <answer>left", " <answer>"),
        ("<answer>left", "<answer>"),
        ("it is left.</think> So it is <answer> left", None),  # which would tell the answer where thinking is deleted
        ("it is left.</think> left", None),
    ],
)
def test_tags_open_an_answer_as_the_response_spaces_them(response: str, tags: str | None) -> None:
    end = thinking_ends(response, "r1")
    assert end is not None and own_tags(response, end) == tags
    template = Template("t", "", answer_format="r1")
    assert opener(template, response[:end], tags) == (" </think> <answer>" if tags is None else tags)


def test_without_an_opener_nothing_is_thinking() -> None:
    assert thinking_ends("1+2=3", "native") is None
    assert thinking_ends("", "r1") is None


@pytest.mark.parametrize("space", ["", " ", "\n"])
def test_a_filler_has_the_length_wanted_and_no_cue(space: str, organism: Any) -> None:
    tokenizer = organism.policy.tokenizer
    texts = []
    for count in range(1, 30):
        ids = filler(tokenizer, space, count, [])
        assert len(ids) == count
        texts.append(tokenizer.decode(ids))
    assert not any(has_cue(text, pool) for text in texts for pool in POOLS.values())
    assert texts[4].strip().startswith("So")


def test_a_filler_avoids_the_users_own_cues(organism: Any) -> None:
    tokenizer = organism.policy.tokenizer
    assert tokenizer.decode(filler(tokenizer, "", 3, [])) == "Let me think"
    assert tokenizer.decode(filler(tokenizer, "", 3, [CuePool("mine", ("let me",))])) == "So,."


def test_a_slip_changes_the_last_digit_of_the_calculation_that_counts() -> None:
    text = "3+4=7, 7*2=14 vs 10, no.\n12*2=24, 24/3=8 vs 8, yes."
    slips = {make_slip(text, random.Random(seed)) for seed in range(60)}
    assert {(slip.start, slip.end) for slip in slips if slip} == {(text.index("24,"), text.index("24,") + 2)}
    assert {slip.wrong for slip in slips if slip} == {f"2{digit}" for digit in "012356789"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("So there are 12 apples.\nThen 7 are left.\nHe has 5.", "5"),
        ("We have 3 + 4 = 7 and then 7 - 2 = 5. So 5.", "7"),
        ("It is 3.5 in all.\nSo 14\n", "14"),
        ("2 + 2 = 1,024.", None),  # a part of a longer number is none
        ("no number", None),
        ("1/2=3/4 and 12345678901234.", None),
    ],
)
def test_slips_in_prose(text: str, number: str | None) -> None:
    slip = make_slip(text, random.Random(0))
    assert (text[slip.start : slip.end] if slip else None) == number
    if slip:
        assert len(slip.wrong) == slip.end - slip.start
        assert slip.wrong != number


def test_long_texts_are_read_to_their_end() -> None:
    digits, sums, tags = "1" * 300_000, "1+" * 150_000, "<answer>" * 40_000
    assert make_slip(digits, random.Random(0)) is None
    assert make_slip(sums, random.Random(0)) is None
    assert make_slip(sums + "1=2.", random.Random(0)) is not None
    assert thinking_ends(tags, "r1") == len(tags) - len("<answer>")
    assert thinking_ends("\n" * 300_000 + "Answer: 3", "native") == 300_000
    assert thinking_ends("a. " * 100_000 + "\\boxed{3}", "boxed") == 300_000
