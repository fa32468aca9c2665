"""When the sampler's probabilities are not the learner's: importance weights, bounded, and what the gap amounts to.

The same weights give different log-probabilities in different programs (kernels, precision, staleness).  What was drawn
from beta is then weighted by rho = pi_old / beta, pi_old by the learner before its first update.

Letters: B responses, T tokens of the longest.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from r1zero.objectives.divergence import ESTIMATORS, kl_k3
from r1zero.objectives.ratios import inside, log_ratio

Correction = Literal[
    "none",
    "token_truncate",
    "sequence_truncate",
    "token_mask",
    "sequence_mask",
    "reject_k1",
    "reject_k2",
    "reject_k3",
]
CORRECTIONS: tuple[str, ...] = Correction.__args__  # type: ignore[attr-defined]


def correction_weights(
    old_logprobs_BT: Tensor,
    sampler_logprobs_BT: Tensor,
    mask_BT: Tensor,
    kind: Correction,
    *,
    low: float,
    high: float,
) -> tuple[Tensor, Tensor]:
    """The factor of each token's policy-gradient term, and whether its bound acted there.  [B, T] -> [B, T], [B, T]

    token_truncate     min(rho_t, high)                            TIS (verl, oat: 2)
    sequence_truncate  min(prod_t rho_t, high), for all its tokens
    token_mask         rho_t, and 0 outside [low, high]            MIS, IcePop
    sequence_mask      prod_t rho_t, and 0 outside [low, high]     (TRL: 3).  A steady gap of d nats a token makes the
                       product e^(d L), so long responses are dropped first: a length bias of its own
    reject_k1 (k2, k3) 1, and 0 for responses whose mean estimate of KL(beta || pi_old) exceeds `high`
    """
    log_rho_BT = log_ratio(old_logprobs_BT, sampler_logprobs_BT, mask_BT)
    nowhere_BT = torch.zeros_like(log_rho_BT, dtype=torch.bool)
    if kind == "none":
        return torch.ones_like(log_rho_BT), nowhere_BT
    if kind.startswith("reject"):
        estimate = ESTIMATORS[kind.removeprefix("reject_")]
        gaps_BT = inside(estimate(sampler_logprobs_BT, old_logprobs_BT), mask_BT)
        mean_B1 = gaps_BT.sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)
        rejected_BT = (mean_B1 > high).expand_as(log_rho_BT)
        kept_BT = (~rejected_BT).to(log_rho_BT.dtype).masked_fill(mean_B1.isnan(), math.nan)  # NaN is no consent
        return kept_BT, rejected_BT & (mask_BT > 0)
    level, act = kind.split("_")
    if level == "sequence":
        log_rho_BT = log_rho_BT.sum(-1, keepdim=True).clamp(-20, 20).expand_as(log_rho_BT)
    rho_BT = torch.exp(log_rho_BT)
    outside_BT = (rho_BT > high) if act == "truncate" else (rho_BT > high) | (rho_BT < low)
    bounded_BT = rho_BT.clamp(max=high) if act == "truncate" else rho_BT.masked_fill(outside_BT, 0.0)
    return bounded_BT, outside_BT & (mask_BT > 0)


def mismatch_sums(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, mask_BT: Tensor) -> dict[str, Tensor]:
    """Sums over tokens from which the learner reports how far sampler and learner are apart.

    `gap_abs` of |log pi_old - log beta|, `gap_k3` of the estimate of KL(beta || pi_old), `rho` and `rho_squared` for
    the effective sample size (sum rho)^2 / sum rho^2; `max_gap_abs` is the largest, not a sum.
    """
    log_rho_BT = log_ratio(old_logprobs_BT, sampler_logprobs_BT, mask_BT)
    rho_BT = torch.exp(log_rho_BT) * mask_BT
    return {
        "gap_abs": log_rho_BT.abs().sum(),
        "gap_k3": inside(kl_k3(sampler_logprobs_BT, old_logprobs_BT), mask_BT).sum(),
        "rho": rho_BT.sum(),
        "rho_squared": (rho_BT**2).sum(),
        "max_gap_abs": log_rho_BT.abs().max() if log_rho_BT.numel() else log_rho_BT.new_zeros(()),
    }
