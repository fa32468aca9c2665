"""The one small record through which every loss is audited, and what a loss must offer.

Letters: P problems, G responses to each, B = P G responses, T tokens of the padded width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

LOGPROB = -1.25  # of every token, nats: a loss's gradient must not depend on it


@dataclass(frozen=True)
class ProbeBatch:
    """The responses of one optimizer step, as a loss under audit meets them.

    Example: ProbeBatch(rewards_PG=tensor([[1., 0.]]), lengths_PG=tensor([[4., 8.]]), max_tokens=16, width=16)
    """

    rewards_PG: Tensor
    lengths_PG: Tensor  # tokens, whole numbers in floating point
    max_tokens: int  # the response limit M
    width: int  # columns of a padded micro-batch, at least the longest response
    microbatches: tuple[tuple[int, ...], ...] = ()  # which rows of B each holds; none given: one micro-batch of all
    log_ratio_BT: Tensor | None = None  # log pi - log pi_old, [B, 1] or [B, T]; none given: on policy
    padding: Literal["right", "left"] = "right"  # on which side of the responses

    @property
    def size(self) -> tuple[int, int]:
        """B and T."""
        return self.rewards_PG.numel(), self.width

    @property
    def group_size(self) -> int:
        return self.rewards_PG.shape[1]

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """The rows of each micro-batch."""
        return self.microbatches or (tuple(range(self.rewards_PG.numel())),)

    def mask(self) -> Tensor:
        """1 on the responses' own tokens."""
        place_T = torch.arange(self.width)
        if self.padding == "left":
            place_T = self.width - 1 - place_T
        return (place_T < self.lengths_PG.flatten()[:, None]).to(self.rewards_PG.dtype)

    def logprobs(self) -> Tensor:
        return torch.full(self.size, LOGPROB, dtype=self.rewards_PG.dtype)

    def old_logprobs(self) -> Tensor:
        return self.logprobs() if self.log_ratio_BT is None else self.logprobs() - self.log_ratio_BT


class LossUnderAudit(Protocol):
    """What the probes ask of a loss, wherever it comes from."""

    @property
    def name(self) -> str: ...

    @property
    def pads_left(self) -> bool:
        """Whether it can be given responses padded on the left."""
        ...

    @property
    def note(self) -> str:
        """What a reader must know of how it is audited; "" for nothing."""
        ...

    def token_weights(self, batch: ProbeBatch) -> Tensor:
        """How hard each token's log-probability is pushed up: -d loss / d log pi, over all micro-batches.  -> [B, T]"""
        ...


def pushed_up(batch: ProbeBatch, loss: Callable[[tuple[int, ...], Tensor], Tensor]) -> Tensor:
    """-d loss / d log pi of every token.  [B, T]

    `loss(rows, logprobs)` is called once a micro-batch with that micro-batch's log-probabilities; the gradients are
    added, as backward passes without an optimizer step between them do.
    """
    weights_BT = torch.zeros(batch.size, dtype=batch.rewards_PG.dtype)
    for rows in batch.parts:
        leaf_BT = batch.logprobs()[list(rows)].requires_grad_()
        value = loss(rows, leaf_BT)
        if not value.requires_grad:
            continue  # a micro-batch without gradient
        (gradient_BT,) = torch.autograd.grad(value, leaf_BT, allow_unused=True)
        if gradient_BT is not None:
            weights_BT[list(rows)] -= gradient_BT
    return weights_BT


def own_tokens(weights_BT: Tensor, batch: ProbeBatch) -> list[Tensor]:
    """The weights of each response's own tokens, without the padding.  [B, T] -> B tensors of [L]"""
    return [weights_T[mask_T > 0] for weights_T, mask_T in zip(weights_BT, batch.mask(), strict=True)]


def response_means(loss: LossUnderAudit, batch: ProbeBatch) -> Tensor:
    """The mean weight of a token of each response.  [B]"""
    return torch.stack([tokens.mean() for tokens in own_tokens(loss.token_weights(batch), batch)])


def rewards(group_size: int, num_problems: int, num_correct: int | None = None) -> Tensor:
    """0/1 rewards, right answers first; without `num_correct` half of each group.  [P, G]

    >>> rewards(5, 1).tolist(), rewards(4, 1, 1).tolist()
    ([[1.0, 1.0, 0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]])
    """
    right = group_size // 2 if num_correct is None else num_correct
    return torch.tensor([[1.0] * right + [0.0] * (group_size - right)] * num_problems, dtype=torch.float64)


def relative_change(before: Tensor, after: Tensor) -> float:
    """The largest difference as a share of the largest weight before; 0 where both are 0 throughout."""
    scale = float(before.abs().max())
    gap = float((after - before).abs().max())
    return gap / scale if scale > 0 else (0.0 if gap == 0 else float("inf"))


def split_rows(num_rows: int, parts: int) -> tuple[tuple[int, ...], ...]:
    """`parts` micro-batches of equally many rows, in order.

    >>> split_rows(4, 2)
    ((0, 1), (2, 3))
    """
    each = num_rows // parts
    return tuple(tuple(range(first, first + each)) for first in range(0, each * parts, each))


def doubled(lengths_PG: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
    """The lengths with those at `places` (problem, response) twice as long."""
    longer_PG = lengths_PG.clone()
    for problem, response in places:
        longer_PG[problem, response] *= 2
    return longer_PG
