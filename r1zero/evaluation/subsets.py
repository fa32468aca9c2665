"""How much of a difference is luck: what sets of 30 questions, drawn anew, say about one and the same model.

AIME 2024 has 30 questions.  Two models that are equally good still differ on them; here the responses of one model are
drawn twice, so that every difference is luck by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.statistics.intervals import Interval

SIZE = 30  # questions of a subset
DRAWS = 4000
# accuracy gained over the second best by the best 7B model on AIME 2024: 13 of 30 against 8 of 30, and single questions
GAPS = (1 / 30, 3 / 30, 5 / 30)


@dataclass(frozen=True)
class Luck:
    """Differences between two draws of one model's responses.

    R draws; `by_gap` holds P(|difference| >= gap).
    """

    benchmark: str
    drawn: str  # what differs between two subsets: "questions", or "responses" to the same questions
    questions: int  # of the pool that subsets are drawn from
    accuracy: Interval  # of one subset: mean over draws, 2.5 % and 97.5 % quantiles
    spread: float  # standard deviation of the difference between two subsets
    by_gap: Mapping[float, float]


def subset_luck(
    benchmark: str,
    right: Sequence[np.ndarray],
    *,
    size: int = SIZE,
    draws: int = DRAWS,
    gaps: Sequence[float] = GAPS,
    seed: int = 0,
) -> list[Luck]:
    """Both kinds of luck of one benchmark; `right` holds a problem's responses each, [P][n] of 0 and 1.

    Subsets are drawn with replacement from the questions, as exams are from all that might have been asked, and one of
    the n responses to each.  With the same questions in both subsets the responses are drawn twice, which needs n >= 2.
    """
    if not right:
        return []
    rng = np.random.default_rng(seed)
    counts_P = np.array([len(responses) for responses in right])
    share_P = np.array([responses.mean() for responses in right])
    first_RS = rng.integers(0, len(right), (draws, size))
    second_RS = rng.integers(0, len(right), (draws, size))
    found = [_luck(benchmark, "questions", share_P, first_RS, second_RS, gaps, rng)]
    if counts_P.min() >= 2:
        found.append(_luck(benchmark, "responses", share_P, first_RS, first_RS, gaps, rng))
    return found


def _luck(
    benchmark: str,
    drawn: str,
    share_P: np.ndarray,
    first_RS: np.ndarray,
    second_RS: np.ndarray,
    gaps: Sequence[float],
    rng: np.random.Generator,
) -> Luck:
    """A response drawn from n with replacement is right with the problem's share of right ones."""
    first_R = (rng.random(first_RS.shape) < share_P[first_RS]).mean(axis=1)
    second_R = (rng.random(second_RS.shape) < share_P[second_RS]).mean(axis=1)
    difference_R = np.abs(first_R - second_R)
    low, high = np.quantile(first_R, [0.025, 0.975])
    return Luck(
        benchmark=benchmark,
        drawn=drawn,
        questions=share_P.size,
        accuracy=Interval(float(first_R.mean()), float(low), float(high)),
        spread=float((first_R - second_R).std()),
        by_gap={gap: float((difference_R >= gap - 1e-9).mean()) for gap in gaps},
    )
