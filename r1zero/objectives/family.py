"""The table of objectives: each is a row of factors, an ablation is `dataclasses.replace` of one.

Letters: P problems, G responses to each, B responses in a micro-batch, T tokens of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from r1zero.config import ObjectiveConfig, nearest
from r1zero.objectives.advantages import group_advantages
from r1zero.objectives.aggregation import BatchSize, Normalizer, token_weights
from r1zero.objectives.ratios import clipped_surrogate, kl_k3


@dataclass(frozen=True)
class Objective:
    """What is maximised: advantage x clip x aggregation x divergence."""

    name: str
    divide_by_std: bool
    normalizer: Normalizer
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coef: float = 0.0

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """[P, G] -> [P, G]"""
        return group_advantages(rewards_PG, divide_by_std=self.divide_by_std)

    def loss(self, tokens: TokenBatch, size: BatchSize) -> tuple[Tensor, dict[str, Tensor]]:
        """The micro-batch's share of the loss, and sums over its tokens for the metrics.

        loss = - sum_BT w (min(r A, clip(r) A) - kl_coef k3),  w from `token_weights`.  Summed over all micro-batches of
        an optimizer step it is the loss of the step.
        """
        weights_BT = token_weights(tokens.mask_BT, self.normalizer, size)
        surrogate_BT, clipped_BT = clipped_surrogate(
            tokens.logprobs_BT,
            tokens.old_logprobs_BT,
            tokens.advantages_B,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
        )
        loss = -(weights_BT * surrogate_BT).sum()
        learned_BT = tokens.mask_BT.bool()
        positive_BT = learned_BT & (tokens.advantages_B[:, None] > 0)
        negative_BT = learned_BT & (tokens.advantages_B[:, None] < 0)
        sums = {
            "clipped_positive": (clipped_BT & positive_BT).sum(),
            "clipped_negative": (clipped_BT & negative_BT).sum(),
            "tokens_positive": positive_BT.sum(),
            "tokens_negative": negative_BT.sum(),
        }
        if tokens.reference_logprobs_BT is not None:
            kl_BT = kl_k3(tokens.logprobs_BT, tokens.reference_logprobs_BT)
            loss = loss + self.kl_coef * (weights_BT * kl_BT).sum()
            sums["kl_reference"] = (kl_BT.detach() * tokens.mask_BT).sum()
        return loss, sums

    def ignores(self, advantage: float) -> bool:
        """Whether a response with this advantage adds nothing to the gradient, and need not be computed."""
        return advantage == 0.0 and self.kl_coef == 0.0


@dataclass(frozen=True)
class TokenBatch:
    """What an objective sees of a micro-batch; zeros where the mask is 0."""

    logprobs_BT: Tensor  # of the policy being trained, with gradient; nats
    old_logprobs_BT: Tensor  # of the policy that is the ratio's denominator
    mask_BT: Tensor  # 1 on sampled tokens
    advantages_B: Tensor
    reference_logprobs_BT: Tensor | None = None  # of the frozen reference, where there is one


OBJECTIVES: dict[str, Objective] = {
    "grpo": Objective("grpo", divide_by_std=True, normalizer="response_length"),
    "dr_grpo": Objective("dr_grpo", divide_by_std=False, normalizer="constant"),
}


def build_objective(config: ObjectiveConfig) -> Objective:
    """The named row with the config's overrides laid on it.  Raises ValueError naming the nearest rows."""
    if config.name not in OBJECTIVES:
        raise ValueError(f"unknown objective {config.name!r}: {nearest(config.name, OBJECTIVES)}")
    overrides = {
        key: value
        for key in ("divide_by_std", "normalizer", "clip_low", "clip_high", "kl_coef")
        if (value := getattr(config, key)) is not None
    }
    return replace(OBJECTIVES[config.name], **overrides)


def likelihood_loss(tokens: TokenBatch, size: BatchSize) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean negative log-likelihood a token, in nats: what pretraining and supervised fine-tuning minimise."""
    return -(token_weights(tokens.mask_BT, "batch_tokens", size) * tokens.logprobs_BT).sum(), {}
