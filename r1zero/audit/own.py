"""r1zero's objectives under audit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from r1zero.audit.batch import ProbeBatch, pushed_up
from r1zero.objectives import BatchSize, Objective, TokenBatch

VALUE = 0.5  # what a value head is held to expect


@dataclass(frozen=True)
class ObjectiveUnderAudit:
    """A row of the table, taken the way the learner takes it: advantages, weights, then the loss of each micro-batch.

    A value head expects VALUE everywhere.  What acts before the objective (penalties for overlong responses, a
    divergence taken off the reward) is not part of the audit.
    """

    objective: Objective
    pads_left: bool = True

    @property
    def name(self) -> str:
        return self.objective.name

    @property
    def note(self) -> str:
        notes = []
        if self.objective.critic:
            notes.append(f"its value head is held to expect {VALUE:g} everywhere")
        if self.objective.power_end is not None:
            notes.append(f"audited at its first step, with power {self.objective.power:g}")
        if self.objective.overlong != "keep":
            notes.append("its treatment of overlong responses acts on rewards and is left out")
        return "; ".join(notes)

    def token_weights(self, batch: ProbeBatch) -> Tensor:
        objective = self.objective.at(0.0)
        advantages_PG, advantages_BT = self._advantages(objective, batch)
        lengths_PG = batch.lengths_PG
        size = BatchSize(lengths_PG.numel(), int(lengths_PG.sum()), batch.max_tokens)
        weights_B = objective.weights(lengths_PG, advantages_PG, size).flatten()
        mask_BT, old_BT = batch.mask(), batch.old_logprobs()

        def loss(rows: tuple[int, ...], logprobs_BT: Tensor) -> Tensor:
            at = list(rows)
            tokens = TokenBatch(
                logprobs_BT,
                old_BT[at],
                mask_BT[at],
                advantages_BT[at],
                weights_B[at],
                num_microbatches=len(batch.parts),
            )
            return objective.loss(tokens)[0]

        return pushed_up(batch, loss)

    @staticmethod
    def _advantages(objective: Objective, batch: ProbeBatch) -> tuple[Tensor, Tensor]:
        """Of responses, and of tokens: [P, G], and [B, 1] or [B, T]."""
        rewards_PG, mask_BT = batch.rewards_PG, batch.mask()
        if objective.by_token:
            values_BT = torch.full_like(mask_BT, VALUE) if objective.critic else None
            advantages_BT = objective.token_advantages(rewards_PG.flatten(), mask_BT, values_BT)
            means_B = advantages_BT.sum(-1) / mask_BT.sum(-1).clamp(min=1)
            return means_B.reshape(rewards_PG.shape), advantages_BT
        values_PG = torch.full_like(rewards_PG, VALUE) if objective.critic else None
        advantages_PG = objective.advantages(rewards_PG, batch.lengths_PG, values_PG)
        return advantages_PG, advantages_PG.flatten()[:, None]
