"""Groups that teach nothing: when all G responses to a problem earn the same reward, every advantage is zero.

P problems, G responses each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def degenerate_share(rewards_PG: Sequence[Sequence[float]]) -> float:
    """The share of groups whose rewards are all equal.  [P, G] -> fraction

    >>> degenerate_share([[0, 0], [0, 1], [1, 1], [1, 0]])
    0.5
    """
    if not rewards_PG:
        return math.nan
    return sum(len(set(rewards)) <= 1 for rewards in rewards_PG) / len(rewards_PG)


def degenerate_predicted(rewards_PG: Sequence[Sequence[float]]) -> float:
    """What `degenerate_share` would be if every problem were equally hard.  [P, G] -> fraction

    The sum over reward values v of q_v^G, averaged over the groups' sizes, where q_v is v's share of all responses; for
    0/1 rewards that is p^G + (1-p)^G.  x^G is convex, so problems of unequal difficulty give more degenerate groups
    (Jensen): observed minus predicted measures how unequal they are.

    A prediction from each group's own share would be no prediction: from G responses the only unbiased estimate of a
    problem's p^G is 1 when all G are right and 0 otherwise, which is the observed share itself, and plugging the share
    in for p is biased upwards.  For other group sizes see `degenerate_share_at`.

    >>> round(degenerate_predicted([[0, 0, 0, 1]] * 5), 3)  # p = .25, G = 4
    0.32
    """
    if not rewards_PG:
        return math.nan
    counts = Counter(reward for rewards in rewards_PG for reward in rewards)
    total = sum(counts.values())
    powers = [sum((count / total) ** len(rewards) for count in counts.values()) for rewards in rewards_PG]
    return sum(powers) / len(powers)


def degenerate_share_at(correct_P: Sequence[int], samples_P: Sequence[int], group_size: int) -> float:
    """The expected degenerate share at another group size, unbiased, for right-or-wrong rewards.  [P], [P] -> fraction

    The mean over problems of (C(c, k) + C(n-c, k)) / C(n, k): the chance that k of a problem's n responses agree.
    Problems with fewer than k responses are left out.

    >>> degenerate_share_at([4, 1], [4, 4], 2), degenerate_share_at([4, 1], [4, 4], 4)  # of 6 pairs, 3 agree
    (0.75, 0.5)
    """
    if group_size < 1:
        raise ValueError(f"group_size={group_size}: must be at least 1")
    shares = [
        (math.comb(c, group_size) + math.comb(n - c, group_size)) / math.comb(n, group_size)
        for c, n in zip(correct_P, samples_P, strict=True)
        if n >= group_size
    ]
    return sum(shares) / len(shares) if shares else math.nan
