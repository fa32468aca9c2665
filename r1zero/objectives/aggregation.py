"""What the token losses of a batch are divided by: what makes GRPO favour short right and long wrong answers.

Every token of a response has the same weight, and the weights are computed once for the whole optimizer step, before
micro-batches or ranks split it; so any split gives the same gradient.  (The one exception is `microbatch_tokens`, kept
because several trainers do it.)

Letters: P problems, G responses to each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Normalizer = Literal["response_length", "constant", "batch_tokens", "responses", "sign_balanced", "microbatch_tokens"]


@dataclass(frozen=True)
class BatchSize:
    """Counts over everything that enters one optimizer step, taken before micro-batches or ranks split it."""

    num_responses: int
    num_tokens: int  # response tokens that are learned
    max_tokens: int  # the response limit M: a constant, not the longest response seen


def by_response_length(lengths_PG: Tensor, advantages_PG: Tensor, size: BatchSize) -> Tensor:
    """1 / (B L_i): GRPO, the mean of per-response means (arXiv:2402.03300, equation 3)."""
    return 1 / (size.num_responses * lengths_PG.clamp(min=1))


def by_constant(lengths_PG: Tensor, advantages_PG: Tensor, size: BatchSize) -> Tensor:
    """1 / (B M): Dr. GRPO (arXiv:2503.20783, section 3.2)."""
    return torch.full_like(lengths_PG, 1 / (size.num_responses * size.max_tokens))


def by_batch_tokens(lengths_PG: Tensor, advantages_PG: Tensor, size: BatchSize) -> Tensor:
    """1 / (all tokens of the step): DAPO's token mean (arXiv:2503.14476, equation 8)."""
    return torch.full_like(lengths_PG, 1 / max(size.num_tokens, 1))


def by_responses(lengths_PG: Tensor, advantages_PG: Tensor, size: BatchSize) -> Tensor:
    """1 / B: the mean over responses of sums over tokens, the textbook policy gradient."""
    return torch.full_like(lengths_PG, 1 / size.num_responses)


def by_sign(lengths_PG: Tensor, advantages_PG: Tensor, size: BatchSize) -> Tensor:
    """(G± / G) / T± / P: a token mean among the responses of one sign in each group, weighted by how many they are.

    G± responses of the group have this sign (+, - or 0), with T± tokens: Balanced Aggregation (arXiv:2605.04077).
    """
    group = lengths_PG.shape[-1]
    weights_PG = torch.zeros_like(lengths_PG)
    for sign in (-1.0, 0.0, 1.0):
        same_PG = (advantages_PG.sign() == sign).to(lengths_PG.dtype)
        tokens_P1 = (lengths_PG * same_PG).sum(-1, keepdim=True).clamp(min=1)
        weights_PG = weights_PG + same_PG * same_PG.sum(-1, keepdim=True) / group / tokens_P1
    return weights_PG / (size.num_responses / group)


def by_microbatch_tokens(lengths_PG: Tensor, advantages_PG: Tensor, size: BatchSize) -> Tensor:
    """1: the loss divides by its own micro-batch's tokens (TRL's "bnpo"), so the split into micro-batches matters."""
    return torch.ones_like(lengths_PG)


NORMALIZERS: dict[str, Callable[[Tensor, Tensor, BatchSize], Tensor]] = {
    "response_length": by_response_length,
    "constant": by_constant,
    "batch_tokens": by_batch_tokens,
    "responses": by_responses,
    "sign_balanced": by_sign,
    "microbatch_tokens": by_microbatch_tokens,
}


def response_weights(lengths_PG: Tensor, advantages_PG: Tensor, normalizer: Normalizer, size: BatchSize) -> Tensor:
    """The weight of each token of each response in the sum that is minimised.  [P, G] floating -> [P, G]

    0 for a response without tokens.  Raises ValueError for an unknown normalizer.
    """
    if normalizer not in NORMALIZERS:
        raise ValueError(f"normalizer {normalizer!r}: choose from {', '.join(NORMALIZERS)}")
    weights_PG = NORMALIZERS[normalizer](lengths_PG, advantages_PG, size)
    return weights_PG.masked_fill(lengths_PG == 0, 0.0)
