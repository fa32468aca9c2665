"""The table of objectives: each is a row of factors, an ablation is `dataclasses.replace` of one.

docs/objectives.md says for every row where its definition comes from and how sure it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from r1zero.config import ObjectiveConfig, nearest
from r1zero.objectives.objective import Objective, TokenBatch, masked_sum


def _row(name: str, **factors: Any) -> tuple[str, Objective]:
    return name, Objective(name, **factors)


OBJECTIVES: dict[str, Objective] = dict(
    (
        # the textbook
        _row("reinforce", baseline="none", normalizer="responses"),
        _row("rloo", baseline="leave_one_out", normalizer="responses"),
        _row("sign", baseline="sign", normalizer="responses"),
        _row("opo", baseline="length_weighted", normalizer="responses"),
        # GRPO and its cures, one factor at a time
        _row("grpo", divide_by_std=True),
        _row("grpo_no_std"),
        _row("grpo_no_length", divide_by_std=True, normalizer="constant"),
        _row("dr_grpo", normalizer="constant"),
        # other normalisers
        _row("dapo", divide_by_std=True, normalizer="batch_tokens", clip_high=0.28, overlong="soft"),
        _row("bnpo", divide_by_std=True, normalizer="microbatch_tokens"),
        _row("luspo", divide_by_std=True, ratio="sequence", clip_low=3e-4, clip_high=4e-4, normalizer="responses"),
        _row("balanced_aggregation", divide_by_std=True, normalizer="sign_balanced"),
        # other ratios and clips
        _row("gspo", divide_by_std=True, ratio="sequence", clip_low=3e-4, clip_high=4e-4),
        _row("gspo_token", divide_by_std=True, ratio="sequence_token", clip_low=3e-4, clip_high=4e-4),
        _row("hoelder", divide_by_std=True, ratio="power_mean", power=2.0, power_end=-2.0),
        _row("gmpo", divide_by_std=True, ratio="sequence", clip="log_token", clip_low=0.4, clip_high=0.4),
        _row("cispo", divide_by_std=True, clip="detached", clip_low=1.0, clip_high=4.0, normalizer="batch_tokens"),
        _row(
            "ctpo",
            divide_by_std=True,
            ratio="prefix",
            clip="log_sqrt",
            clip_low=0.025,
            clip_high=0.05,
            clip_dual=0.05,
            normalizer="batch_tokens",
        ),
        _row("sapo", divide_by_std=True, clip="gate"),
        # other advantages
        _row("gpg", batch_scale="nonzero_share", ratio="none", clip="none", normalizer="batch_tokens"),
        _row("max_rl", divide_by_mean=True, normalizer="constant"),
        _row("pass_at_k", baseline="runner_up", divide_by_std=True),
        _row("reinforce_pp", baseline="none", batch_scale="token_whitening", normalizer="batch_tokens"),
        _row("reinforce_pp_baseline", batch_scale="token_whitening", normalizer="batch_tokens"),
        # with a value head
        _row("sppo", baseline="prompt_value", normalizer="batch_tokens"),
        _row("ppo", baseline="token_value", batch_scale="token_whitening", normalizer="batch_tokens"),
    )
)


def build_objective(config: ObjectiveConfig) -> Objective:
    """The named row with the config's overrides laid on it.  Raises ValueError naming the nearest rows or factors."""
    if config.name not in OBJECTIVES:
        raise ValueError(f"unknown objective {config.name!r}: {nearest(config.name, OBJECTIVES)}")
    factors = [f.name for f in dataclasses.fields(Objective) if f.name != "name"]
    overrides = {key: value for key in factors if (value := getattr(config, key)) is not None}
    return replace(OBJECTIVES[config.name], **overrides)


USED_WHERE: dict[str, tuple[str, Callable[[Objective], bool]]] = {  # factors that others may leave without effect
    "power": ("ratio power_mean", lambda o: o.ratio == "power_mean"),
    "power_end": ("ratio power_mean", lambda o: o.ratio == "power_mean"),
    "clip_low": ("a clip with bounds", lambda o: o.clip not in ("none", "gate")),
    "clip_high": ("a clip with bounds", lambda o: o.clip not in ("none", "gate")),
    "clip_dual": ("clip ppo or log_sqrt", lambda o: o.clip in ("ppo", "log_sqrt")),
    "kl_estimator": ("kl_coef above 0", lambda o: o.kl_coef > 0),
    "kl_in": ("kl_coef above 0", lambda o: o.kl_coef > 0),
    "reference_every": ("kl_coef above 0", lambda o: o.kl_coef > 0),
    "correction_low": ("correction token_mask or sequence_mask", lambda o: o.correction.endswith("_mask")),
    "correction_high": ("a correction", lambda o: o.correction != "none"),
    "value_coef": ("a value head", lambda o: o.critic),
    "value_clip": ("a value head", lambda o: o.critic),
}


def without_effect(config: ObjectiveConfig) -> list[str]:
    """A sentence for every key that was set and changes nothing beside the other factors.

    >>> without_effect(ObjectiveConfig(name="grpo", power=2.0))
    ['objective.power=2.0 has no effect: it needs ratio power_mean']
    """
    objective = build_objective(config)
    return [
        f"objective.{key}={value} has no effect: it needs {need}"
        for key, (need, is_used) in USED_WHERE.items()
        if (value := getattr(config, key)) not in (None, 0) and not is_used(objective)
    ]


def shadow_row(name: str) -> Objective:
    """The row whose gradient is looked at beside the chosen one's.  Raises ValueError where that cannot be had."""
    if name not in OBJECTIVES:
        raise ValueError(f"objective.shadow={name!r}: {nearest(name, OBJECTIVES)}")
    row = OBJECTIVES[name]
    if row.critic or row.normalizer == "microbatch_tokens":
        raise ValueError(f"objective.shadow={name!r}: it needs a value head or a split of its own")
    return row


def likelihood_loss(tokens: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted negative log-likelihood, in nats: what pretraining and supervised fine-tuning minimise.

    With weights of 1 over all tokens of the step it is the mean a token.
    """
    return -masked_sum(tokens.weights_B[:, None] * tokens.logprobs_BT, tokens.mask_BT), {}
