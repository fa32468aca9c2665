"""The answers of one problem's responses, counted, and what k of them would hold: exactly, without drawing any.

Right answers are one answer, however they are written; wrong ones are one where their text agrees (statistics.votes).
A response without an answer is drawn like any other, and neither votes nor agrees with anybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from r1zero.statistics.intervals import pass_at_k


@dataclass(frozen=True)
class Tally:
    """How many of n responses to a problem gave which answer.  Example: Tally(right=3, wrong=(2, 1), none=2)"""

    right: int
    wrong: tuple[int, ...]  # responses with each wrong answer, most first
    none: int  # responses without an answer

    @property
    def n(self) -> int:
        return self.right + sum(self.wrong) + self.none

    @property
    def answers(self) -> tuple[int, ...]:
        """Responses with each answer, the right one first where there is one."""
        return (self.right, *self.wrong) if self.right else self.wrong


@lru_cache(maxsize=200_000)
def solved_at(tally: Tally, k: int) -> float:
    """pass@k: the chance that k of the responses hold a right one (statistics.pass_at_k)."""
    return pass_at_k(tally.n, tally.right, k)


@lru_cache(maxsize=200_000)
def majority_at(tally: Tally, k: int) -> float:
    """maj@k: the chance that the right answer has the most votes among k of the n responses, ties drawn fairly.

        P = sum_j P(right has j) sum_t P(no wrong answer has more than j, t of them have j) / (1 + t)

    Exact: each response is drawn with chance k/n, which makes the answers' votes independent binomials, and a
    polynomial in the number of votes keeps those cases in which k were drawn.  NaN with fewer than k responses.

    >>> majority_at(Tally(1, (1,), 0), 1), majority_at(Tally(2, (1,), 0), 3)
    (0.5, 1.0)
    >>> round(majority_at(Tally(2, (1,), 1), 2), 4)  # of the six pairs one holds no right answer, two are ties
    0.6667
    """
    n = tally.n
    if n < k:
        return math.nan
    if k == 1:
        return tally.right / n
    if k == n:
        return _wins(tally)
    share, total = k / n, 0.0
    for votes in range(1, min(tally.right, k) + 1):
        rivals = [count for count in tally.wrong if count >= votes]
        width = k - votes + 1
        ways = binomial(n - tally.right - sum(rivals), share, width)[None, :]  # [ties, votes of the others]
        for count in rivals:
            ways = _with_rival(ways, binomial(count, share, votes + 1))
        fair = 1 / (1 + np.arange(ways.shape[0]))
        total += binomial(tally.right, share, votes + 1)[votes] * float(fair @ ways[:, -1])
    return min(1.0, float(total / binomial(n, share, k + 1)[k]))


def _wins(tally: Tally) -> float:
    most = max(tally.wrong, default=0)
    if tally.right == 0 or tally.right < most:
        return 0.0
    return 1 / (1 + sum(count == most for count in tally.wrong)) if tally.right == most else 1.0


def _with_rival(ways: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """One more wrong answer, which may have 0 .. j votes; with j it is one more tie.  [t, w], [j+1] -> [t+1, w]"""
    more = np.zeros((ways.shape[0] + 1, ways.shape[1]))
    top = chance.size - 1
    for votes in range(min(top, ways.shape[1])):
        more[:-1, votes:] += chance[votes] * ways[:, : ways.shape[1] - votes]
    if top < ways.shape[1]:
        more[1:, top:] += chance[top] * ways[:, : ways.shape[1] - top]
    return more


@lru_cache(maxsize=100_000)
def binomial(n: int, p: float, width: int) -> np.ndarray:
    """P(0 .. width-1 of n), each with chance 0 < p < 1.  [width]"""
    found = np.zeros(width)
    for successes in range(min(n + 1, width)):
        log_ways = math.lgamma(n + 1) - math.lgamma(successes + 1) - math.lgamma(n - successes + 1)
        found[successes] = math.exp(log_ways + successes * math.log(p) + (n - successes) * math.log1p(-p))
    return found


@lru_cache(maxsize=200_000)
def distinct_at(tally: Tally, k: int) -> float:
    """The expected number of different answers among k of the responses: sum over answers of pass@k of that answer.

    Rarefaction (Hurlbert 1971, Ecology 52:577): comparable between different n.  NaN with fewer than k responses.

    >>> distinct_at(Tally(2, (1, 1), 0), 1), distinct_at(Tally(2, (1, 1), 0), 4)
    (1.0, 3.0)
    """
    if tally.n < k:
        return math.nan
    return float(sum(pass_at_k(tally.n, count, k) for count in tally.answers))


def agreement(tally: Tally) -> float:
    """The chance that two different responses give the same answer: sum c(c-1) / (n(n-1)), unbiased.  NaN if n < 2.

    >>> agreement(Tally(3, (), 1)), agreement(Tally(1, (), 0))
    (0.5, nan)
    """
    n = tally.n
    return sum(c * (c - 1) for c in tally.answers) / (n * (n - 1)) if n > 1 else math.nan


def largest_share(tally: Tally) -> float:
    """The share of the responses that give the commonest answer; NaN without responses."""
    return max(tally.answers, default=0) / tally.n if tally.n else math.nan


def entropy(tally: Tally) -> float:
    """Entropy in nats of the answers given: sum over answers of c/m (1/c + 1/(c+1) + ... + 1/(m-1)), m of them.

    Zhang's estimator (2012, Neural Computation 24:1368), whose bias vanishes exponentially in m, where the plug-in's
    vanishes as 1/m.  NaN below two answers.

    >>> entropy(Tally(2, (), 5)), round(entropy(Tally(1, (1,), 0)), 3)
    (0.0, 1.0)
    """
    m = sum(tally.answers)
    if m < 2:
        return math.nan
    return sum(c / m * sum(1 / i for i in range(c, m)) for c in tally.answers)
