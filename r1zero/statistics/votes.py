"""maj@k: how often the commonest answer of k responses is right.

Responses vote with their answers; one without an answer does not vote.  All right answers are one candidate, however
they are written, since each equals the gold; wrong ones are one candidate where their text agrees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from r1zero.statistics.tally import Tally, majority_at

RIGHT = object()  # the candidate of all right answers
SPACES = str.maketrans("", "", " \t\r\n$")


def ballots(answers: Sequence[str | None], correct: Sequence[bool]) -> list[object]:
    """What each response votes for: RIGHT, the text of its wrong answer without spaces and dollars, or None.

    >>> ballots(["1/2", "0.5", "$3$", "3 ", None], [True, True, False, False, False])[2:]
    ['3', '3', None]
    """
    votes: list[object] = []
    for answer, right in zip(answers, correct, strict=True):
        text = (answer or "").translate(SPACES).rstrip(".").lower()
        votes.append(RIGHT if right else text or None)
    return votes


def tally_of(votes: Sequence[object]) -> Tally:
    """How many responses vote for what.

    >>> tally_of([RIGHT, "3", "5", "3", None])
    Tally(right=1, wrong=(2, 1), none=1)
    """
    counts = Counter(votes)
    right, none = counts.pop(RIGHT, 0), counts.pop(None, 0)
    return Tally(right, tuple(sorted(counts.values(), reverse=True)), none)


def majority_at_k(answers: Sequence[str | None], correct: Sequence[bool], k: int) -> float:
    """The chance that the majority of k of the n responses is right, exactly; NaN with fewer than k responses."""
    if k < 1:
        raise ValueError(f"majority_at_k needs k >= 1, got {k}")
    return majority_at(tally_of(ballots(answers, correct)), k)
