"""How an answer is judged: find it (extract), check it (a verifier per task), and say why.

A response is untrusted text.  Whatever it holds, `grade` returns: a malformed answer is a wrong answer with a reason.
A gold is ours: one that its own task cannot verify raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from r1zero.config import nearest
from r1zero.grading import choices, countdown, mathematics
from r1zero.grading.extract import ABSENT, EXTRACTORS, extract
from r1zero.records import Grade, Problem

# task -> (answer, gold) -> why the answer is wrong, "" when it is right
VERIFIERS: dict[str, Callable[[str, str], str]] = {
    "countdown": countdown.fault,
    "math": mathematics.fault,
    "choices": choices.fault,
}
_COUNTDOWN_GOLD = re.compile(r'\s*\{\s*"(?:nums|target)"\s*:')
_CHOICE_GOLD = re.compile(r'\s*\{\s*"choices"\s*:')

__all__ = ["ABSENT", "EXTRACTORS", "VERIFIERS", "check_gold", "equivalent", "extract", "grade", "task_of"]


def grade(response: str, gold: str, answer_format: str, *, task: str | None = None) -> Grade:
    """Facts about one response.  Raises ValueError for an unknown format or task, or a gold that cannot be verified.

    Without `task` the gold tells: Countdown's is JSON with `nums` and `target`, that of a multiple choice begins with
    `choices`, every other is mathematics.

    >>> grade("3 * 8 = 24\\nAnswer: 3 * 8", '{"nums": [3, 8], "target": 24}', "native")
    Grade(correct=True, formatted=True, extracted='3 * 8', reason='')
    >>> grade("so \\\\boxed{0.5}", "\\\\frac12", "boxed").correct
    True
    """
    answer = extract(response, answer_format)
    if answer is None:
        return Grade(correct=False, formatted=False, extracted=None, reason=ABSENT[answer_format])
    reason = fault(answer, gold, task=task)
    return Grade(correct=not reason, formatted=True, extracted=answer, reason=reason)


def equivalent(prediction: str, gold: str, *, task: str | None = None) -> bool:
    """Whether `prediction`, an answer without its surroundings, satisfies `gold`.

    >>> equivalent("1/2", "\\\\frac12"), equivalent("x^2 - 1", "(x - 1)(x + 1)"), equivalent("[0, 1)", "(0, 1]")
    (True, True, False)
    """
    return not fault(prediction, gold, task=task)


def fault(answer: str, gold: str, *, task: str | None = None) -> str:
    """Why `answer` does not satisfy `gold`, in a few words; "" when it does."""
    task = task or task_of(gold)
    if task not in VERIFIERS:
        raise ValueError(f"no grader for task {task!r}: {nearest(task, VERIFIERS)}")
    return VERIFIERS[task](answer, gold)


def task_of(gold: str) -> str:
    """The task whose golds look like this."""
    if _COUNTDOWN_GOLD.match(gold):
        return "countdown"
    return "choices" if _CHOICE_GOLD.match(gold) else "math"


def check_gold(problem: Problem) -> None:
    """Raises ValueError naming the problem when its gold is one that no answer could be graded against."""
    try:
        fault("", problem.gold, task=problem.task)
    except ValueError as error:
        raise ValueError(f"problem {problem.id}: {error}") from None
