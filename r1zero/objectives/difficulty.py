"""How strongly an objective learns from a problem, by how often the policy solves it.

Letters: P problems, G responses to each.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from r1zero.objectives.objective import Objective


def difficulty_weight(objective: Objective, group_size: int, accuracy: float) -> float:
    """w_G(p): what the expected update of a problem of accuracy p is, in units of grad p.

    For 0/1 rewards a response's advantage depends on its own reward r and on how many of the others are right, which is
    Binomial(G - 1, p) whatever the response says.  Let a(k, r) be the advantage of a response of reward r in a group of
    which k are right.  Averaged over the others it is

        A(r) = sum_j C(G-1, j) p^j (1-p)^(G-1-j) a(j + r, r),

    and with s the gradient of the response's log-probability, E[s] = 0 and E[R s] = grad p:

        E[A(R) s] = (A(1) - A(0)) grad p + A(0) E[s] = w_G(p) grad p,   w_G(p) = A(1) - A(0).

    So within a problem the direction is right, and all bias lies in w_G(p) across problems.  It is (G-1)/G for Dr. GRPO
    and 1 for RLOO at every p, and nears 1 / sqrt(p (1-p)) with a growing group for GRPO.

    Left out: the length's own effect (all responses are equally long) and `batch_scale`, which is one factor, and
    shift, for all problems of a step.  A critic knows p.  Raises ValueError for an accuracy outside [0, 1] or a group
    too small.

    >>> from r1zero.objectives import OBJECTIVES
    >>> round(difficulty_weight(OBJECTIVES["dr_grpo"], 8, 0.3), 6)
    0.875
    >>> round(difficulty_weight(OBJECTIVES["max_rl"], 2, 0.25), 6)  # (1 - (1-p)^(G-1)) / p
    1.0
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy={accuracy}: must be a fraction, between 0 and 1")
    if group_size < 1:
        raise ValueError(f"group_size={group_size}: must be at least 1")
    objective, others, weight = replace(objective, batch_scale="none"), group_size - 1, 0.0
    by_count = [_right_and_wrong(objective, group_size, k, accuracy) for k in range(group_size + 1)]
    for j in range(group_size):
        chance = math.comb(others, j) * accuracy**j * (1 - accuracy) ** (others - j)
        if chance > 0:
            weight += chance * (by_count[j + 1][0] - by_count[j][1])
    return weight


def _right_and_wrong(objective: Objective, group_size: int, num_right: int, accuracy: float) -> tuple[float, float]:
    """The mean advantage of the right and of the wrong responses of a group; NaN where there are none."""
    rewards_PG = (torch.arange(group_size, dtype=torch.float64) < num_right).to(torch.float64)[None]
    ones_PG = torch.ones_like(rewards_PG)
    if objective.by_token:  # of a single token, so its advantage is the response's
        values_BT = accuracy * ones_PG.T if objective.baseline == "token_value" else None
        advantages_G = objective.token_advantages(rewards_PG[0], ones_PG.T, values_BT)[:, 0]
    else:
        advantages_G = objective.advantages(rewards_PG, ones_PG, accuracy * ones_PG)[0]
    right_G = rewards_PG[0] == 1
    return float(advantages_G[right_G].mean()), float(advantages_G[~right_G].mean())
