"""Attempts at a Countdown problem: chains of steps such as "20-14=6, 6*18=108 vs 12, no.", as one expression each.

An attempt that the response rejects is a step of its search, not an answer it stands by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from r1zero.facts.cues import Span
from r1zero.facts.statements import Stated, apart
from r1zero.grading.arithmetic import MAX_LENGTH

Verdict = Literal["yes", "no", ""]
MAX_STEPS = 20  # in one attempt; no problem has as many numbers

_LEFT = r"(?:[\d(]|(?<![\d)\w])-)[\d+\-*/()×÷−· ]{0,80}+"
_STEP = rf"{_LEFT}=\s?-?\d{{1,30}}(?:\.\d{{1,30}})?(?:/\d{{1,30}})?"
_CHAIN = re.compile(
    rf"(?<![\d+\-*/(]){_STEP}(?:,? {{0,2}}{_STEP})*+(?:,? ?vs\.? ?-?\d{{1,30}}[,:]? ?(?P<verdict>yes|no)\b)?"
)
_PARTS = re.compile(rf"(?P<left>{_LEFT})=\s?(?P<right>-?\d+(?:\.\d+)?(?:/\d+)?)")
_WHOLE = re.compile(r"\d+")
_REJECTED = re.compile(r"(?i:\bno\b|\bnot\b|n't\b|n’t\b|too (?:big|small|high|low|large)|≠|\bincorrect\b)")
_NEAR = 60  # characters between an attempt and the cue that puts it in question


@dataclass(frozen=True)
class Attempt:
    """Steps taken together.  Example: Attempt("(20-14)*18", "no", 0, 29) for "20-14=6, 6*18=108 vs 12, no" """

    expression: str  # of the numbers first taken
    verdict: Verdict  # what the response says of it
    start: int
    end: int


def attempts(text: str) -> list[Attempt]:
    """Every chain of steps, in order.

    >>> attempts("20-14=6, 6*18=108 vs 12, no.\\n14+18=32, 32-20=12 vs 12, yes.")[1]
    Attempt(expression='(14+18)-20', verdict='yes', start=29, end=58)
    """
    found = []
    if "=" in text:
        for chain in _CHAIN.finditer(text):
            if expression := compose(chain.group()):
                verdict: Verdict = chain["verdict"] or ""  # type: ignore[assignment]
                found.append(Attempt(expression, verdict, chain.start(), chain.end()))
    return found


def compose(chain: str) -> str | None:
    """The one expression of a chain of steps: a result that a later step uses stands for the step that gave it.

    The claimed results only say which step is meant; the expression is worth what it is worth.  None where there are
    more than `MAX_STEPS` steps, or the expression is longer than any answer.

    >>> compose("20-14=6, 6*18=108"), compose("20-14=6, 6*18=90"), compose("2*3=6, 4+5=9, 6*9=54")
    ('(20-14)*18', '(20-14)*18', '(2*3)*(4+5)')
    """
    results: dict[str, list[str]] = {}  # claimed result -> expressions not used yet
    whole = ""
    for number, step in enumerate(_PARTS.finditer(chain)):
        if number == MAX_STEPS:
            return None

        def meant(token: re.Match[str]) -> str:
            waiting = results.get(token.group())
            return f"({waiting.pop()})" if waiting else token.group()

        whole = _WHOLE.sub(meant, step["left"].strip())
        if len(whole) > MAX_LENGTH:
            return None
        results.setdefault(step["right"], []).append(whole)
    return whole or None


def attempted_answers(text: str, explicit: Sequence[Stated], cues: Sequence[Span]) -> list[Stated]:
    """Attempts that the response stands by.

    Those it says "yes" to; and, in a response that rejects nothing in words, those that a cue right behind puts in
    question.  An attempt followed by "no" is none, and neither is one without a verdict elsewhere.
    """
    found = attempts(text)
    stood_by = [one for one in found if one.verdict == "yes"]
    if cues and found and not _REJECTED.search(text):
        starts, at = [cue.start for cue in cues], 0
        for index, one in enumerate(found):
            while at < len(starts) and starts[at] < one.end:
                at += 1
            if at == len(starts):
                break
            following = found[index + 1].start if index + 1 < len(found) else len(text)
            if one.verdict == "" and starts[at] - one.end <= _NEAR and starts[at] <= following:
                stood_by.append(one)
    return apart([Stated(one.expression, one.start, one.end) for one in stood_by], explicit)
