"""Groups of responses, cut into micro-batches by a budget of tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from r1zero.models.packing import Tree
from r1zero.objectives import BatchSize


@dataclass(frozen=True)
class Group:
    """One prompt and its responses, as the learner needs them.

    Example: Group("countdown:7", (5, 9), responses=((4, 2), (8, 8, 2)), advantages=(0.5, -0.5))
    """

    problem_id: str
    prompt_ids: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]  # token ids, the end token included
    advantages: tuple[float, ...]
    sampler_logprobs: tuple[tuple[float, ...], ...] | None = None  # nats, as the engine drew them
    old_logprobs: tuple[tuple[float, ...], ...] | None = None  # nats, by the learner before the step's first update

    @property
    def tree(self) -> Tree:
        return Tree(self.prompt_ids, self.responses)

    @property
    def num_tokens(self) -> int:
        return self.tree.num_tokens

    def keep(self, rows: Sequence[int]) -> Group:
        """The group with only these of its responses."""
        sampler, old = self.sampler_logprobs, self.old_logprobs
        return replace(
            self,
            responses=tuple(self.responses[r] for r in rows),
            advantages=tuple(self.advantages[r] for r in rows),
            sampler_logprobs=None if sampler is None else tuple(sampler[r] for r in rows),
            old_logprobs=None if old is None else tuple(old[r] for r in rows),
        )


def batch_size(groups: Sequence[Group], max_tokens: int) -> BatchSize:
    """The counts an objective's normaliser needs, over everything that enters one optimizer step."""
    lengths = [len(ids) for group in groups for ids in group.responses]
    return BatchSize(num_responses=len(lengths), num_tokens=sum(lengths), max_tokens=max_tokens)


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


def split_evenly(groups: Sequence[Group], parts: int) -> list[list[Group]]:
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
