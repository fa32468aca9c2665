"""From rewards to what the learner needs: an advantage and a weight for every response, before the batch is split.

Letters: P problems, G responses to each, B responses, T tokens of the longest.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from r1zero.objectives import BatchSize, Objective
from r1zero.objectives.divergence import ESTIMATORS
from r1zero.objectives.entropy import entropy_threshold
from r1zero.objectives.ratios import inside
from r1zero.records import Rollout
from r1zero.training.batching import Group, PerToken
from r1zero.training.ranks import rows_of_all, total


def as_group(rollouts: list[Rollout], *, masked: bool = False) -> Group:
    """One problem's rollouts, as the learner needs them; `masked` leaves out those cut at the limit."""
    prompt = rollouts[0].prompt
    return Group(
        prompt.problem.id,
        prompt.token_ids,
        responses=tuple(r.response.token_ids for r in rollouts),
        advantages=(0.0,) * len(rollouts),
        rewards=tuple(r.reward for r in rollouts),
        correct=tuple(r.grade.correct for r in rollouts),
        left_out=tuple(r.response.finish_reason == "length" for r in rollouts) if masked else None,
        sampler_logprobs=tuple(r.response.logprobs for r in rollouts),
        images=prompt.images,
    )


def with_advantages(rollouts_PG: list[list[Rollout]], groups: list[Group]) -> list[Rollout]:
    """All rollouts of a step in a row, each with its advantage."""
    return [
        replace(rollout, advantage=advantage)
        for rollouts, group in zip(rollouts_PG, groups, strict=True)
        for rollout, advantage in zip(rollouts, group.advantages, strict=True)
    ]


def credited(groups: Sequence[Group], objective: Objective) -> list[Group]:
    """The groups with their advantages, and with value targets and token advantages where the objective has them.

    Whatever is taken over the whole step (whitening, batch scales) is taken over all ranks; one of them may be without
    groups.
    """
    if not total(len(groups)):
        return []
    groups = _only_uncertain_tokens(groups, objective)
    rewards_PG = torch.tensor([group.rewards for group in groups], dtype=torch.float64)
    if objective.by_token:
        return _credited_by_token(groups, rewards_PG, objective)
    if objective.kl_in == "reward" and objective.kl_coef > 0:
        rewards_PG = rewards_PG - objective.kl_coef * _divergence(groups, objective)
    values_PG = _first_values(groups) if objective.baseline == "prompt_value" else None
    all_rewards, own = rows_of_all(rewards_PG)
    all_lengths, _ = rows_of_all(learned_lengths(groups))
    all_values = rows_of_all(values_PG)[0] if values_PG is not None else None
    advantages_PG = objective.advantages(all_rewards, all_lengths, all_values)[own]
    made = [replace(g, advantages=tuple(row)) for g, row in zip(groups, advantages_PG.tolist(), strict=True)]
    return _with_prompt_targets(made, rewards_PG) if objective.baseline == "prompt_value" else made


def weighed(groups: Sequence[Group], objective: Objective, max_tokens: int) -> list[Group]:
    """The groups of one optimizer step with the weight of each response's tokens in its loss."""
    lengths_PG = learned_lengths(groups)
    size = step_size(lengths_PG, max_tokens)  # what a rank without groups must take part in, too
    if not groups:
        return []
    advantages_PG = torch.tensor([group.advantages for group in groups], dtype=torch.float64)
    weights_PG = objective.weights(lengths_PG, advantages_PG, size).tolist()
    made = [
        replace(g, weights=tuple(w * factor for w, factor in zip(row, g.importance or (1.0,) * len(row), strict=True)))
        for g, row in zip(groups, weights_PG, strict=True)
    ]
    return [replace(g, value_weights=_value_weights(g, objective, size)) for g in made] if objective.critic else made


def _value_weights(group: Group, objective: Objective, size: BatchSize) -> PerToken:
    """Of every token in the error of the value head; of the first alone where the head reads the prompt."""
    if objective.baseline == "token_value":
        each = 1 / max(size.num_tokens, 1)
        return tuple((each,) * len(ids) for ids in group.responses)
    return tuple((1 / size.num_responses,) + (0.0,) * (len(ids) - 1) for ids in group.responses)


def with_shadows(groups: Sequence[Group], shadows: Sequence[Objective], max_tokens: int) -> list[Group]:
    """The groups of one optimizer step with what other objectives would give each response: (advantage, weight)."""
    tables = []
    for shadow in shadows:
        other = weighed(credited(groups, shadow), shadow, max_tokens)
        tables.append([list(zip(g.advantages, g.weights, strict=True)) for g in other])
    return [
        replace(group, shadow_credits=tuple(zip(*(table[p] for table in tables), strict=True)))
        for p, group in enumerate(groups)
    ]


def learned_lengths(groups: Sequence[Group]) -> Tensor:
    """Tokens of each response, 0 where it is left out.  -> [P, G]"""
    return torch.tensor(
        [
            [
                0 if out else len(ids)
                for ids, out in zip(g.responses, g.left_out or [False] * len(g.responses), strict=True)
            ]
            for g in groups
        ],
        dtype=torch.float64,
    )


def step_size(lengths_PG: Tensor, max_tokens: int) -> BatchSize:
    """The counts of an optimizer step, over all ranks."""
    return BatchSize(int(total(lengths_PG.numel())), int(total(float(lengths_PG.sum()))), max_tokens)


def with_gradient(groups: Sequence[Group], objective: Objective, shadows: Sequence[Objective] = ()) -> list[Group]:
    """The responses that add to the gradient; the others are counted in the weights but need not be computed."""
    kept = [
        (group, [r for r in range(len(group.responses)) if _learns(group, r, objective, shadows)]) for group in groups
    ]
    return [group.keep(rows) for group, rows in kept if rows]


def _learns(group: Group, row: int, objective: Objective, shadows: Sequence[Objective]) -> bool:
    if group.left_out and group.left_out[row]:
        return False
    if not objective.ignores(group.advantages[row]):
        return True
    others = group.shadow_credits[row] if group.shadow_credits else ()
    return any(not shadow.ignores(advantage) for shadow, (advantage, _) in zip(shadows, others, strict=False))


# ---------------------------------------------------------------------------------------------------------------------
# Token by token


def _credited_by_token(groups: Sequence[Group], rewards_PG: Tensor, objective: Objective) -> list[Group]:
    lengths_B = learned_lengths(groups).flatten()
    widths, _ = rows_of_all(lengths_B.max(0, keepdim=True).values if len(groups) else lengths_B)
    mask_BT = _mask(lengths_B, int(widths.max()))  # as wide on every rank
    values_BT = _padded([g.values for g in groups], mask_BT) if objective.baseline == "token_value" else None
    pays = objective.kl_in == "reward" and objective.kl_coef > 0
    kl_BT = _token_divergence(groups, objective, mask_BT) if pays else None
    rewards_B, own = rows_of_all(rewards_PG.flatten())
    parts = [None if x is None else rows_of_all(x)[0] for x in (mask_BT, values_BT, kl_BT)]
    advantages_BT = objective.token_advantages(rewards_B, *parts)[own]  # type: ignore[arg-type]
    by_token = _unpadded(advantages_BT, groups)
    made = [
        replace(g, token_advantages=rows, advantages=tuple(sum(row) / max(len(row), 1) for row in rows))
        for g, rows in zip(groups, by_token, strict=True)
    ]
    if values_BT is None:
        return made
    plain = replace(objective, batch_scale="none")  # targets are returns: advantages before any whitening, plus values
    targets_BT = plain.token_advantages(rewards_B, *parts)[own] + values_BT  # type: ignore[arg-type]
    targets = _unpadded(targets_BT, groups)
    return [replace(group, value_targets=rows) for group, rows in zip(made, targets, strict=True)]


def _with_prompt_targets(groups: Sequence[Group], rewards_PG: Tensor) -> list[Group]:
    """The value head reads the prompt alone: only the first response token's value is trained, towards the reward."""
    targets = [
        tuple((reward,) * len(ids) for reward, ids in zip(rewards, group.responses, strict=True))
        for group, rewards in zip(groups, rewards_PG.tolist(), strict=True)
    ]
    return [replace(group, value_targets=rows) for group, rows in zip(groups, targets, strict=True)]


def _first_values(groups: Sequence[Group]) -> Tensor:
    """The value head's expectation of each prompt, the same for its whole group.  -> [P, G]"""
    return torch.tensor([[row[0] for row in _given(g.values, "values")] for g in groups], dtype=torch.float64)


def _divergence(groups: Sequence[Group], objective: Objective) -> Tensor:
    """Summed over a response's tokens, nats.  -> [P, G]"""
    lengths_B = torch.tensor([len(ids) for g in groups for ids in g.responses])
    mask_BT = _mask(lengths_B, int(lengths_B.max()) if len(groups) else 0)
    return _token_divergence(groups, objective, mask_BT).sum(-1).view(len(groups), -1)


def _token_divergence(groups: Sequence[Group], objective: Objective, mask_BT: Tensor) -> Tensor:
    old_BT = _padded([g.old_logprobs for g in groups], mask_BT)
    reference_BT = _padded([g.reference_logprobs for g in groups], mask_BT)
    return ESTIMATORS[objective.kl_estimator](old_BT, reference_BT) * mask_BT


def _mask(lengths_B: Tensor, width: int) -> Tensor:
    return (torch.arange(width) < lengths_B[:, None]).double()


def _unpadded(values_BT: Tensor, groups: Sequence[Group]) -> list[PerToken]:
    """[B, T] -> for each group its responses' own tokens."""
    rows = iter(values_BT)
    return [tuple(tuple(next(rows)[: len(ids)].tolist()) for ids in group.responses) for group in groups]


def _padded(values: Sequence[PerToken | None], mask_BT: Tensor) -> Tensor:
    """A number a token of each response, 0 outside the mask.  -> [B, T]"""
    given = [_given(group, "token values") for group in values]
    lengths_B = torch.tensor([len(row) for group in given for row in group], dtype=torch.int64)
    width = max(mask_BT.shape[1], int(lengths_B.max()) if len(lengths_B) else 0)
    padded_BT = torch.zeros(len(lengths_B), width, dtype=torch.float64)
    padded_BT[torch.arange(width) < lengths_B[:, None]] = _in_a_row(given)
    return inside(padded_BT[:, : mask_BT.shape[1]], mask_BT)


def _in_a_row(values: Sequence[PerToken]) -> Tensor:
    """The tokens of all responses one after the other.  -> [N]"""
    flat = itertools.chain.from_iterable(row for group in values for row in group)
    return torch.from_numpy(np.fromiter(flat, np.float64))


def _given(values: PerToken | None, what: str) -> PerToken:
    if values is None:
        raise ValueError(f"the groups have no {what}: score them with the learner first")
    return values


def _only_uncertain_tokens(groups: Sequence[Group], objective: Objective) -> list[Group]:
    """Marks the tokens of highest entropy, over all ranks, as those that learn (objective.top_entropy)."""
    if objective.top_entropy >= 1:
        return list(groups)
    entropies = [_given(group.entropies, "entropies") for group in groups]
    entropies_N = _in_a_row(entropies)
    bar = entropy_threshold(rows_of_all(entropies_N)[0], objective.top_entropy)
    learns = iter((entropies_N >= bar).double().split([len(row) for group in entropies for row in group]))
    rows = [tuple(tuple(next(learns).tolist()) for _ in group) for group in entropies]
    return [replace(group, learns=own) for group, own in zip(groups, rows, strict=True)]
