"""Trying to answer or continuing the text: texts made up after the kinds that base models write."""

from __future__ import annotations

import pytest

from r1zero.facts.trying import answers, sentences

TOM = "Tom has 3 apples and buys 5 more apples at the market. How many apples does Tom have?"


def tries(response: str, problem: str = TOM, *, formatted: bool = False) -> bool:
    return answers(problem, response, formatted=formatted, finish_reason="stop")


@pytest.mark.parametrize(
    "response",
    [
        " 3 + 5 = 8",
        "8",
        " The answer is 8",
        "#### 8",
        "A: 8",
        "$8.00",
        " He has 8 of them now.",
        "\\boxed{8}",
        "<answer> eight </answer>",
        "Tom starts with some apples, and we need to count those from the market",  # cut short
        "What is the final answer?\nReasoning: Tom has three apples to begin with.",
        "Let us denote the apples by x",
        "Please put your final answer within \\boxed{}. A: 8",
        "3\n\nProblem: Ann has 4 pears. How many?",  # answers, and then rambles on
        "Question: Tom has 3 apples and buys 5 more apples at the market. How many?\nAnswer: 8",  # the same question
        "The answer is 8\nUser: Thank you!\nAssistant: You're welcome!",
        "\\[ 3 + 5 = \\boxed{8} \\]",
    ],
)
def test_statements_about_the_problem_are_attempts(response):
    assert tries(response)


@pytest.mark.parametrize(
    "response",
    [
        "",
        " \n\n",
        ".",
        "Let",
        "Answer: let",
        " What's the final answer?",
        "What's the final answer? Please put your final answer within \\boxed{}",
        " Give your answer as a whole number.",
        "Problem: Ann has 2 pears and 2 + 2 = 4 figs. How many?\nAnswer: 4",
        "\n\n[EX Q]: Dan hunts 3 days and 3 * 2 = 6 nights.\n[EX A]: 6",
        "User: How is the weather?\nAssistant: The answer is fine",
        "Tom has 3 apples and buys 5 more apples at the market. How many apples does Tom have?",  # the question again
        "A) 5\nB) 6\nC) 8\nD) 9",
        "\\begin{align} \\text{ } & \\text{ } \\\\ \\text{ } & \\text{ }",
        "\\boxed{} \\boxed{} \\boxed{}",
        "In the film the hero crosses an ocean. It was released long ago. Critics loved it. He sails away. It rains. "
        "Find out where you find the answer: 8",
    ],
)
def test_continued_texts_are_none(response):
    assert not tries(response)


def test_an_answer_where_the_template_wants_it_counts_unless_a_new_question_came_first():
    assert not tries("  so it goes", formatted=False) and tries("  so it goes", formatted=True)
    assert not tries("Problem: two and two are <answer> 4 </answer>", formatted=True)


def test_a_search_for_numbers_is_an_attempt_and_bare_beginnings_are_none():
    ask = "Using the numbers 20, 18, 14, make 12."
    assert tries("20-18=2, 2*14=28 vs 12, no.\nWait, 14+18=32", ask)
    assert tries("Answer: 14-(20-18)", ask)
    assert not tries("Numbers: 3, 8, 5\nTarget: 29\n8*3=24", ask)


def test_being_cut_or_not_makes_no_difference():
    for text in ("We multiply the apples by", "What is"):
        verdicts = {answers(TOM, text, formatted=False, finish_reason=reason) for reason in ("stop", "length", None)}
        assert len(verdicts) == 1


def test_sentences_are_what_the_text_holds_and_nothing_else():
    text = "One. Two?\n\n  Three 3.5 is one!  Four"
    assert [one.strip() for one in sentences(text)] == ["One.", "Two?", "Three 3.5 is one!", "Four"]


@pytest.mark.parametrize("unit", ["1 ", "_*", "#", "1+", "<", "A) ", "answer ", "\\boxed{ ", "what?\n", "(", "user :"])
def test_work_grows_with_the_length_and_not_with_its_square(unit):
    """300,000 characters of a kind: quadratic matching would take hours, and the suite would not end."""
    assert isinstance(tries(unit * (300_000 // len(unit))), bool)
