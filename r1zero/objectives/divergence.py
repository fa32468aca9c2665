"""Estimates of KL(policy || reference) at sampled tokens, to be held down in the loss or taken off the reward.

Letters: B responses, T tokens of the longest.  With x = log reference - log policy (Schulman, "Approximating KL
divergence", 2020).  k1 and k3 average to the divergence under samples of the policy; k2 does to second order.  As a
*loss* k2 has the gradient of the next token's divergence, k1 none in expectation, and k3 that of
KL(reference || policy), each at the contexts that the policy visits.  That the policy also chooses its contexts, no
token loss knows: the divergence of whole responses has its gradient from k1 in the *reward*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]
MAX_GAP = 20.0  # nats


def kl_k1(logprobs_BT: Tensor, reference_logprobs_BT: Tensor) -> Tensor:
    """-x: unbiased, of large variance, of either sign.  [B, T] -> [B, T]"""
    return (logprobs_BT - reference_logprobs_BT).clamp(-MAX_GAP, MAX_GAP)


def kl_k2(logprobs_BT: Tensor, reference_logprobs_BT: Tensor) -> Tensor:
    """x^2 / 2: never negative, of small bias; on policy its gradient as a loss is that of the divergence."""
    return (reference_logprobs_BT - logprobs_BT).clamp(-MAX_GAP, MAX_GAP) ** 2 / 2


def kl_k3(logprobs_BT: Tensor, reference_logprobs_BT: Tensor) -> Tensor:
    """e^x - x - 1: unbiased and never negative."""
    x_BT = (reference_logprobs_BT - logprobs_BT).clamp(-MAX_GAP, MAX_GAP)
    return torch.exp(x_BT) - x_BT - 1


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}
