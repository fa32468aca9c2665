"""The policy-gradient term of each token, and the divergence that holds it back.

Letters: B responses, T tokens of the longest.
"""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_surrogate(
    logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_B: Tensor, *, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """PPO's surrogate min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), and where it is clipped.  [B, T] each

    r = exp(logprobs - old_logprobs).  With logprobs equal to old_logprobs its gradient is A times that of logprobs
    (REINFORCE).  Clipped tokens (A > 0 and r above, or A < 0 and r below the interval) give no gradient.
    (arXiv:1707.06347, equation 7)
    """
    ratio_BT = torch.exp(logprobs_BT - old_logprobs_BT)
    advantages_B1 = advantages_B[:, None]
    plain_BT = ratio_BT * advantages_B1
    clipped_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high) * advantages_B1
    return torch.minimum(plain_BT, clipped_BT), clipped_BT < plain_BT


def kl_k3(logprobs_BT: Tensor, reference_logprobs_BT: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(policy || reference) at each sampled token: e^x - x - 1, x = log ref - log policy.

    [B, T] -> [B, T], never negative; its mean over samples of the policy is the divergence in nats.
    """
    x_BT = (reference_logprobs_BT - logprobs_BT).clamp(-20, 20)
    return torch.exp(x_BT) - x_BT - 1
