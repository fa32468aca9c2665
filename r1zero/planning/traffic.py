"""Bytes that a step moves, by what moves them: between GPUs, over the network, to disk."""

from __future__ import annotations

from dataclasses import dataclass

from r1zero.planning.demand import Demand
from r1zero.planning.shapes import Shape

TOKEN_BYTES = 4 + 4 + 2  # of a sampled token on its way to the learner: id, log-probability, about two of text


@dataclass(frozen=True)
class Movement:
    """One kind of traffic in a step.

    Example: Movement("gather weights", "into each GPU that learns", 3_087_000_000, "2 x 8 x 2 times")
    """

    what: str
    where: str
    bytes: int
    how_often: str


def movements(shape: Shape, demand: Demand) -> tuple[Movement, ...]:
    """What moves in a step, and what a checkpoint writes."""
    ranks, learns = demand.machine.gpus, _learned(shape, demand)
    found = [Movement("prompts and responses", "from samplers to learner, all together", _rollouts(demand), "a step")]
    if demand.divided:
        found += _divided(shape, demand, ranks, learns)
    elif ranks > 1:  # a ring passes each gradient on twice
        size = 2 * 4 * learns * (ranks - 1) // ranks
        found.append(Movement("sum gradients", "into each GPU that learns", size * demand.updates, _times(demand)))
    found += _new_weights(shape, demand)
    found.append(
        Movement("checkpoint", "to disk", 4 * shape.parameters + 8 * learns, "weights and two moments, float32")
    )
    return tuple(found)


def _learned(shape: Shape, demand: Demand) -> int:
    return shape.adapters(demand.lora_rank) if demand.lora_rank else shape.parameters


def _times(demand: Demand) -> str:
    return f"{demand.updates} updates of {demand.microbatches} micro-batches"


def _rollouts(demand: Demand) -> int:
    return demand.responses * demand.response_tokens * TOKEN_BYTES


def _divided(shape: Shape, demand: Demand, ranks: int, learns: int) -> list[Movement]:
    """FSDP: layers are gathered on the way forward and back, the rest in float32; gradients go to whom they belong."""
    number = 4 if demand.arithmetic == "float32" else 2
    whole = number * shape.layers * shape.layer + 4 * shape.outside
    passes = demand.microbatches * demand.updates
    gathers = 2 * passes + passes * demand.scores * (2 if demand.reference else 1)
    others = (ranks - 1) / ranks
    scored = " and once to score" if demand.scores else ""
    return [
        Movement(
            "gather weights", "into each GPU that learns", round(whole * others * gathers),
            f"{_times(demand)}, forward and back{scored}",
        ),
        Movement("sum gradients", "into each GPU that learns", round(4 * learns * others * passes), _times(demand)),
    ]  # fmt: skip


def _new_weights(shape: Shape, demand: Demand) -> list[Movement]:
    """The updated weights on their way to whatever samples with a copy."""
    if demand.engine == "shared":
        return [Movement("new weights", "the engine has the learner's", 0, "a step")]
    size = demand.engine_bytes * shape.parameters
    if demand.engine == "copied":
        return [Movement("new weights", "into each GPU that learns", size, "a step")]
    copies = max(1, (demand.machine.sampler_gpus or demand.machine.gpus) // demand.tensor_parallel)
    return [Movement("new weights", f"into each of {copies} vLLM copies", size, "a step")]
