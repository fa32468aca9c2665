"""How much better than its group a response was.

Letters: P problems, G responses to each.
"""

from __future__ import annotations

from torch import Tensor


def group_advantages(rewards_PG: Tensor, *, divide_by_std: bool, eps: float = 1e-6) -> Tensor:
    """Reward minus the mean of its own group, optionally over the group's standard deviation.  [P, G] -> [P, G]

    A = R - mean(R), or (R - mean(R)) / (std(R) + eps) with the Bessel-corrected std (divided by G - 1).
    `divide_by_std=True` is GRPO (arXiv:2402.03300, section 4.1.2); False is Dr. GRPO (arXiv:2503.20783, section 3.2),
    which drops it because it weights very easy and very hard problems more than medium ones, and which is (G-1)/G
    times the leave-one-out advantage of RLOO.  A group of equal rewards gives exact zeros.  Raises ValueError for a
    group of one, whose advantage would always be zero.
    """
    if rewards_PG.shape[-1] < 2:
        raise ValueError("responses_per_problem=1: a group baseline needs at least 2 responses to each problem")
    centred_PG = rewards_PG - rewards_PG.mean(-1, keepdim=True)
    equal_P1 = (rewards_PG == rewards_PG[..., :1]).all(-1, keepdim=True)
    centred_PG = centred_PG.masked_fill(equal_P1, 0.0)  # the mean of equal floats may differ from them by rounding
    if not divide_by_std:
        return centred_PG
    return centred_PG / (rewards_PG.std(-1, keepdim=True) + eps)
