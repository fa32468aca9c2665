"""How an answer is judged: find it (extract), check it (a verifier per task), and say why.

A response is untrusted text.  Whatever it holds, `grade` returns: a malformed answer is a wrong answer with a reason.
A gold is ours: one that its own task cannot verify raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable

from r1zero.config import nearest
from r1zero.grading import countdown
from r1zero.grading.extract import ABSENT, EXTRACTORS, extract
from r1zero.records import Grade, Problem

# task -> (answer, gold) -> why the answer is wrong, "" when it is right
VERIFIERS: dict[str, Callable[[str, str], str]] = {"countdown": countdown.fault}

__all__ = ["ABSENT", "EXTRACTORS", "VERIFIERS", "check_gold", "equivalent", "extract", "grade"]


def grade(response: str, gold: str, answer_format: str, *, task: str = "countdown") -> Grade:
    """Facts about one response.  Raises ValueError for an unknown format or task, or a gold that cannot be verified.

    >>> grade("3 * 8 = 24\\nAnswer: 3 * 8", '{"nums": [3, 8], "target": 24}', "native")
    Grade(correct=True, formatted=True, extracted='3 * 8', reason='')
    """
    answer = extract(response, answer_format)
    if answer is None:
        return Grade(correct=False, formatted=False, extracted=None, reason=ABSENT[answer_format])
    reason = fault(answer, gold, task=task)
    return Grade(correct=not reason, formatted=True, extracted=answer, reason=reason)


def equivalent(prediction: str, gold: str, *, task: str = "countdown") -> bool:
    """Whether `prediction`, an answer without its surroundings, satisfies `gold`."""
    return not fault(prediction, gold, task=task)


def fault(answer: str, gold: str, *, task: str = "countdown") -> str:
    """Why `answer` does not satisfy `gold`, in a few words; "" when it does."""
    if task not in VERIFIERS:
        raise ValueError(f"no grader for task {task!r}: {nearest(task, VERIFIERS)}")
    return VERIFIERS[task](answer, gold)


def check_gold(problem: Problem) -> None:
    """Raises ValueError naming the problem when its gold is one that no answer could be graded against."""
    try:
        fault("", problem.gold, task=problem.task)
    except ValueError as error:
        raise ValueError(f"problem {problem.id}: {error}") from None
