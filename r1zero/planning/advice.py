"""What to change where a run does not fit, cheapest first: each change is a flag of `r1zero train`, planned anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from r1zero.planning.demand import Demand
from r1zero.planning.memory import Plan, make_plan
from r1zero.planning.shapes import Shape

MOST_GPUS = 1024


@dataclass(frozen=True)
class Change:
    """One flag, what it costs, and the peak with it and all changes before it.

    Example: Change("--model.gradient_checkpointing", "about a third more time to learn", 31 << 30, True)
    """

    flag: str
    costs: str
    peak: int
    fits: bool


@dataclass(frozen=True)
class _Step:
    flag: str
    costs: str
    demand: Demand


def advise(plan: Plan) -> tuple[Change, ...]:
    """Changes that together make the run fit, in order; they end where nothing more is known."""
    changes: list[Change] = []
    while not plan.fits:
        better = next((found for found in _improvements(plan)), None)
        if better is None:
            return tuple(changes)
        step, plan = better
        changes = [change for change in changes if change.flag.split()[0] != step.flag.split()[0]]
        changes.append(Change(step.flag, step.costs, plan.peak, plan.fits))
    return tuple(changes)


def _improvements(plan: Plan) -> Iterator[tuple[_Step, Plan]]:
    """Steps that lower the peak, or raise what the cache holds where it holds nothing."""
    for propose in PROPOSALS:
        step = propose(plan.shape, plan.demand)
        if step is None:
            continue
        after = make_plan(plan.shape, step.demand)
        if after.peak < 0.99 * plan.peak or (plan.cached_sequences < 1 <= after.cached_sequences):
            yield step, after


def _sleep(shape: Shape, demand: Demand) -> _Step | None:
    if demand.engine != "vllm" or demand.sleeps or demand.machine.sampler_gpus:
        return None
    return _Step("--engine.sleep", "seconds a step to fall asleep and wake", replace(demand, sleeps=True))


def _checkpoint(shape: Shape, demand: Demand) -> _Step | None:
    if demand.checkpointing:
        return None
    costs = "about a third more time to learn"
    return _Step("--model.gradient_checkpointing", costs, replace(demand, checkpointing=True))


def _narrow(shape: Shape, demand: Demand) -> _Step | None:
    if demand.arithmetic != "float32":
        return None
    to = replace(demand, arithmetic="bfloat16" if demand.divided else "autocast")
    return _Step("--learner.dtype bfloat16", "rounding in forward and backward", to)


def _smaller_batches(shape: Shape, demand: Demand) -> _Step | None:
    tokens = max(demand.microbatch_tokens // 2, demand.sequence_tokens)
    if tokens >= demand.microbatch_tokens:
        return None
    count = -(-demand.microbatches * demand.microbatch_tokens // tokens)
    to = replace(demand, microbatch_tokens=tokens, microbatches=count)
    return _Step(f"--learner.tokens_per_microbatch {tokens}", "emptier matrix products", to)


def _vllm(shape: Shape, demand: Demand) -> _Step | None:
    if demand.engine == "vllm":
        return None
    to = replace(demand, engine="vllm", engine_bytes=2, sleeps=True)
    return _Step("--engine.name vllm --engine.sleep", "vLLM installed, and its start", to)


def _larger_share(shape: Shape, demand: Demand) -> _Step | None:
    if demand.engine != "vllm" or make_plan(shape, demand).cached_sequences:
        return None
    for tenths in range(1, 10):
        to = replace(demand, engine_share=tenths / 10)
        if make_plan(shape, to).cached_sequences:
            return _Step(f"--engine.gpu_memory {to.engine_share:g}", "less for all else while sampling", to)
    return None


def _smaller_share(shape: Shape, demand: Demand) -> _Step | None:
    if demand.engine != "vllm" or demand.engine_share < 0.2:
        return None
    to = replace(demand, engine_share=round(demand.engine_share - 0.1, 2))
    if make_plan(shape, to).cached_sequences < 1:
        return None
    return _Step(f"--engine.gpu_memory {to.engine_share:g}", "fewer sequences at once", to)


def _fewer_sequences(shape: Shape, demand: Demand) -> _Step | None:
    if demand.engine == "vllm" or demand.concurrent <= 8:
        return None
    concurrent = demand.concurrent // 2
    return _Step(f"--engine.max_concurrent {concurrent}", "slower sampling", replace(demand, concurrent=concurrent))


def _more_gpus(shape: Shape, demand: Demand) -> _Step | None:
    gpus = 2 * demand.machine.gpus
    if gpus > MOST_GPUS or not (demand.divided or demand.machine.gpus == 1):
        return None
    to = replace(
        demand,
        machine=replace(demand.machine, gpus=gpus),
        divided=True,
        arithmetic="float32" if demand.arithmetic == "float32" else "bfloat16",
        engine="copied" if demand.engine == "shared" else demand.engine,
        microbatches=-(-demand.microbatches // 2),
        concurrent=min(demand.concurrent, -(-demand.responses // gpus)),
    )
    return _Step(f"--ranks {gpus}", "more GPUs, each with a part of the weights (FSDP2)", to)


def _offload(shape: Shape, demand: Demand) -> _Step | None:
    if not demand.divided or demand.offload:
        return None
    return _Step("--sharding.offload", "weights travel to and from CPU memory", replace(demand, offload=True))


def _adapters(shape: Shape, demand: Demand) -> _Step | None:
    if demand.lora_rank:
        return None
    return _Step("--lora.rank 32", "other learning: adapters of rank 32 alone", replace(demand, lora_rank=32))


PROPOSALS: tuple[Callable[[Shape, Demand], _Step | None], ...] = (
    _sleep,
    _checkpoint,
    _narrow,
    _smaller_batches,
    _vllm,
    _larger_share,
    _smaller_share,
    _fewer_sequences,
    _more_gpus,
    _offload,
    _adapters,
)
