"""Learning again from groups of earlier steps, the more surprising and the fresher the more often.

Prioritised replay (Schaul et al., arXiv:1511.05952) with a priority that decays with age (arXiv:2604.16918):

    priority = (mean |advantage| + eps)^alpha exp(-age / tau),    P = priority / sum of priorities

A drawn group weighs (N P)^-beta, N groups in memory, over the largest such weight.  Its ratio's denominator is the
policy that sampled it, so the clip bounds how far it can push.  Draws are independent: one group may come twice.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from r1zero.config import ReplayConfig, TrainConfig
from r1zero.engines.sampling import stream_key, uniforms
from r1zero.objectives import Objective
from r1zero.training.batching import Group
from r1zero.training.ranks import num_ranks, rank

EPS = 1e-3  # added to |advantage|: a priority is never 0
REMEMBERED = (
    *("problem_id", "prompt_ids", "responses", "advantages", "rewards", "correct", "left_out"),
    *("sampler_logprobs", "old_logprobs", "reference_logprobs", "token_advantages", "learns", "images"),
)


@dataclass(frozen=True)
class Memory:
    """A group as it was learned from, and the step that sampled it."""

    group: Group
    step: int


@dataclass(frozen=True)
class Draw:
    """A remembered group with what the loss makes up for its having been preferred, at most 1."""

    memory: Memory
    weight: float


def remember(
    memories: Sequence[Memory], groups: Sequence[Group], step: int, config: ReplayConfig
) -> tuple[Memory, ...]:
    """The memories with this step's groups added; the oldest beyond the capacity are forgotten.

    Groups without an advantage teach nothing and are not remembered; of the others only what can be learned again is.
    """
    telling = [group for group in groups if any(group.advantages)]
    return (*memories, *(Memory(_bare(group), step) for group in telling))[-config.capacity :]


def log_priority(memory: Memory, step: int, config: ReplayConfig) -> float:
    """The logarithm of how much the memory is preferred in this step."""
    sizes = [abs(advantage) for advantage in memory.group.advantages]
    return config.alpha * math.log(sum(sizes) / len(sizes) + EPS) - (step - memory.step) / config.tau


def draw(
    memories: Sequence[Memory], step: int, count: int, config: ReplayConfig, address: tuple[int | str, ...]
) -> list[Draw]:
    """`count` independent draws from memory, fewer where fewer are remembered."""
    count = min(count, len(memories))
    if count == 0:
        return []
    logs = [log_priority(memory, step, config) for memory in memories]
    shares = torch.softmax(torch.tensor(logs, dtype=torch.float64), dim=0).tolist()
    bounds = list(itertools.accumulate(shares))
    key = torch.tensor(stream_key(address, "replay", 0))
    spots = (uniforms(key, torch.arange(count)) * bounds[-1]).tolist()
    chosen = [min(bisect.bisect_right(bounds, spot), len(memories) - 1) for spot in spots]
    lowest = min(logs)  # (N P)^-beta over the largest of them
    return [Draw(memories[i], math.exp(-config.beta * (logs[i] - lowest))) for i in chosen]


def num_replayed(num_fresh: int, share: float) -> int:
    """Groups to draw, so that they are this share of the step's groups.

    >>> num_replayed(16, 0.5), num_replayed(16, 0.2), num_replayed(16, 0.0)
    (16, 4, 0)
    """
    return round(num_fresh * share / (1 - share))


def shared_out(draws: Sequence[Draw], parts: Sequence[list[Group]]) -> list[list[Group]]:
    """The optimizer steps' groups, each with this rank's share of its draws; one step where nothing is fresh."""
    replayed = [replace(d.memory.group, importance=(d.weight,) * len(d.memory.group.responses)) for d in draws]
    parts = parts or [[]]
    return [part + replayed[place :: len(parts)][rank() :: num_ranks()] for place, part in enumerate(parts)]


def check_replay(config: TrainConfig, objective: Objective) -> None:
    """Raises ValueError where what is remembered of a group would be out of date when it is learned again."""
    if config.replay.share and objective.critic:
        raise ValueError(
            f"replay.share={config.replay.share}: objective {objective.name} trains a value head, whose old values are "
            "not kept; use an objective without one"
        )
    if config.replay.share and config.objective.reference_every and objective.needs_reference:
        raise ValueError(
            f"replay.share={config.replay.share} with objective.reference_every={config.objective.reference_every}: "
            "log-probabilities of a former reference would be replayed; keep the initial one"
        )


def replay_metrics(draws: Sequence[Draw], num_fresh: int, step: int) -> dict[str, float]:
    """replay/...: how much of the step was replayed, how old it was, and how much of its weight was left."""
    count = len(draws)
    return {
        "replay/share": count / (count + num_fresh) if count + num_fresh else math.nan,
        "replay/age_mean": sum(step - d.memory.step for d in draws) / count if count else math.nan,
        "replay/weight_mean": sum(d.weight for d in draws) / count if count else math.nan,
    }


def write_memories(path: Path, memories: Sequence[Memory]) -> None:
    """A parquet file with a row a group; floats are kept to the last bit."""
    columns = {name: [getattr(memory.group, name) for memory in memories] for name in REMEMBERED}
    pl.DataFrame(columns | {"step": [memory.step for memory in memories]}).write_parquet(path)


def read_memories(path: Path) -> tuple[Memory, ...]:
    """What `write_memories` wrote."""
    rows = pl.read_parquet(path).iter_rows(named=True)
    return tuple(Memory(Group(**{k: _tuples(row[k]) for k in REMEMBERED if k in row}), row["step"]) for row in rows)


def _bare(group: Group) -> Group:
    """Only what is remembered; the ratio's denominator is the policy that sampled."""
    kept = {name: getattr(group, name) for name in REMEMBERED}
    return Group(**kept | {"old_logprobs": group.old_logprobs or group.sampler_logprobs})


def _tuples(value: Any) -> Any:
    """Lists of lists as tuples of tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
