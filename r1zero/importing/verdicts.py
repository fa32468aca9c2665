"""Who says whether a response is right: its source, a score of its source's, or our grader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from r1zero.grading import task_of
from r1zero.grading.batch import Submission
from r1zero.importing.record import Imported
from r1zero.tasks.templates import TEMPLATES

IMPORTED = "imported"  # the reason of a grade that came with the response
WHY_NOT, FAULTY = ("no gold", "grading is off"), "a gold that no answer can be compared with"


@dataclass(frozen=True)
class Choices:
    """What a user says about an import.

    Example: Choices(format="trl", map={"gold": "solution"}, grade="all", rule="boxed")
    """

    format: str = "auto"
    map: Mapping[str, str] = field(default_factory=dict)  # column -> field, over the format's own places
    model: str | None = None  # over what files and rows say
    grade: str = "missing"  # which responses with a gold we grade: "missing" a verdict, "all", "none"
    rule: str | None = None  # where the answer stands; None: by the template, else anywhere
    task: str | None = None  # how an answer is checked; None: as its gold looks
    right_from: float | None = None  # the score from which on a response is right
    filter: str | None = None  # of the lm-evaluation-harness
    workers: int = 1


class ScoresVaryError(Exception):
    """A score is neither 0 nor 1, so that no score of these files says by itself whether a response is right."""


def judged(responses: Iterator[Imported], choices: Choices, *, scores: bool) -> Iterator[Imported]:
    """The same, with verdicts from scores: those from `right_from` on are right, else 1 is, where all are 0 or 1."""
    for one in responses:
        if choices.grade == "all" and one.gold is not None:
            yield replace(one, correct=None, formatted=None, extracted=None)
        elif one.correct is not None or one.rated is None:
            yield one
        elif choices.right_from is not None:
            yield replace(one, correct=one.rated >= choices.right_from)
        elif not scores:
            yield one
        elif one.rated not in (0, 1):
            raise ScoresVaryError
        else:
            yield replace(one, correct=bool(one.rated))


def submission(one: Imported, *, choices: Choices) -> Submission:
    """What of a response is to be graded.  Raises ValueError saying why nothing is."""
    if one.correct is not None:
        raise ValueError(IMPORTED)
    if one.gold is None:
        raise ValueError(WHY_NOT[0])
    if choices.grade == "none":
        raise ValueError(WHY_NOT[1])
    return Submission(one.response, (one.gold,), rule_of(one, choices), choices.task or task_of(one.gold))


def rule_of(one: Imported, choices: Choices) -> str:
    """Where the answer of a response stands: as said, else by its template, else anywhere."""
    template = TEMPLATES.get(one.template or "")
    return choices.rule or (template.answer_format if template else "any")
