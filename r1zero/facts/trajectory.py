"""What became of a response's first answer: the answers it stated on the way, and the transition from first to last.

The last answer is the graded one.  The four behaviours of oat-zero's "superficial self-reflection" are transitions of
responses with a reflection cue, and FF is a fifth that it leaves out:

    TT         re-checks and confirms a right answer               (1)
    FT         corrects a wrong answer                             (2)
    TF         turns a right answer into a wrong one               (3, superficial)
    none       keeps re-evaluating and gives no valid answer       (4, superficial)
    FF_same    keeps its wrong answer                              (5, omitted there)
    FF_other   exchanges a wrong answer for another wrong one      (5, omitted there)

A response that states one answer only has its first answer for its last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from r1zero.facts.chains import attempted_answers
from r1zero.facts.cues import Span
from r1zero.facts.statements import Stated, explicit_answers, implied_answers
from r1zero.grading import equivalent
from r1zero.grading.arithmetic import evaluate
from r1zero.grading.exact import exact_equal
from r1zero.records import Grade
from r1zero.statistics.votes import SPACES

__all__ = ["TRANSITIONS", "Stated", "Trajectory", "Transition", "same_answer", "stated_answers", "trajectory"]

Transition = Literal["TT", "FT", "TF", "FF_same", "FF_other", "none"]
TRANSITIONS: tuple[Transition, ...] = get_args(Transition)
MAX_STATED = 1000  # answers kept of one response: what repeats itself to the end of its budget states no more


@dataclass(frozen=True)
class Trajectory:
    """A response's way from its first answer to its last.

    Example: Trajectory(candidates=2, transition="FT", first_answer_end=23)
    """

    candidates: int  # answers stated, the graded one included; repetitions without a cue between them are one
    transition: Transition | None  # None where the gold is unknown
    first_answer_end: int | None  # character where the first stated answer ends; None where none is stated


def stated_answers(response: str, task: str, cues: Sequence[Span]) -> list[Stated]:
    """The answers that a response states, in order, at most `MAX_STATED` of them.

    Boxes, answer tags, "the answer is ...", `#### ...` of any task.  Countdown: attempts that the response says "yes"
    to (r1zero.facts.chains).  Elsewhere: the result that a cue puts in question, and a closing "Therefore ... =
    x" where nothing is explicit (r1zero.facts.statements).  The same answer again, with no cue or attempt
    between, is not stated twice.

    >>> [one.answer for one in stated_answers("So it is \\\\boxed{4}. Wait, 2 * 3 = 6. The answer is 6.", "math", [])]
    ['4', '6']
    """
    explicit = explicit_answers(response)
    if task == "countdown":
        implied = attempted_answers(response, explicit, cues)
    else:
        implied = implied_answers(response, explicit, cues) if cues or not explicit else []
    stated = sorted(explicit + implied, key=lambda one: one.start) if implied else explicit
    return _without_repetitions(stated, cues)[:MAX_STATED]


def _without_repetitions(stated: list[Stated], cues: Sequence[Span]) -> list[Stated]:
    kept: list[Stated] = []
    at, passed = 0, 0  # cues before the answer at hand, and before the one kept last
    for one in stated:
        while at < len(cues) and cues[at].start < one.start:
            at += 1
        if not kept or at > passed or _plain(kept[-1].answer) != _plain(one.answer):
            kept.append(one)
            passed = at
    return kept


def trajectory(
    response: str,
    gold: str | None,
    task: str,
    final: Grade,
    cues: Sequence[Span],
    *,
    equal: Callable[[str, str], bool] | None = None,
) -> Trajectory:
    """The way from the first answer to the graded one.  `equal(answer, gold)` judges the first; the grade the last.

    A graded answer that is stated by none of the rules (a last number, say) counts as the last one stated.  `none` is
    a response in which the grader found no answer, whatever it stated on the way.

    >>> grade = Grade(correct=True, formatted=True, extracted="6", reason="")
    >>> trajectory("So \\\\boxed{4}. No, \\\\boxed{6}.", "6", "math", grade, [])
    Trajectory(candidates=2, transition='FT', first_answer_end=12)
    """
    stated = stated_answers(response, task, cues)
    last = (final.extracted or "").strip()
    if last and _plain(last) not in (_plain(one.answer) for one in reversed(stated)):
        at = max(response.rfind(last), 0)
        end = at + len(last)
        stated = [one for one in stated if one.start < at or one.end > end]  # a part of the graded answer is no other
        stated.append(Stated(last, at, end))
    candidates, first_end = len(stated), stated[0].end if stated else None
    if gold is None or not gold.strip():
        return Trajectory(candidates, None, first_end)
    if not final.correct and not last and not (final.formatted and final.extracted is None):
        return Trajectory(candidates, "none", first_end)
    first = stated[0].answer if stated else last
    same = not first or not last or same_answer(first, last, task)
    if same:
        return Trajectory(max(candidates, 1), "TT" if final.correct else "FF_same", first_end)
    judge = equal or partial(equivalent, task="countdown" if task == "countdown" else "math")
    if judge(first, gold):
        return Trajectory(candidates, "TT" if final.correct else "TF", first_end)
    return Trajectory(candidates, "FT" if final.correct else "FF_other", first_end)


def same_answer(one: str, other: str, task: str) -> bool:
    """Whether two answers are plainly the same: in text, as numbers, or as Countdown expressions of the same value
    and numbers.

    >>> same_answer("0.50", "$1/2$", "math"), same_answer("(8+5)*4", "4 * (5+8)", "countdown")
    (True, True)
    """
    if _plain(one) == _plain(other):
        return True
    if task != "countdown":
        return exact_equal(one, other) is True
    left, right = evaluate(one), evaluate(other)
    return left.value is not None and left.value == right.value and sorted(left.numbers) == sorted(right.numbers)


def _plain(answer: str) -> str:
    return answer.split("</", 1)[0].translate(SPACES).rstrip(".").lower()
