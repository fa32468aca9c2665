"""What the token losses of a batch are divided by: what makes GRPO favour short right and long wrong answers.

Letters: B responses in a micro-batch, T tokens of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Normalizer = Literal["response_length", "constant", "batch_tokens"]


@dataclass(frozen=True)
class BatchSize:
    """Counts over everything that enters one optimizer step, taken before micro-batches or ranks split it."""

    num_responses: int
    num_tokens: int  # response tokens that are learned
    max_tokens: int  # the response limit M: a constant, not the longest response seen


def token_weights(mask_BT: Tensor, normalizer: Normalizer, size: BatchSize) -> Tensor:
    """The weight of each token's loss in the sum that is minimised.  [B, T] zeros and ones, floating -> [B, T]

    response_length: 1 / (num_responses * L_i)    GRPO, mean of per-response means (arXiv:2402.03300, equation 3)
    constant:        1 / (num_responses * M)      Dr. GRPO (arXiv:2503.20783, section 3.2)
    batch_tokens:    1 / num_tokens               token mean of DAPO (arXiv:2503.14476, equation 8)

    `size` is global, so any split into micro-batches or ranks sums to the same loss.
    """
    if normalizer == "response_length":
        lengths_B1 = mask_BT.sum(-1, keepdim=True).clamp(min=1)
        return mask_BT / (size.num_responses * lengths_B1)
    if normalizer == "constant":
        return mask_BT / (size.num_responses * size.max_tokens)
    if normalizer == "batch_tokens":
        return mask_BT / size.num_tokens
    raise ValueError(f"normalizer {normalizer!r}: choose from response_length, constant, batch_tokens")
