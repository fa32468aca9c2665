"""The numbers of one step that follow from its rollouts, under the names explained in docs/metrics.md.

P problems, G responses each.  A number that is undefined (the mean length of an outcome nobody had) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from r1zero.analysis.groups import degenerate_predicted, degenerate_share
from r1zero.analysis.ledger import LengthReference, decompose_length, length_reference
from r1zero.analysis.redundancy import copied_share
from r1zero.config import RewardConfig
from r1zero.facts.cues import POOLS, CuePool, count_cues
from r1zero.grading.pool import is_failure, is_timeout
from r1zero.grading.reward import Overlong, keeps_form, reward_parts
from r1zero.records import OUTCOMES, Rollout
from r1zero.statistics.intervals import accuracy_interval


def rollout_metrics(
    rollouts: Sequence[Rollout],
    group_size: int,
    reference: LengthReference | None = None,
    pool: CuePool = POOLS["extended"],
) -> dict[str, float]:
    """Every metric of a training step that rollouts alone decide.

    `rollouts` are P groups of `group_size` in a row, as sampled; `reference` holds the initial model's lengths, against
    which the change is decomposed (NaN without it).  Raises ValueError when the rows are not such groups.
    """
    groups = _groups(rollouts, group_size)
    rewards = [rollout.reward for rollout in rollouts]
    return {
        "reward/mean": _mean(rewards),
        "reward/std": float(np.std(rewards)) if rewards else math.nan,
        **_outcome_metrics(rollouts),
        **_length_metrics(rollouts, reference),
        **_group_metrics(groups),
        **_reflection_metrics(rollouts, pool),
        "grading/timeouts": _mean(is_timeout(rollout.grade.reason) for rollout in rollouts),
        "grading/failures": _mean(is_failure(rollout.grade.reason) for rollout in rollouts),
    }


def reward_metrics(
    rollouts: Sequence[Rollout], config: RewardConfig, *, overlong: Overlong, max_tokens: int
) -> dict[str, float]:
    """Mean reward by cause, reward/part/{answer,form,tokens,overlong}; nothing where the answer is the only cause."""
    parts = [
        reward_parts(
            rollout.grade,
            rollout.response.finish_reason,
            config,
            overlong=overlong,
            num_tokens=rollout.response.num_tokens,
            max_tokens=max_tokens,
            in_form=bool(config.form) and keeps_form(rollout.response.text, rollout.prompt.text),
        )
        for rollout in rollouts
    ]
    names = list(dict.fromkeys(name for part in parts for name in part))
    if names in ([], ["answer"]):
        return {}
    return {f"reward/part/{name}": _mean(part.get(name, 0.0) for part in parts) for name in names}


def evaluation_metrics(rollouts: Sequence[Rollout], suite: str, pool: CuePool = POOLS["extended"]) -> dict[str, float]:
    """The metrics of a held-out evaluation, named eval/SUITE/...; accuracy is avg@k, clustered by problem."""
    correct: dict[str, list[bool]] = {}
    for rollout in rollouts:
        correct.setdefault(rollout.prompt.problem.id, []).append(rollout.grade.correct)
    accuracy = accuracy_interval([sum(c) for c in correct.values()], [len(c) for c in correct.values()])
    values = {
        "accuracy": accuracy.estimate,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "reward": _mean(rollout.reward for rollout in rollouts),
        "tokens_mean": _mean(rollout.response.num_tokens for rollout in rollouts),
        **_outcome_metrics(rollouts),
        "cue_share": _reflection_metrics(rollouts, pool)["reflection/cue_share"],
    }
    return {f"eval/{suite}/{name}": value for name, value in values.items()}


def _groups(rollouts: Sequence[Rollout], group_size: int) -> list[Sequence[Rollout]]:
    if group_size < 1 or len(rollouts) % group_size:
        raise ValueError(f"{len(rollouts)} rollouts are not groups of {group_size}")
    groups = [rollouts[i : i + group_size] for i in range(0, len(rollouts), group_size)]
    for group in groups:
        ids = {rollout.prompt.problem.id for rollout in group}
        if len(ids) > 1:
            raise ValueError(
                f"a group of {group_size} mixes the problems {', '.join(sorted(ids))}: keep groups in a row"
            )
    return groups


def _outcome_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    metrics = {}
    for outcome in OUTCOMES:
        tokens = [rollout.response.num_tokens for rollout in rollouts if rollout.outcome == outcome]
        metrics[f"outcome/{outcome}/share"] = len(tokens) / len(rollouts) if rollouts else math.nan
        metrics[f"outcome/{outcome}/tokens_mean"] = _mean(tokens)
    return metrics


def _length_metrics(rollouts: Sequence[Rollout], reference: LengthReference | None) -> dict[str, float]:
    tokens = [rollout.response.num_tokens for rollout in rollouts]
    copied = [copied_share(rollout.response.text) for rollout in rollouts]
    change = decompose_length(reference, length_reference(rollouts)) if reference and rollouts else None
    return {
        "response/tokens_mean": _mean(tokens),
        "response/tokens_p95": float(np.quantile(tokens, 0.95)) if tokens else math.nan,
        "response/tokens_max": float(max(tokens)) if tokens else math.nan,
        "response/copied_share": _mean(share for share in copied if not math.isnan(share)),
        "response/change": change.total if change else math.nan,
        "response/change_within": change.within_total if change else math.nan,
        "response/change_mix": change.mix_total if change else math.nan,
    }


def _group_metrics(groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
    rewards_PG = [[rollout.reward for rollout in group] for group in groups]
    return {
        "group/degenerate_share": degenerate_share(rewards_PG),
        "group/degenerate_predicted": degenerate_predicted(rewards_PG),
        "group/all_correct_share": _mean(all(rollout.grade.correct for rollout in group) for group in groups),
        "group/all_wrong_share": _mean(not any(rollout.grade.correct for rollout in group) for group in groups),
    }


def _reflection_metrics(rollouts: Sequence[Rollout], pool: CuePool) -> dict[str, float]:
    counts = [count_cues(rollout.response.text, pool) for rollout in rollouts]
    right = [rollout.grade.correct for rollout in rollouts]
    return {
        "reflection/cue_share": _mean(count > 0 for count in counts),
        "reflection/cue_share_correct": _mean(c > 0 for c, r in zip(counts, right, strict=True) if r),
        "reflection/cue_share_incorrect": _mean(c > 0 for c, r in zip(counts, right, strict=True) if not r),
        "reflection/cues_per_response": _mean(counts),
    }


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values) if values else math.nan
