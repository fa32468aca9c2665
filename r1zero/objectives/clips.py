"""How far one batch may move the policy: what becomes of ratio x advantage when the ratio has gone far from 1.

Letters: B responses, T tokens of the longest.  Every clip returns the surrogate that is maximised and where it acted.
With the ratio at 1 its gradient is the advantage times that of log pi, under every clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Clip = Literal["none", "ppo", "detached", "log_sqrt", "log_token", "gate"]


@dataclass(frozen=True)
class ClipRange:
    """The numbers a clip works with; what they bound is the clip's own business."""

    low: float
    high: float
    dual: float | None = None  # the bound on the ratio where the advantage is negative
    temperature_positive: float = 1.0  # of the gate
    temperature_negative: float = 1.05


def unclipped(ratio_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, bounds: ClipRange) -> tuple[Tensor, Tensor]:
    """r A."""
    surrogate_BT = ratio_BT * advantages_BT
    return surrogate_BT, torch.zeros_like(surrogate_BT, dtype=torch.bool)


def ppo_clip(ratio_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, bounds: ClipRange) -> tuple[Tensor, Tensor]:
    """min(r A, clip(r, 1 - low, 1 + high) A): PPO (arXiv:1707.06347, equation 7); high > low is DAPO's clip-higher.

    Clipped tokens (A > 0 and r above, or A < 0 and r below) give no gradient.  `dual`: where A < 0 no less than
    dual * A, so that a ratio gone through the roof cannot dominate (arXiv:1912.09729).
    """
    return _pessimistic(ratio_BT, ratio_BT.clamp(1 - bounds.low, 1 + bounds.high), bounds.dual, advantages_BT)


def detached_clip(ratio_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, bounds: ClipRange) -> tuple[Tensor, Tensor]:
    """sg(clip(r, 1 - low, 1 + high)) A log pi, up to a constant: CISPO (arXiv:2506.13585, equation 4).

    The clip bounds a token's weight but never silences the token.
    """
    own_BT = ratio_BT / ratio_BT.detach()  # 1, with the gradient of log pi
    bounded_BT = ratio_BT.detach().clamp(1 - bounds.low, 1 + bounds.high)
    return bounded_BT * own_BT * advantages_BT, bounded_BT != ratio_BT.detach()


def log_sqrt_clip(ratio_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, bounds: ClipRange) -> tuple[Tensor, Tensor]:
    """PPO's clip with the interval [e^(-low sqrt t), e^(high sqrt t)] at a response's t-th token: CTPO.

    A product of t ratios spreads like sqrt(t) in logarithm, so late tokens get more room (arXiv:2605.07331).  `dual` is
    a logarithm per sqrt(t), too.
    """
    spread_BT = mask_BT.cumsum(-1).sqrt().to(ratio_BT)
    dual_BT = None if bounds.dual is None else torch.exp(bounds.dual * spread_BT)
    bounded_BT = ratio_BT.clamp(torch.exp(-bounds.low * spread_BT), torch.exp(bounds.high * spread_BT))
    return _pessimistic(ratio_BT, bounded_BT, dual_BT, advantages_BT)


def gate(ratio_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, bounds: ClipRange) -> tuple[Tensor, Tensor]:
    """(4/tau) sigmoid(tau (r - 1)) A: SAPO's soft gate, tau by the sign of A (arXiv:2511.20347).

    Its slope is 1 at r = 1 and falls off smoothly on both sides.
    """
    tau_BT = torch.full_like(ratio_BT, bounds.temperature_negative)
    tau_BT = tau_BT.masked_fill(advantages_BT > 0, bounds.temperature_positive)
    surrogate_BT = 4 / tau_BT * torch.sigmoid(tau_BT * (ratio_BT - 1)) * advantages_BT
    return surrogate_BT, torch.zeros_like(surrogate_BT, dtype=torch.bool)


CLIPS: dict[str, Callable[[Tensor, Tensor, Tensor, ClipRange], tuple[Tensor, Tensor]]] = {
    "none": unclipped,
    "ppo": ppo_clip,
    "detached": detached_clip,
    "log_sqrt": log_sqrt_clip,
    "log_token": unclipped,  # it acts earlier, on the logarithms: `clip_log_tokens`
    "gate": gate,
}


def clip_log_tokens(log_ratio_BT: Tensor, advantages_BT: Tensor, bounds: ClipRange) -> tuple[Tensor, Tensor]:
    """log r cut at `high` where A > 0 and at -`low` where A < 0, before any mean: GMPO (arXiv:2507.20673)."""
    upper_BT = torch.full_like(log_ratio_BT, math.inf).masked_fill(advantages_BT > 0, bounds.high)
    lower_BT = torch.full_like(log_ratio_BT, -math.inf).masked_fill(advantages_BT < 0, -bounds.low)
    cut_BT = log_ratio_BT.clamp(lower_BT.to(log_ratio_BT), upper_BT.to(log_ratio_BT))
    return cut_BT, cut_BT != log_ratio_BT


def _pessimistic(
    ratio_BT: Tensor, bounded_BT: Tensor, dual: Tensor | float | None, advantages_BT: Tensor
) -> tuple[Tensor, Tensor]:
    plain_BT, clipped_BT = ratio_BT * advantages_BT, bounded_BT * advantages_BT
    acted_BT = clipped_BT < plain_BT  # not at a tie: on the edge itself a token is still free
    surrogate_BT = torch.where(acted_BT, clipped_BT, plain_BT)
    if dual is not None:
        floor_BT = dual * advantages_BT
        below_BT = (advantages_BT < 0) & (surrogate_BT < floor_BT)
        surrogate_BT, acted_BT = torch.where(below_BT, floor_BT, surrogate_BT), acted_BT | below_BT
    return surrogate_BT, acted_BT
