"""Which choice an answer names: letters and words as CV-Bench's scorers accept them, and what they let through."""

import json

import pytest

from r1zero.grading import check_gold, grade, task_of
from r1zero.grading.choices import NONE, OTHER, SEVERAL, choice_gold, chosen, fault
from r1zero.records import Problem

COUNT = ["3", "2", "1", "0"]
BOXES = ["the red box", "the blue box"]
MOVES = ["left", "far left", "did not move"]


@pytest.mark.parametrize(
    ("answer", "choices", "named"),
    [
        # letters, as VisualThinker's scorer lists them: A-F, a-f, (A)..(F), (a)..(f)
        ("B", COUNT, 1), ("b", COUNT, 1), ("(B)", COUNT, 1), ("(b)", COUNT, 1), ("B.", COUNT, 1), ("[B]", COUNT, 1),
        ("B) 2", COUNT, 1), ("Option B", COUNT, 1), ("the answer is (B)", COUNT, 1), ("\\boxed{B}", COUNT, 1),
        # words
        ("2", COUNT, 1), ("2.0", COUNT, 1), ("two", COUNT, 1), ("There are 2 of them.", COUNT, 1), ("one", COUNT, 2),
        ("The blue box", BOXES, 1), ("blue box.", BOXES, 1), ("**blue box**", BOXES, 1),
        ("far left", MOVES, 1), ("left", MOVES, 0), ("I did not move", MOVES, 2),
        # a letter explained by a sentence that names the others too
        ("(B) the blue box is closer than the red box", BOXES, 1),
        # a longer text: the statement, else its last line, counts
        ("Either the red box or the blue box.\nThe answer is the red box.", BOXES, 0),
        ("The red box is small.\nThe blue box it is", BOXES, 1),
        ("a <answer>A</answer>", COUNT, 0),
        # not answers
        ("7", COUNT, NONE), ("", COUNT, NONE), ("E", COUNT, NONE), ("13", COUNT, NONE), ("3.5", COUNT, NONE),
        ("-3", COUNT, NONE), ("A chair stands there", COUNT, NONE), ("not left", MOVES, NONE), ("bluebox", BOXES, NONE),
        ("It isn't the red box", BOXES, NONE), ("chair(s)", COUNT, NONE),
        ("3 or 2", COUNT, SEVERAL), ("A or B", COUNT, SEVERAL), ("(A) or (B)", COUNT, SEVERAL),
        ("A, B, C", COUNT, SEVERAL),
        ("(A) 2", COUNT, SEVERAL), ("the red box, the blue box", BOXES, SEVERAL),
    ],
)  # fmt: skip
def test_an_answer_names_one_choice_or_none_or_several(answer, choices, named):
    assert chosen(answer, choices) == named


def test_every_choice_is_right_for_itself_alone_by_letter_and_by_words():
    for choices in (COUNT, BOXES, MOVES, ["above", "below"], ["yes", "no"], ["1/2", "1/3"], ["20°", "-20°", "120°"]):
        for right, choice in enumerate(choices):
            gold = choice_gold(choice, choices)
            for place, other in enumerate(choices):
                letter = "ABCD"[place]
                for answer in (
                    other,
                    other.upper(),
                    f"({letter})",
                    letter,
                    f"({letter}) {other}",
                    f"{letter}. {other}",
                ):
                    assert fault(answer, gold) == ("" if place == right else OTHER), (answer, gold)


def test_a_letter_means_nothing_where_none_was_shown():
    gold = choice_gold("right", ["left", "right"], letters=False)
    assert [fault(answer, gold) for answer in ("B", "(B)", "right", "Right.")] == [NONE, NONE, "", ""]
    assert fault("B", choice_gold("right", ["left", "right"])) == ""


def test_an_answer_with_a_comma_stays_one_answer():
    gold = choice_gold("up, then left", ["up, then left", "up"], letters=False)
    assert fault("up, then left", gold) == ""
    assert fault("up", gold) == OTHER


@pytest.mark.parametrize(
    ("choices", "answer", "message"),
    [
        ([], "a", "no choices"),
        (["a", " "], "a", "must be a text that is not empty"),
        (["a", "b"], "c", "answer 'c' is not among the choices 'a', 'b'"),
        (["a", "The A"], "a", "stands there twice"),
        ([str(n) for n in range(27)], "3", "26 at most"),
        ([1, 2], "1", "must be a text"),
    ],
)
def test_choices_that_cannot_be_asked_are_refused(choices, answer, message):
    with pytest.raises(ValueError, match=message):
        choice_gold(answer, choices)


def test_a_gold_that_is_none_is_named_with_its_problem():
    with pytest.raises(ValueError, match=r"problem p1: the gold 'left' is no JSON object with `choices`"):
        check_gold(Problem("p1", "choices", "q", "left"))
    with pytest.raises(ValueError, match="unknown key 'option'"):
        fault("a", json.dumps({"choices": ["a"], "answer": "a", "option": 1}))
    check_gold(Problem("p1", "choices", "q", choice_gold("a", ["a", "b"])))


def test_the_gold_alone_tells_that_it_is_a_multiple_choice():
    gold = choice_gold("2", COUNT)
    assert task_of(gold) == "choices" and task_of('{"answers": ["2"]}') == "math"
    graded = grade("<think>one, two</think>\n<answer>\n(B)\n</answer>", gold, "answer_first")
    assert (graded.correct, graded.extracted) == (True, "(B)")


def test_the_first_answer_tag_counts_and_without_one_the_whole_response_or_nothing():
    gold = choice_gold("2", COUNT)
    twice = "<answer>2</answer> no, <answer>3</answer>"
    assert grade(twice, gold, "answer_first").correct
    bare = "I count two chairs. The answer is 2."
    assert not grade(bare, gold, "answer_first").formatted
    assert grade(bare, gold, "answer_or_all").correct
    assert not grade("  ", gold, "answer_or_all").formatted


@pytest.mark.parametrize(
    "hostile", ["A" + "," * 50_000, "(" * 50_000, "not " * 20_000 + "2", " " * 100_000, "2 " * 50_000]
)
def test_whatever_an_answer_holds_a_verdict_comes_back(hostile):
    assert fault(hostile, choice_gold("2", COUNT)) in ("", OTHER, NONE, SEVERAL)
