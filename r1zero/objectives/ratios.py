"""The probability ratio of new to old policy: of a token, of a whole response, or of everything up to a token.

Letters: B responses, T tokens of the longest.  `log_ratio_BT` is log pi - log pi_old, 0 outside the mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Ratio = Literal["token", "sequence", "sequence_token", "power_mean", "prefix", "none"]
MAX_LOG_RATIO = 20.0  # beyond, a ratio is cut off: e^20 is far outside every clip


def token_ratio(log_ratio_BT: Tensor, mask_BT: Tensor, power: float) -> Tensor:
    """r_t = pi / pi_old of each token: PPO, GRPO."""
    return torch.exp(log_ratio_BT)


def sequence_ratio(log_ratio_BT: Tensor, mask_BT: Tensor, power: float) -> Tensor:
    """s = exp(mean_t log r_t), the same for every token of a response: GSPO (arXiv:2507.18071, equation 7)."""
    return torch.exp(_mean(log_ratio_BT, mask_BT)).expand_as(log_ratio_BT)


def sequence_token_ratio(log_ratio_BT: Tensor, mask_BT: Tensor, power: float) -> Tensor:
    """The value of `sequence_ratio` with each token's own gradient: s r_t / sg(r_t), GSPO-token (equation 14)."""
    own_BT = torch.exp(log_ratio_BT - log_ratio_BT.detach())
    return sequence_ratio(log_ratio_BT, mask_BT, power).detach() * own_BT


def power_mean_ratio(log_ratio_BT: Tensor, mask_BT: Tensor, power: float) -> Tensor:
    """(mean_t r_t^p)^(1/p): p = 1 the arithmetic mean, p -> 0 GSPO's geometric one (HoelderPO, arXiv:2605.12058)."""
    if power == 0:
        return sequence_ratio(log_ratio_BT, mask_BT, power)
    if abs(power) < 0.1:  # a schedule through 0: log(mean r^p) / p would be 0 / 0 in all but name
        return torch.exp(torch.log1p(_mean(torch.expm1(power * log_ratio_BT), mask_BT)) / power).expand_as(log_ratio_BT)
    lengths_B1 = mask_BT.sum(-1, keepdim=True).clamp(min=1)
    powers_BT = (power * log_ratio_BT).masked_fill(mask_BT == 0, -math.inf)
    empty_B1 = mask_BT.sum(-1, keepdim=True) == 0
    powers_BT = powers_BT.masked_fill(empty_B1, 0.0)  # an empty response: keep the logarithm finite
    mean_B1 = (torch.logsumexp(powers_BT, dim=-1, keepdim=True) - lengths_B1.log()) / power
    return torch.exp(mean_B1).expand_as(log_ratio_BT)


def prefix_ratio(log_ratio_BT: Tensor, mask_BT: Tensor, power: float) -> Tensor:
    """prod_{s<=t} r_s with gradient through r_t alone: CTPO (arXiv:2605.07331).

    It makes samples of pi_old those of pi up to token t.  What follows t, and so the advantage, is pi_old's still:
    the expectation is grad log pi(token) weighted with what pi_old earns from there on, which is the policy gradient of
    the reward where pi = pi_old.  (The gradient itself, anywhere, takes the whole response's product.)
    """
    before_BT = (log_ratio_BT.cumsum(-1) - log_ratio_BT).detach()
    return torch.exp((before_BT + log_ratio_BT).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))


def no_ratio(log_ratio_BT: Tensor, mask_BT: Tensor, power: float) -> Tensor:
    """1, with the gradient of log pi: REINFORCE, which does not look at how far the policy has moved."""
    return torch.exp(log_ratio_BT - log_ratio_BT.detach())


RATIOS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "token": token_ratio,
    "sequence": sequence_ratio,
    "sequence_token": sequence_token_ratio,
    "power_mean": power_mean_ratio,
    "prefix": prefix_ratio,
    "none": no_ratio,
}


def inside(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The values on the mask and 0 elsewhere: what stands there, NaN too, has neither value nor gradient."""
    return torch.where(mask_BT > 0, values_BT, torch.zeros_like(values_BT))


def log_ratio(logprobs_BT: Tensor, old_logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """log pi - log pi_old on sampled tokens, within +-20; 0 elsewhere, whatever the padding holds."""
    return inside(logprobs_BT - old_logprobs_BT, mask_BT).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def _mean(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return (values_BT * mask_BT).sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)
