"""The right answer of a problem as one would write it."""

from __future__ import annotations

from collections.abc import Callable

from r1zero.grading import choices, mathematics
from r1zero.records import Problem


def _choice(gold: str) -> str:
    read = choices.read_gold(gold)
    return read.choices[read.answer]


def _mathematical(gold: str) -> str:
    return mathematics.read_gold(gold).answers[0]


# task -> gold -> the answer; Countdown's golds hold no solution
ANSWERS: dict[str, Callable[[str], str]] = {"choices": _choice, "math": _mathematical}


def right_answer(problem: Problem) -> str:
    """The answer's text, the first of several.  Raises ValueError for a problem whose gold does not hold one.

    >>> gold = '{"choices": ["left", "right"], "answer": "right"}'
    >>> right_answer(Problem("a", "choices", "Which?", gold)), right_answer(Problem("b", "math", "1 + 1?", "2"))
    ('right', '2')
    """
    if problem.task not in ANSWERS:
        raise ValueError(f"problem {problem.id}: golds of task {problem.task!r} hold no answer that could be learned")
    return ANSWERS[problem.task](problem.gold)
