"""A world small enough to write down: every sequence a policy can produce, with its exact probability.

Letters: S sequences, T tokens, N groups (tuples of G sequences), V = 3 tokens a, b, end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from r1zero.objectives import BatchSize, Objective, TokenBatch

A, B, END = range(3)
START = 2  # the row of the logits that the first token is drawn from; rows 0 and 1 follow an a and a b


@dataclass(frozen=True)
class World:
    """All sequences over {a, b, end} of at most `max_tokens` tokens, and the bigram policies over them.

    At 4 tokens there are 31: 15 that end, and 16 cut at the limit.  A policy is logits [3, 3], a row for what went
    before (a, b, start) and a column for what comes next (a, b, end).
    """

    tokens_ST: Tensor
    mask_ST: Tensor
    max_tokens: int

    @property
    def lengths(self) -> Tensor:
        """In tokens, the end included.  [S]"""
        return self.mask_ST.sum(-1)

    @property
    def ended(self) -> Tensor:
        """Whether the sequence ended before the limit cut it.  [S]"""
        return ((self.tokens_ST == END) & (self.mask_ST > 0)).any(-1)

    @property
    def contexts(self) -> Tensor:
        """The row of the logits that each token is drawn from.  [S, T]"""
        return torch.cat([torch.full_like(self.tokens_ST[:, :1], START), self.tokens_ST[:, :-1].clamp(max=B)], -1)

    def rewards(self, num_b: int = 1) -> Tensor:
        """1 for a sequence that ended after exactly this many b's.  [S]"""
        count_S = ((self.tokens_ST == B) & (self.mask_ST > 0)).sum(-1)
        return (self.ended & (count_S == num_b)).double()

    def logprobs(self, logits: Tensor) -> Tensor:
        """log pi of each token, 0 outside the mask.  [S, T]"""
        return logits.log_softmax(-1)[self.contexts, self.tokens_ST] * self.mask_ST

    def probs(self, logits: Tensor) -> Tensor:
        """The chance of each sequence; they add up to 1.  [S]"""
        return self.logprobs(logits).sum(-1).exp()

    def mean(self, values_S: Tensor, logits: Tensor) -> Tensor:
        """E[values] under the policy, which its gradient goes through."""
        return (self.probs(logits) * values_S).sum()

    def gradient_of_mean(self, values_S: Tensor, logits: Tensor) -> Tensor:
        """grad E[values], the values held fixed.  -> [9]"""
        return gradient(lambda theta: self.mean(values_S, theta), logits)

    def prefix_mean(self, values_S: Tensor, logits: Tensor) -> Tensor:
        """E[values | the tokens before the t-th], as it stands before each token is drawn.  [S] -> [S, T]"""
        probs_S = self.probs(logits)
        means_ST = torch.zeros_like(self.mask_ST)
        for t in range(self.max_tokens):
            same_SS = (self.tokens_ST[:, None, :t] == self.tokens_ST[None, :, :t]).all(-1).double()
            means_ST[:, t] = (same_SS @ (probs_S * values_S)) / (same_SS @ probs_S)
        return means_ST * self.mask_ST

    def groups(self, size: int) -> Tensor:
        """Every group of `size` sequences, in order: N = S^G of them.  [N, G]"""
        return torch.cartesian_prod(*[torch.arange(len(self.tokens_ST))] * size).reshape(-1, size)

    def expected_update(
        self,
        objective: Objective,
        rewards_S: Tensor,
        logits: Tensor,
        group_size: int,
        *,
        old: Tensor | None = None,
        sampler: Tensor | None = None,
        reference: Tensor | None = None,
        advantages_NG: Tensor | None = None,
    ) -> Tensor:
        """Minus the expected gradient of the objective's loss over every group of an optimizer step of one problem.

        Policies are logits [3, 3].  Groups are drawn from `sampler`, else from `old`, else from the policy itself;
        `reference` is that of the divergence.  `advantages_NG` ([N, G], or [N G, T] by token) stands in for the
        objective's own.  The loss is linear in its weights, so one pass over all groups, each weighted by its chance,
        is exact; `microbatch_tokens` alone is not, and has no place here.  -> [9]
        """
        old = logits if old is None else old
        source = old if sampler is None else sampler
        groups_NG = self.groups(group_size)
        chances_N = self.probs(source).detach()[groups_NG].prod(-1)
        lengths_NG = self.lengths[groups_NG]
        if advantages_NG is None:
            advantages_NG = objective.advantages(rewards_S[groups_NG], lengths_NG)
        by_token = advantages_NG.shape != groups_NG.shape
        weights_NG = self.weights(objective, lengths_NG, torch.zeros_like(lengths_NG) if by_token else advantages_NG)
        rows, theta = groups_NG.flatten(), logits.detach().clone().requires_grad_()
        tokens = TokenBatch(
            logprobs_BT=self.logprobs(theta)[rows],
            old_logprobs_BT=self.logprobs(old.detach())[rows],
            mask_BT=self.mask_ST[rows],
            advantages_BT=advantages_NG if by_token else advantages_NG.reshape(-1, 1),
            weights_B=(weights_NG * chances_N[:, None]).flatten(),
            sampler_logprobs_BT=None if sampler is None else self.logprobs(sampler.detach())[rows],
            reference_logprobs_BT=None if reference is None else self.logprobs(reference.detach())[rows],
        )
        loss, _ = objective.loss(tokens)
        return -torch.autograd.grad(loss, theta)[0].flatten()

    def weights(self, objective: Objective, lengths_NG: Tensor, advantages_NG: Tensor) -> Tensor:
        """Each group's token weights, as if it were the whole optimizer step.  [N, G] -> [N, G]"""
        weights_NG = torch.empty_like(lengths_NG)
        totals_N = lengths_NG.sum(-1)
        for total in totals_N.unique():
            rows = totals_N == total
            size = BatchSize(lengths_NG.shape[-1], int(total), self.max_tokens)
            weights_NG[rows] = objective.weights(lengths_NG[rows], advantages_NG[rows], size)
        return weights_NG


def gradient(function: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """Of a scalar function at these logits.  -> [9]"""
    theta = logits.detach().clone().requires_grad_()
    return torch.autograd.grad(function(theta), theta)[0].flatten()


def make_world(max_tokens: int) -> World:
    rows = []
    for length in range(1, max_tokens + 1):
        rows += [(*start, END) for start in itertools.product((A, B), repeat=length - 1)]
    rows += list(itertools.product((A, B), repeat=max_tokens))
    tokens_ST = torch.tensor([[*row, *(END,) * (max_tokens - len(row))] for row in rows])
    mask_ST = torch.tensor([[1.0] * len(row) + [0.0] * (max_tokens - len(row)) for row in rows], dtype=torch.float64)
    return World(tokens_ST, mask_ST, max_tokens)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def world() -> World:
    """31 sequences of at most 4 tokens."""
    return make_world(4)


@pytest.fixture(scope="session")
def world_of() -> Callable[[int], World]:
    """The world of at most so many tokens."""
    return make_world


@pytest.fixture(scope="session")
def small_world() -> World:
    """7 sequences of at most 2 tokens, for steps of several problems."""
    return make_world(2)


@pytest.fixture(scope="session")
def gradient_of() -> Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]:
    return gradient


@pytest.fixture(scope="session")
def policies() -> Callable[[int], Tensor]:
    """The logits [3, 3] of the policy of a number: any will do, the identities hold for all."""

    def logits(number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        return torch.randn(3, 3, dtype=torch.float64, generator=generator)

    return logits
