"""How much better than expected a response was: a baseline is taken off its reward, and what is left is scaled.

Letters: P problems, G responses to each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Baseline = Literal[
    "none", "sign", "group_mean", "leave_one_out", "length_weighted", "runner_up", "prompt_value", "token_value"
]
BatchScale = Literal["none", "std", "token_whitening", "nonzero_share"]


# ---------------------------------------------------------------------------------------------------------------------
# Baselines: rewards [P, G] and response lengths [P, G] -> advantages [P, G].  A group of equal rewards gives exact
# zeros under every baseline that comes from the group.


def no_baseline(rewards_PG: Tensor, lengths_PG: Tensor | None) -> Tensor:
    """A = R: REINFORCE."""
    return rewards_PG.clone()


def sign(rewards_PG: Tensor, lengths_PG: Tensor | None) -> Tensor:
    """A = 2R - 1: right +1, wrong -1, whatever the others in the group did (arXiv:2605.07689).

    For 0/1 rewards its expected gradient is twice that of R, since the constant -1 has none.
    """
    return 2 * rewards_PG - 1


def minus_group_mean(rewards_PG: Tensor, lengths_PG: Tensor | None) -> Tensor:
    """A = R - mean(R): Dr. GRPO (arXiv:2503.20783, section 3.2) takes this and divides it by nothing.

    It is (G-1)/G times the leave-one-out advantage of RLOO, response by response.
    """
    return _zero_where_equal(rewards_PG - rewards_PG.mean(-1, keepdim=True), rewards_PG)


def minus_others_mean(rewards_PG: Tensor, lengths_PG: Tensor | None) -> Tensor:
    """A_i = R_i - mean of the other G - 1 rewards: RLOO (Kool et al. 2019; arXiv:2402.14740).  Unbiased."""
    size = rewards_PG.shape[-1]
    return minus_group_mean(rewards_PG, lengths_PG) * (size / max(size - 1, 1))


def minus_length_weighted_mean(rewards_PG: Tensor, lengths_PG: Tensor | None) -> Tensor:
    """A = R - sum_j L_j R_j / sum_j L_j: OPO (arXiv:2505.23585).

    The baseline of least variance when a response's squared gradient norm grows with its length.
    """
    if lengths_PG is None:
        raise ValueError("baseline length_weighted needs the lengths of the responses")
    total_P1 = lengths_PG.sum(-1, keepdim=True)
    mean_P1 = (lengths_PG * rewards_PG).sum(-1, keepdim=True) / total_P1.clamp(min=1)
    return _zero_where_equal(rewards_PG - mean_P1, rewards_PG)


def best_minus_runner_up(rewards_PG: Tensor, lengths_PG: Tensor | None) -> Tensor:
    """The best response's lead over the second best; the others get 0: pass@k training (arXiv:2503.19595; verl).

    A tie for the best gives zeros: what any of several right responses adds to "at least one is right" is nothing.
    """
    top_P2, place_P2 = rewards_PG.topk(2, dim=-1)
    return torch.zeros_like(rewards_PG).scatter(-1, place_P2[..., :1], top_P2[..., :1] - top_P2[..., 1:])


BASELINES: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "none": no_baseline,
    "sign": sign,
    "group_mean": minus_group_mean,
    "leave_one_out": minus_others_mean,
    "length_weighted": minus_length_weighted_mean,
    "runner_up": best_minus_runner_up,
}
GROUP_BASELINES = ("group_mean", "leave_one_out", "length_weighted", "runner_up")  # these need G >= 2
CRITICS = ("prompt_value", "token_value")  # these need a value head; see returns.py


# ---------------------------------------------------------------------------------------------------------------------
# Scales


def over_group_std(advantages_PG: Tensor, rewards_PG: Tensor, *, eps: float) -> Tensor:
    """A / (std of the group's rewards + eps), Bessel-corrected: GRPO (arXiv:2402.03300, section 4.1.2).

    It weighs very easy and very hard problems more than medium ones.
    """
    return advantages_PG / (rewards_PG.std(-1, keepdim=True) + eps)


def over_group_mean(advantages_PG: Tensor, rewards_PG: Tensor) -> Tensor:
    """A / mean of the group's rewards, and 0 where that is not positive: MaxRL (arXiv:2602.02710).

    With 0/1 rewards and the group mean as baseline the expected gradient of a problem of accuracy p is
    (1 - (1-p)^(G-1)) / p times that of p: the likelihood of a right answer, truncated at order G - 1.
    """
    mean_P1 = rewards_PG.mean(-1, keepdim=True)
    return torch.where(mean_P1 > 0, advantages_PG / mean_P1.clamp(min=torch.finfo(mean_P1.dtype).tiny), 0.0)


def over_batch_std(advantages_PG: Tensor, rewards_PG: Tensor, *, eps: float) -> Tensor:
    """A / (std of all the step's rewards + eps), Bessel-corrected: TRL's scale_rewards="batch"."""
    return advantages_PG / (rewards_PG.std() + eps) if rewards_PG.numel() > 1 else advantages_PG


def token_whitened(advantages_PG: Tensor, lengths_PG: Tensor, *, eps: float = 1e-8) -> Tensor:
    """(A - m) / sqrt(v + eps), m and v the mean and Bessel-corrected variance over the step's *tokens*: REINFORCE++.

    Long responses weigh more in m and v (arXiv:2501.03262).  Zeros where all advantages are equal.
    """
    total = lengths_PG.sum()
    if total < 2 or (advantages_PG == advantages_PG.flatten()[0]).all():
        return torch.zeros_like(advantages_PG)
    mean = (lengths_PG * advantages_PG).sum() / total
    variance = (lengths_PG * (advantages_PG - mean) ** 2).sum() / (total - 1)
    return (advantages_PG - mean) / torch.sqrt(variance + eps)


def over_nonzero_share(advantages_PG: Tensor) -> Tensor:
    """A times (all groups) / (groups with an advantage other than 0): GPG (arXiv:2504.02546, equation 7).

    It gives back what degenerate groups dilute.  Groups are counted, not responses: in (-1, 0, 1) nothing is diluted.
    """
    informative = int((advantages_PG != 0).any(-1).sum())
    return advantages_PG * (advantages_PG.shape[0] / informative) if informative else advantages_PG


def _zero_where_equal(advantages_PG: Tensor, rewards_PG: Tensor) -> Tensor:
    """Exact zeros in groups of equal rewards: the mean of equal floats may differ from them by rounding."""
    if rewards_PG.shape[-1] < 2:
        raise ValueError("responses_per_problem=1: a group baseline needs at least 2 responses to each problem")
    return advantages_PG.masked_fill((rewards_PG == rewards_PG[..., :1]).all(-1, keepdim=True), 0.0)
