"""An objective is a point in a product of factors; this file puts the factors together.

    objective = advantage x ratio level x clip x aggregation x divergence x sampler correction

Letters: P problems, G responses to each, B responses in a micro-batch, T tokens of the longest.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from r1zero.config import nearest
from r1zero.objectives import advantages as adv
from r1zero.objectives.aggregation import BatchSize, Normalizer, response_weights
from r1zero.objectives.clips import CLIPS, Clip, ClipRange, clip_log_tokens
from r1zero.objectives.correction import Correction, correction_weights, mismatch_sums
from r1zero.objectives.divergence import ESTIMATORS, Estimator
from r1zero.objectives.ratios import RATIOS, Ratio, inside, log_ratio
from r1zero.objectives.returns import generalized_advantages, returns_to_go, token_rewards, whitened


@dataclass(frozen=True)
class Objective:
    """What is maximised.  Each field is one factor; the functions behind the names are in the files beside this one."""

    name: str
    # advantage
    baseline: adv.Baseline = "group_mean"
    divide_by_std: bool = False  # by the group's
    divide_by_mean: bool = False  # by the group's
    batch_scale: adv.BatchScale = "none"
    gamma: float = 1.0  # discount a token
    gae_lambda: float = 1.0
    # ratio and clip
    ratio: Ratio = "token"
    power: float = 1.0  # of ratio "power_mean", at the first step ...
    power_end: float | None = None  # ... and at the last, linear between
    clip: Clip = "ppo"
    clip_low: float = 0.2
    clip_high: float = 0.2
    clip_dual: float | None = None
    # aggregation
    normalizer: Normalizer = "response_length"
    # divergence from the reference
    kl_coef: float = 0.0
    kl_estimator: Estimator = "k3"
    kl_in: Literal["loss", "reward"] = "loss"
    # sampler correction
    correction: Correction = "none"
    correction_low: float = 0.5
    correction_high: float = 2.0
    # responses cut at the limit
    overlong: Literal["keep", "zero", "soft", "mask"] = "keep"
    # entropy
    entropy_coef: float = 0.0
    entropy_target: float | None = None  # nats a token
    top_entropy: float = 1.0  # share of tokens that learn
    # value head
    value_coef: float = 0.5
    value_clip: float | None = 0.2

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            choices = typing.get_args(_HINTS[f.name])
            if choices and all(isinstance(choice, str) for choice in choices):
                value = getattr(self, f.name)
                if value not in choices:
                    raise ValueError(f"objective.{f.name}={value!r}: {nearest(str(value), choices)}")
        if self.divide_by_std and self.divide_by_mean:
            raise ValueError(f"objective {self.name}: divide_by_std and divide_by_mean exclude each other")
        if (self.divide_by_std or self.divide_by_mean) and self.critic:
            raise ValueError(f"objective {self.name}: baseline {self.baseline!r} has no group to divide by")
        if self.divide_by_std and self.baseline in ("none", "sign"):
            raise ValueError(
                f"objective {self.name}: divide_by_std with baseline {self.baseline!r} would divide by 0 where rewards "
                "are equal; use a baseline from the group, or batch_scale"
            )
        if self.batch_scale == "std" and self.baseline in ("none", "sign", "prompt_value"):
            raise ValueError(
                f"objective {self.name}: batch_scale std with baseline {self.baseline!r} would divide by 0 where all "
                "a step's rewards are all equal; use a baseline from the group, or token_whitening"
            )
        if self.by_token and self.batch_scale in ("std", "nonzero_share"):
            raise ValueError(
                f"objective {self.name}: batch_scale {self.batch_scale!r} scales whole responses, and each token has "
                "an advantage of its own here; use none or token_whitening"
            )
        if self.gae_lambda != 1 and self.baseline != "token_value":
            raise ValueError(f"objective.gae_lambda={self.gae_lambda}: only baseline token_value has a use for it")
        smallest_dual = 0.0 if self.clip == "log_sqrt" else 1.0
        if self.clip_dual is not None and not self.clip_dual > smallest_dual:
            raise ValueError(
                f"objective.clip_dual={self.clip_dual}: must be above {smallest_dual:g} with clip {self.clip}"
            )
        if not 0 < self.top_entropy <= 1:
            raise ValueError(f"objective.top_entropy={self.top_entropy}: must be above 0 and at most 1")
        if self.gamma != 1 and self.baseline not in ("none", "token_value"):
            raise ValueError(f"objective.gamma={self.gamma}: only baselines none and token_value discount by token")
        for key in ("clip_low", "clip_high", "kl_coef", "entropy_coef", "correction_high", "value_coef"):
            if not getattr(self, key) >= 0:
                raise ValueError(f"objective.{key}={getattr(self, key)}: must be at least 0")

    # -----------------------------------------------------------------------------------------------------------------
    # What it needs

    @property
    def critic(self) -> bool:
        """Whether a value head is trained beside the policy."""
        return self.baseline in adv.CRITICS

    @property
    def needs_group(self) -> bool:
        return self.baseline in adv.GROUP_BASELINES or self.divide_by_std or self.divide_by_mean

    @property
    def by_token(self) -> bool:
        """Whether a response's tokens have advantages of their own."""
        kl_by_token = self.kl_in == "reward" and self.kl_coef > 0 and self.baseline == "none"
        return self.baseline == "token_value" or self.gamma != 1 or kl_by_token

    @property
    def needs_reference(self) -> bool:
        return self.kl_coef > 0

    @property
    def needs_scoring(self) -> bool:
        """Whether old log-probabilities, values or entropies must be known before the first update of a step."""
        return self.critic or (self.kl_in == "reward" and self.kl_coef > 0) or self.top_entropy < 1

    @property
    def needs_entropy(self) -> bool:
        """Whether the entropy has a gradient."""
        return self.entropy_coef > 0 or self.entropy_target is not None

    def at(self, progress: float) -> Objective:
        """The objective at this share of the training, 0 to 1: `power` moves towards `power_end`."""
        if self.power_end is None:
            return self
        return replace(self, power=self.power + (self.power_end - self.power) * progress, power_end=None)

    def check_group(self, size: int) -> None:
        """Raises ValueError where `size` responses a problem are too few."""
        if self.needs_group and size < 2:
            raise ValueError(
                f"responses_per_problem={size}: objective {self.name} compares responses to the same problem and needs "
                "at least 2; baselines none, sign, prompt_value and token_value work with one"
            )

    def ignores(self, advantage: float) -> bool:
        """Whether a response with this advantage adds nothing to the gradient, and need not be computed.

        Never where its tokens have advantages of their own: those may cancel in the response's.
        """
        alone = self.normalizer != "microbatch_tokens" and not self.critic and not self.needs_entropy
        return advantage == 0.0 and alone and not self.by_token and not (self.kl_coef > 0 and self.kl_in == "loss")

    # -----------------------------------------------------------------------------------------------------------------
    # Before the split: advantages and weights, over the whole step

    def advantages(
        self, rewards_PG: Tensor, lengths_PG: Tensor | None = None, values_PG: Tensor | None = None
    ) -> Tensor:
        """How much each response is pushed up.  [P, G] -> [P, G]

        `lengths_PG` (tokens) is needed by baseline length_weighted and by token_whitening, `values_PG` (what the value
        head expects of the prompt) by baseline prompt_value.  Raises ValueError for a group too small, a reward that is
        not a number, or a missing argument.
        """
        self.check_group(rewards_PG.shape[-1])
        _check_finite(rewards_PG)
        if self.baseline == "prompt_value":
            if values_PG is None:
                raise ValueError("baseline prompt_value needs the value head's expectations")
            advantages_PG = rewards_PG - values_PG
        elif self.baseline == "token_value":
            raise ValueError("baseline token_value has an advantage for each token: use token_advantages")
        else:
            advantages_PG = adv.BASELINES[self.baseline](rewards_PG, lengths_PG)
        if self.divide_by_std:
            advantages_PG = adv.over_group_std(advantages_PG, rewards_PG, eps=1e-6)
        if self.divide_by_mean:
            advantages_PG = adv.over_group_mean(advantages_PG, rewards_PG)
        if self.batch_scale == "std":
            advantages_PG = adv.over_batch_std(advantages_PG, rewards_PG, eps=1e-6)
        elif self.batch_scale == "token_whitening":
            if lengths_PG is None:
                raise ValueError("batch_scale token_whitening needs the lengths of the responses")
            advantages_PG = adv.token_whitened(advantages_PG, lengths_PG)
        elif self.batch_scale == "nonzero_share":
            advantages_PG = adv.over_nonzero_share(advantages_PG)
        return advantages_PG

    def token_advantages(
        self, rewards_B: Tensor, mask_BT: Tensor, values_BT: Tensor | None = None, kl_BT: Tensor | None = None
    ) -> Tensor:
        """Advantages of single tokens, where they differ (`by_token`).  [B], [B, T] -> [B, T]

        The reward stands on the last token; with kl_in "reward" every token pays kl_coef times its divergence estimate.
        Baseline token_value: GAE.  Baseline none: the discounted return from the token on.
        """
        _check_finite(rewards_B)
        rewards_BT = token_rewards(rewards_B, mask_BT, kl_BT, self.kl_coef)
        if self.baseline == "token_value":
            if values_BT is None:
                raise ValueError("baseline token_value needs the value head's expectations")
            advantages_BT = generalized_advantages(
                rewards_BT, values_BT, mask_BT, gamma=self.gamma, lam=self.gae_lambda
            )
        else:
            advantages_BT = returns_to_go(rewards_BT, mask_BT, gamma=self.gamma)
        return whitened(advantages_BT, mask_BT) if self.batch_scale == "token_whitening" else advantages_BT

    def weights(self, lengths_PG: Tensor, advantages_PG: Tensor, size: BatchSize) -> Tensor:
        """The weight of each token of each response in the loss; `size` counts the optimizer step.  [P, G] -> [P, G]"""
        return response_weights(lengths_PG, advantages_PG, self.normalizer, size)

    # -----------------------------------------------------------------------------------------------------------------
    # After the split: the loss of a micro-batch

    def loss(self, tokens: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The micro-batch's share of the loss, and sums over its tokens for the metrics.

        loss = - sum_BT w (c S - kl_coef KL + entropy_coef H) + value_coef (value error), S the clipped surrogate and c
        the sampler correction.  Summed over all micro-batches of an optimizer step it is the loss of the step.  A token
        outside the mask counts for nothing, whatever stands there; a batch with no token inside gives exactly 0.
        """
        tokens = _without_padding(tokens)
        mask_BT, advantages_BT = tokens.mask_BT, tokens.advantages_BT
        weights_BT = self._token_weights(tokens)
        surrogate_BT, clipped_BT = self.surrogate(tokens.logprobs_BT, tokens.old_logprobs_BT, advantages_BT, mask_BT)
        sums = _clip_counts(clipped_BT, advantages_BT, mask_BT)
        if tokens.sampler_logprobs_BT is not None:
            factor_BT, affected_BT = correction_weights(
                tokens.old_logprobs_BT,
                tokens.sampler_logprobs_BT,
                mask_BT,
                self.correction,
                low=self.correction_low,
                high=self.correction_high,
            )
            surrogate_BT = surrogate_BT * factor_BT
            sums |= mismatch_sums(tokens.old_logprobs_BT, tokens.sampler_logprobs_BT, mask_BT)
            sums["corrected"] = affected_BT.sum()
        if tokens.learns_BT is not None:
            surrogate_BT = surrogate_BT * tokens.learns_BT
        loss = -masked_sum(weights_BT * surrogate_BT, mask_BT)
        if tokens.reference_logprobs_BT is not None and self.kl_coef > 0:
            kl_BT = ESTIMATORS[self.kl_estimator](tokens.logprobs_BT, tokens.reference_logprobs_BT)
            if self.kl_in == "loss":
                loss = loss + self.kl_coef * masked_sum(weights_BT * kl_BT, mask_BT)
            measured_BT = ESTIMATORS["k3"](tokens.logprobs_BT.detach(), tokens.reference_logprobs_BT)
            sums["kl_reference"] = masked_sum(measured_BT, mask_BT)
        if tokens.entropies_BT is not None and tokens.entropy_bonus > 0:
            loss = loss - tokens.entropy_bonus * masked_sum(weights_BT * tokens.entropies_BT, mask_BT)
        if tokens.values_BT is not None:
            error, value_sums = self._value_error(tokens)
            loss, sums = loss + self.value_coef * error, sums | value_sums
        return loss, sums

    def surrogate(
        self, logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What each token adds to the maximised sum before weights, and where the clip acted.  [B, T] each"""
        bounds = ClipRange(self.clip_low, self.clip_high, self.clip_dual)
        gap_BT = log_ratio(logprobs_BT, old_logprobs_BT, mask_BT)
        cut_BT = torch.zeros_like(gap_BT, dtype=torch.bool)
        if self.clip == "log_token":
            gap_BT, cut_BT = clip_log_tokens(gap_BT, advantages_BT, bounds)
        ratio_BT = RATIOS[self.ratio](gap_BT, mask_BT, self.power)
        surrogate_BT, clipped_BT = CLIPS[self.clip](ratio_BT, advantages_BT, mask_BT, bounds)
        return surrogate_BT, clipped_BT | cut_BT

    def _token_weights(self, tokens: TokenBatch) -> Tensor:
        weights_BT = tokens.weights_B[:, None].expand_as(tokens.mask_BT)
        if self.normalizer == "microbatch_tokens":
            return weights_BT / (tokens.mask_BT.sum().clamp(min=1) * tokens.num_microbatches)
        return weights_BT

    def _value_error(self, tokens: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Half the squared error of the value head, clipped around its former value as in PPO."""
        if tokens.value_targets_BT is None or tokens.value_weights_BT is None or tokens.values_BT is None:
            raise ValueError(f"objective {self.name}: the batch has values without their targets")
        square_BT = (tokens.values_BT - tokens.value_targets_BT) ** 2
        if self.value_clip is not None and tokens.old_values_BT is not None:
            moved_BT = (tokens.values_BT - tokens.old_values_BT).clamp(-self.value_clip, self.value_clip)
            square_BT = torch.maximum(square_BT, (tokens.old_values_BT + moved_BT - tokens.value_targets_BT) ** 2)
        error = 0.5 * masked_sum(tokens.value_weights_BT * square_BT, tokens.mask_BT)
        return error, {"value_error": error.detach()}


_HINTS = typing.get_type_hints(Objective, vars(adv) | globals())


@dataclass(frozen=True)
class TokenBatch:
    """What an objective sees of a micro-batch.  What stands where the mask is 0 does not matter."""

    logprobs_BT: Tensor  # of the policy being trained, with gradient; nats
    old_logprobs_BT: Tensor  # of the policy that is the ratio's denominator
    mask_BT: Tensor  # 1 on sampled tokens
    advantages_BT: Tensor  # [B, T], or [B, 1] where a response's tokens share one
    weights_B: Tensor  # of each response's tokens in the loss
    sampler_logprobs_BT: Tensor | None = None  # as the engine drew them
    reference_logprobs_BT: Tensor | None = None  # of the frozen reference, where there is one
    entropies_BT: Tensor | None = None  # with gradient where the objective has a bonus
    entropy_bonus: float = 0.0
    learns_BT: Tensor | None = None  # 0 on tokens left out of the policy gradient (top_entropy)
    values_BT: Tensor | None = None  # of the value head, with gradient
    old_values_BT: Tensor | None = None
    value_targets_BT: Tensor | None = None
    value_weights_BT: Tensor | None = None
    num_microbatches: int = 1  # of the whole step, over all ranks


def masked_sum(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Over the mask; what stands outside it, NaN too, does not count."""
    return inside(values_BT, mask_BT).sum()


def _without_padding(tokens: TokenBatch) -> TokenBatch:
    """Zeros wherever the mask is 0, so that a NaN there cannot reach a gradient by way of 0 * NaN."""
    names = [f.name for f in dataclasses.fields(tokens) if f.name.endswith("_BT") and f.name != "mask_BT"]
    cleaned: dict[str, Any] = {
        name: inside(values_BT, tokens.mask_BT) for name in names if (values_BT := getattr(tokens, name)) is not None
    }
    return replace(tokens, **cleaned)


def _check_finite(rewards: Tensor) -> None:
    finite = torch.isfinite(rewards)
    if not finite.all():
        raise ValueError(f"a reward is {rewards[~finite][0].item()}: rewards must be finite")


def _clip_counts(clipped_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor) -> dict[str, Tensor]:
    learned_BT = mask_BT > 0
    positive_BT, negative_BT = learned_BT & (advantages_BT > 0), learned_BT & (advantages_BT < 0)
    return {
        "clipped_positive": (clipped_BT & positive_BT).sum(),
        "clipped_negative": (clipped_BT & negative_BT).sum(),
        "tokens_positive": positive_BT.sum(),
        "tokens_negative": negative_BT.sum(),
    }
