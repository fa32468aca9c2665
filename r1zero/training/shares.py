"""One step shared out over ranks: each asks and learns its share of the problems, and every rank knows all results.

A share is whole groups.  Randomness is addressed by problem and sample, so who asks changes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from r1zero.config import TrainConfig
from r1zero.engines import Engine
from r1zero.engines.measures import engine_metrics
from r1zero.engines.weights import HoldsWeights
from r1zero.evaluation.ask import Asked, ask, begin
from r1zero.models.load import Policy
from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.tasks.templates import Template
from r1zero.training.batching import Group, split_evenly
from r1zero.training.ranks import gathered, num_ranks, rank
from r1zero.training.sharding import copy_weights, unsharded


def check_shares(config: TrainConfig, ranks: int, *, sees: bool = False) -> None:
    """Raises ValueError where a run cannot be shared out over so many ranks."""
    if ranks > config.problems_per_step:
        raise ValueError(
            f"problems_per_step={config.problems_per_step} is less than {ranks} ranks: each takes whole problems, so "
            "start fewer ranks or raise problems_per_step"
        )
    if ranks > 1 and config.cluster.name != "none" and ranks != config.cluster.learner_ranks:
        raise ValueError(f"cluster.name={config.cluster.name} starts its own processes: leave --ranks and torchrun out")
    engines_here = config.cluster.name == "none" and config.engine.name != "vllm_server"
    if ranks > 1 and engines_here and config.engine.tensor_parallel > 1:
        raise ValueError(
            f"engine.tensor_parallel={config.engine.tensor_parallel} with {ranks} ranks: each rank has an engine of "
            "its own, which would take the next rank's GPU; use 1, or sample on other GPUs (--cluster ray, engine.url)"
        )
    divided = ranks > 1 and config.sharding.weights == "full"
    if divided and config.objective.shadow:
        raise ValueError(
            "objective.shadow needs whole gradients on every rank: use sharding.weights=none, or compare on one rank"
        )
    if divided and config.lora.rank and config.objective.reference_every:
        raise ValueError(
            f"objective.reference_every={config.objective.reference_every} with lora.rank={config.lora.rank} needs "
            "whole weights on every rank: use sharding.weights=none, or leave the reference where it is"
        )
    if divided and sees:
        raise ValueError(
            "sharding.weights=full is for models of text, whose ranks all use every weight; a model that sees needs "
            "sharding.weights=none"
        )


def over_ranks(engine: Engine, policy: Policy, config: TrainConfig) -> tuple[Engine, Policy]:
    """The engine that training asks, and the policy that learns; alone they are what was given.

    Where weights are divided the engine keeps the policy that was given, whole, unless it holds weights by itself.
    """
    if num_ranks() == 1:
        return engine, policy
    check_shares(config, num_ranks(), sees=policy.vision is not None)
    copied = config.sharding.weights == "full" and not isinstance(engine, HoldsWeights)
    learning = replace(policy, model=copy.deepcopy(policy.model)) if copied else policy
    return SharedEngine(engine, policy, learning), learning


class SharedEngine:
    """The engines of all ranks as one: each answers a consecutive share of the problems and grades it.

    The engine samples with `policy`, a copy of the `learning` one where the learner's weights are divided.
    """

    def __init__(self, engine: Engine, policy: Policy, learning: Policy):
        self.engine, self.policy, self.learning = engine, policy, learning

    def generate(self, prompts: Sequence[Prompt], **how: Any) -> list[list[Response]]:
        """By this rank alone; see `Engine.generate`."""
        return self.engine.generate(prompts, **how)

    def begin(
        self, template: Template, problems: Sequence[Problem], on_tokens: Callable[[int], None] | None, **how: Any
    ) -> Callable[[], Asked]:
        """See `AsksElsewhere.begin`.  Every rank must make the same calls in the same order."""

        first, last = (len(problems) * r // num_ranks() for r in (rank(), rank() + 1))
        own = how | {"may_drop_all": True}
        begun = begin(self.engine, self.policy, template, problems[first:last], on_tokens=on_tokens, **own)

        def answers() -> Asked:
            asked = begun() if last > first else Asked([], (), 0.0, 0.0)
            together = put_together(asked, problems, first)
            if not together.rollouts_PG and not how.get("may_drop_all"):  # it says which prompt is too long for what
                return ask(self.engine, self.policy, template, problems, on_tokens=on_tokens, **how)
            return together

        return answers

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `HoldsWeights.load_weights`; nothing where the engine samples with the learner's own weights."""
        if isinstance(self.engine, HoldsWeights):
            self.engine.load_weights(unsharded(named_tensors), version)
        elif self.learning is not self.policy:
            copy_weights(self.learning.model.named_parameters(), self.policy.model)

    def metrics(self) -> dict[str, float]:
        """Of this rank's engine; see `Measures`."""
        return engine_metrics(self.engine)


def put_together(own: Asked, problems: Sequence[Problem], first: int) -> Asked:
    """What all ranks were answered, in the order of the problems; this rank's begin at `first`."""
    places, at = [], first
    for group in own.rollouts_PG:
        while problems[at].id != group[0].prompt.problem.id:
            at += 1
        places.append(at)
        at += 1
    groups = [
        {"problem": place, "prompt": _bare(group[0].prompt), "rollouts": [_plain(rollout) for rollout in group]}
        for place, group in zip(places, own.rollouts_PG, strict=True)
    ]
    seconds = (own.sampling_seconds, own.grading_seconds)
    parts = gathered({"groups": groups, "dropped": own.dropped, "seconds": seconds})
    return Asked(
        [_rollouts(group, problems) for part in parts for group in part["groups"]],
        tuple(name for part in parts for name in part["dropped"]),
        max(part["seconds"][0] for part in parts),
        max(part["seconds"][1] for part in parts),
    )


def learned_here(groups: Sequence[Group], updates: int) -> list[list[int]]:
    """Positions of the groups that this rank learns from, for each of the optimizer steps that share them."""
    return [
        [part[p] for p in balanced([groups[place].num_tokens for place in part])]
        for part in split_evenly(range(len(groups)), updates)
    ]


def balanced(sizes: Sequence[int]) -> list[int]:
    """Positions that fall to this rank, so that the sizes of every rank add up to about the same.

    The largest first, each goes to the rank that has least (Graham 1969).
    """
    loads, own = [0] * num_ranks(), []
    for place in sorted(range(len(sizes)), key=lambda p: -sizes[p]):
        least = loads.index(min(loads))
        loads[least] += sizes[place]
        if least == rank() or num_ranks() == 1:
            own.append(place)
    return sorted(own)


def of_all_ranks(groups: Sequence[Group], made: Mapping[int, Group], names: Sequence[str]) -> list[Group]:
    """All groups with the fields `names` as the rank that learned them made them; `made` are this rank's by place."""
    if num_ranks() == 1:
        return [made[place] for place in range(len(groups))]
    parts = gathered([[place, {name: getattr(group, name) for name in names}] for place, group in made.items()])
    fields = {place: values for part in parts for place, values in part}
    return [
        replace(group, **{name: _tuples(value) for name, value in fields[place].items()})
        for place, group in enumerate(groups)
    ]


def _bare(prompt: Prompt) -> dict[str, Any]:
    return {name: value for name, value in vars(prompt).items() if name != "problem"}


def _plain(rollout: Rollout) -> dict[str, Any]:
    own = {name: getattr(rollout, name) for name in ("step", "sample", "reward", "advantage")}
    return own | {"response": vars(rollout.response), "grade": vars(rollout.grade)}


def _rollouts(group: Mapping[str, Any], problems: Sequence[Problem]) -> list[Rollout]:
    prompt = Prompt(problems[group["problem"]], **{name: _tuples(value) for name, value in group["prompt"].items()})
    return [
        Rollout(
            **row
            | {
                "prompt": prompt,
                "response": Response(**{name: _tuples(value) for name, value in row["response"].items()}),
                "grade": Grade(**row["grade"]),
            }
        )
        for row in group["rollouts"]
    ]


def _tuples(value: Any) -> Any:
    """Lists of lists as tuples of tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
