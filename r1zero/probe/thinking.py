"""Whether the answer needs the thinking before it: the same response with its thinking deleted, or another question's.

The thinking of a response is its text before the answer's opener (`</think> <answer>`, `Answer:`, the sentence of the
last box).  In each arm the model reads some thinking, the opener, and then answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from r1zero.analysis.statistics import Interval
from r1zero.probe.effects import Contrast, Effect

ARMS = ("own", "deleted", "swapped")
CONTRASTS = (
    Contrast("own - deleted", "thinking", "own", "deleted"),
    Contrast("own - swapped", "thinking", "own", "swapped"),
    Contrast("deleted - swapped", "thinking", "deleted", "swapped"),
)


@dataclass(frozen=True)
class Answered:
    """How the model answers after one kind of thinking."""

    arm: str  # own, deleted, or swapped: that of another question
    accuracy: Interval  # share right, clustered by problem
    unchanged: Interval  # share that gives the answer given after its own thinking
    tokens: Interval  # of the answer


@dataclass(frozen=True)
class ThinkingResult:
    """What deleting and swapping the thinking did.  NaN where nothing could be compared."""

    responses: int  # that were intervened in
    problems: int
    without_answer: int  # responses left out: cut, or with no answer where the template wants it
    without_thinking: Interval  # share of the responses with an answer that have nothing before it; left out
    dropped: int  # prefixes that no longer fit the context
    arms: tuple[Answered, ...]  # in the order of ARMS
    effects: tuple[Effect, ...]  # paired, in the order of CONTRASTS: own - deleted, own - swapped, deleted - swapped
    tokens: int  # spent on this test
