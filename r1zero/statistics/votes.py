"""maj@k: how often the commonest answer of k responses is right.

Responses vote with their answers; one without an answer does not vote.  All right answers are one candidate, however
they are written, since each equals the gold; wrong ones are one candidate where their text agrees.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

RIGHT = object()  # the candidate of all right answers
RESAMPLES = 400  # draws of k out of n responses
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


def majority_wins(votes: Sequence[object]) -> float:
    """1 when RIGHT has the most votes, 0 when another has, and the chance of a fair draw where several tie.

    >>> majority_wins([RIGHT, RIGHT, "3", None]), majority_wins([RIGHT, "3"]), majority_wins([None])
    (1.0, 0.5, 0.0)
    """
    counts = Counter(vote for vote in votes if vote is not None)
    most = max(counts.values(), default=0)
    if not most or counts[RIGHT] < most:
        return 0.0
    return 1 / sum(count == most for count in counts.values())


def majority_at_k(answers: Sequence[str | None], correct: Sequence[bool], k: int, *, seed: int = 0) -> float:
    """The chance that the majority of k of the n responses is right; NaN with fewer than k responses.

    Exact for k = n, 1 and 2 (two voters tie, so a draw decides: maj@2 is the mean over pairs); otherwise the mean over
    `RESAMPLES` draws without replacement.
    """
    n = len(answers)
    if k < 1:
        raise ValueError(f"majority_at_k needs k >= 1, got {k}")
    if n < k:
        return math.nan
    votes = ballots(answers, correct)
    if k == n:
        return majority_wins(votes)
    if k == 1:
        return sum(vote is RIGHT for vote in votes) / n
    if k == 2:
        pairs = [majority_wins((votes[i], votes[j])) for i in range(n) for j in range(i)]
        return sum(pairs) / len(pairs)
    rng = random.Random(f"maj@{k} {seed}")
    return sum(majority_wins(rng.sample(votes, k)) for _ in range(RESAMPLES)) / RESAMPLES
