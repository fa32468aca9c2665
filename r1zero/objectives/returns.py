"""Credit token by token: discounted returns, generalised advantage estimation, and whitening over tokens.

Letters: B responses, T tokens of the longest.  Masks are 1 on sampled tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from r1zero.objectives.ratios import inside


def terminal_rewards(rewards_B: Tensor, mask_BT: Tensor) -> Tensor:
    """Each response's reward on its last token, 0 elsewhere.  [B], [B, T] -> [B, T]; an empty response has none."""
    place_BT = mask_BT.cumsum(-1) * mask_BT
    last_BT = (place_BT == mask_BT.sum(-1, keepdim=True)) & (mask_BT > 0)
    return last_BT * rewards_B[:, None]


def token_rewards(rewards_B: Tensor, mask_BT: Tensor, kl_BT: Tensor | None, kl_coef: float) -> Tensor:
    """The reward on the last token, less what every token pays for its divergence.  [B], [B, T] -> [B, T]"""
    rewards_BT = terminal_rewards(rewards_B, mask_BT)
    return rewards_BT if kl_BT is None else rewards_BT - kl_coef * kl_BT * mask_BT


def returns_to_go(rewards_BT: Tensor, mask_BT: Tensor, *, gamma: float = 1.0) -> Tensor:
    """R_t = r_t + gamma R_{t+1} over a response's own tokens.  [B, T] -> [B, T]

    >>> returns_to_go(torch.tensor([[0.0, 0.0, 1.0]]), torch.ones(1, 3), gamma=0.5).tolist()
    [[0.25, 0.5, 1.0]]
    """
    zeros_BT = torch.zeros_like(rewards_BT)
    return generalized_advantages(rewards_BT, zeros_BT, mask_BT, gamma=gamma, lam=1.0)


def generalized_advantages(
    rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, *, gamma: float = 1.0, lam: float = 1.0
) -> Tensor:
    """GAE: A_t = sum_k (gamma lam)^k d_{t+k}, d_t = r_t + gamma V_{t+1} - V_t, V = 0 after the end.  [B, T] -> [B, T]

    Schulman et al. 2016, arXiv:1506.02438, equation 16.  With gamma = lam = 1: the rewards from t on, less V_t.
    """
    rewards_TB, values_TB, mask_TB = (x.T.contiguous() for x in (rewards_BT, values_BT, mask_BT))  # a step is a row
    here_TB = mask_TB > 0
    advantages_TB = torch.zeros_like(rewards_TB)
    following_B = next_value_B = torch.zeros_like(rewards_BT[:, 0])
    for t in reversed(range(len(rewards_TB))):
        delta_B = rewards_TB[t] + gamma * next_value_B - values_TB[t]
        following_B = torch.where(here_TB[t], delta_B + gamma * lam * following_B, following_B)
        next_value_B = torch.where(here_TB[t], values_TB[t], next_value_B)
        advantages_TB[t] = following_B
    return (advantages_TB * mask_TB).T.contiguous()


def whitened(values_BT: Tensor, mask_BT: Tensor, *, eps: float = 1e-8) -> Tensor:
    """(x - m) / sqrt(v + eps) over all tokens of the step, zeros outside the mask.  [B, T] -> [B, T]"""
    count = mask_BT.sum()
    if count < 2:
        return torch.zeros_like(values_BT)
    values_BT = inside(values_BT, mask_BT)
    mean = (values_BT * mask_BT).sum() / count
    variance = (mask_BT * (values_BT - mean) ** 2).sum() / (count - 1)
    return (values_BT - mean) / torch.sqrt(variance + eps) * mask_BT
