"""Groups of responses, cut into micro-batches by a budget of tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from r1zero.models.packing import Tree

T = TypeVar("T")
PerToken = tuple[tuple[float, ...], ...]  # a number for each token of each response


@dataclass(frozen=True)
class Group:
    """One prompt and its responses, as the learner needs them.  Lists run over the responses, in the same order.

    Example: Group("countdown:7", (5, 9), responses=((4, 2), (8, 8, 2)), advantages=(0.5, -0.5), weights=(0.2, 0.2))
    """

    problem_id: str
    prompt_ids: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]  # token ids, the end token included
    advantages: tuple[float, ...]  # the mean over tokens where they differ
    weights: tuple[float, ...] = ()  # of each token in the loss of the optimizer step
    importance: tuple[float, ...] = ()  # factors on the weights, where a group is replayed
    rewards: tuple[float, ...] = ()
    correct: tuple[bool, ...] | None = None
    left_out: tuple[bool, ...] | None = None  # neither learned nor counted (objective.overlong "mask")
    sampler_logprobs: PerToken | None = None  # nats, as the engine drew them
    old_logprobs: PerToken | None = None  # nats, by the learner before the step's first update
    reference_logprobs: PerToken | None = None  # nats, by the reference
    entropies: PerToken | None = None  # nats, by the learner before the step's first update
    values: PerToken | None = None  # by the value head before the step's first update
    token_advantages: PerToken | None = None  # where a response's tokens do not share one
    value_targets: PerToken | None = None
    value_weights: PerToken | None = None
    learns: PerToken | None = None  # 0 on tokens left out of the policy gradient (objective.top_entropy)
    shadow_credits: tuple[tuple[tuple[float, float], ...], ...] | None = None  # (advantage, weight) by other objectives
    images: tuple[str, ...] = ()  # pictures in the prompt

    @property
    def tree(self) -> Tree:
        return Tree(self.prompt_ids, self.responses)

    @property
    def num_tokens(self) -> int:
        return self.tree.num_tokens

    def keep(self, rows: Sequence[int]) -> Group:
        """The group with only these of its responses."""
        kept: dict[str, Any] = {}
        for name in (f.name for f in fields(self) if f.name not in ("problem_id", "prompt_ids", "images")):
            if values := getattr(self, name):
                kept[name] = tuple(values[r] for r in rows)
        return replace(self, **kept)


def token_mean(groups: Sequence[Group]) -> list[Group]:
    """The groups with every token weighing the same: 1 over all response tokens."""
    weight = 1 / max(sum(len(ids) for group in groups for ids in group.responses), 1)
    return [replace(group, weights=(weight,) * len(group.responses)) for group in groups]


def microbatches(groups: Sequence[Group], budget: int) -> list[list[Group]]:
    """Groups gathered until they hold `budget` tokens; a group larger than that is cut between its responses.

    A single sequence longer than the budget makes a micro-batch of its own.
    """
    batches: list[list[Group]] = []
    tokens = budget
    for group in groups:
        for piece in _pieces(group, budget):
            if tokens + piece.num_tokens > budget:
                batches.append([])
                tokens = 0
            batches[-1].append(piece)
            tokens += piece.num_tokens
    return batches


def split_evenly(groups: Sequence[T], parts: int) -> list[list[T]]:
    """`parts` consecutive runs of groups, sizes differing by at most one: one optimizer step each."""
    bounds = [len(groups) * i // parts for i in range(parts + 1)]
    return [list(groups[a:b]) for a, b in itertools.pairwise(bounds) if b > a]


def _pieces(group: Group, budget: int) -> list[Group]:
    if group.num_tokens <= budget:
        return [group]
    pieces: list[list[int]] = []
    tokens = budget
    for row, ids in enumerate(group.responses):
        if tokens + len(ids) > budget:
            pieces.append([])
            tokens = len(group.prompt_ids)
        pieces[-1].append(row)
        tokens += len(ids)
    return [group.keep(rows) for rows in pieces]
