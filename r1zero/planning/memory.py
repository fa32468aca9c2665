"""Memory of one GPU by part and phase.

A step has four moments that may be the fullest: responses are sampled, log-probabilities are differentiated, layers are
differentiated, weights move.
"""

from __future__ import annotations

from dataclasses import dataclass

from r1zero.planning.activations import activations
from r1zero.planning.demand import GIB, Demand
from r1zero.planning.shapes import Shape

PHASES = ("sampling", "logits", "backward", "updating")
RESERVE = 0.06  # of a GPU: context, communication buffers, fragments between allocations; assumed, not measured
COLUMNS = 64  # the fast engine's cache grows by so many tokens
PREFILL_TOKENS = 8192  # prompts it reads at once
DRAW_BYTES = 24  # a number of the vocabulary while a token is drawn: logits, probabilities and their sums in float64


@dataclass(frozen=True)
class Part:
    """What holds how many bytes in each phase on one GPU.

    Example: Part("optimizer", 12_000, 12_000, 12_000, 12_000)
    """

    name: str
    sampling: int = 0
    logits: int = 0
    backward: int = 0
    updating: int = 0

    @property
    def largest(self) -> int:
        return max(getattr(self, phase) for phase in PHASES)


@dataclass(frozen=True)
class Plan:
    """What is on a GPU that learns, and on one that only samples where there are such."""

    shape: Shape
    demand: Demand
    parts: tuple[Part, ...]
    sampler_parts: tuple[Part, ...] = ()
    cached_sequences: int = 0  # of full length, that the engine's cache holds on one GPU

    def total(self, phase: str) -> int:
        return sum(getattr(part, phase) for part in self.parts)

    @property
    def peak(self) -> int:
        """Bytes of the fullest phase on the fullest GPU."""
        own = max(self.total(phase) for phase in PHASES)
        return max(own, sum(part.sampling for part in self.sampler_parts))

    @property
    def room(self) -> int:
        """Bytes of a GPU that can be used."""
        return round(self.demand.machine.gpu_memory * GIB * (1 - RESERVE))

    @property
    def fits(self) -> bool:
        return self.peak <= self.room and (self.demand.engine != "vllm" or self.cached_sequences >= 1)


def make_plan(shape: Shape, demand: Demand, *, on_cpu: bool = False) -> Plan:
    """Every part of every phase."""
    parts = [*_learner_parts(shape, demand, on_cpu=on_cpu)]
    engine, cached = _engine_parts(shape, demand)
    apart = demand.machine.sampler_gpus > 0
    return Plan(
        shape,
        demand,
        tuple(part for part in [*parts, *([] if apart else engine)] if part.largest),
        tuple(engine) if apart else (),
        cached,
    )


def _learner_parts(shape: Shape, demand: Demand, *, on_cpu: bool) -> list[Part]:
    """Float32 weights, gradients and two moments; of what is divided each rank has its share and some units whole."""
    ranks = demand.machine.gpus if demand.divided else 1
    learns = shape.adapters(demand.lora_rank) if demand.lora_rank else shape.parameters
    frozen = shape.parameters if demand.lora_rank else 0
    here = 0 if demand.offload else 1
    state = -(-4 * learns // ranks) * here
    needed = activations(shape, demand, on_cpu=on_cpu)
    parts = [
        _always("weights", -(-4 * (learns + frozen) // ranks) * here),
        Part("gradients", 0, state, state, state),
        _always("optimizer", 2 * state),
    ]
    if demand.reference:
        parts.append(_always("reference", -(-4 * shape.parameters // ranks) * here))
    if demand.shadows:
        parts.append(Part("shadow gradients", 0, demand.shadows * 4 * learns, demand.shadows * 4 * learns))
    if demand.divided:
        number = 4 if demand.arithmetic == "float32" else 2
        rest = 4 * shape.outside
        layers = 3 * number * shape.layer  # one in work, the next, and the buffer in which it arrives
        back = (number + 4) * shape.layer * (not demand.lora_rank)  # a layer's gradient, and on its way to the ranks
        parts.append(Part("units gathered", 0, rest, rest + layers + back))
    parts.append(Part("activations", 0, needed.kept, needed.kept))
    parts.append(Part("layer in work", 0, 0, needed.layer))
    parts.append(Part("logits", 0, needed.logits))
    # Two temporaries of the largest weight, and three of those that follow one another.
    step = shape.width * (12 * demand.lora_rank or max(8 * shape.vocabulary, 12 * shape.inner))
    parts.append(Part("step length", updating=step // ranks))
    return parts


def _always(name: str, size: int) -> Part:
    return Part(name, size, size, size, size)


def _engine_parts(shape: Shape, demand: Demand) -> tuple[list[Part], int]:
    """What samples, and how many sequences of full length its cache holds."""
    a_token = 2 * shape.layers * shape.key_width * demand.engine_bytes
    if demand.engine == "vllm":
        claimed = round(demand.engine_share * demand.machine.gpu_memory * GIB)
        weights = -(-demand.engine_bytes * shape.parameters // demand.tensor_parallel)
        cache = max(0, claimed - weights - _vllm_activations(shape, demand))
        awake = 0 if demand.sleeps else 1
        cached = cache * demand.tensor_parallel // (a_token * demand.sequence_tokens)
        stays = [claimed - cache, cache]
        names = ("vLLM weights", "vLLM KV cache")
        parts = [Part(n, s, s * awake, s * awake, s * awake) for n, s in zip(names, stays, strict=True)]
        if demand.spare_copy:
            parts.append(_always("float32 beside vLLM", 4 * shape.parameters))
        return parts, cached
    columns = -(-demand.sequence_tokens // COLUMNS) * COLUMNS
    cache = demand.concurrent * columns * a_token
    parts = [Part("KV cache", cache)]
    if demand.engine == "copied":
        parts.append(_always("whole copy to sample with", 4 * shape.parameters))
    parts.append(Part("prompts and drawing", _beside_the_cache(shape, demand, cache)))
    return parts, demand.concurrent


def _beside_the_cache(shape: Shape, demand: Demand, cache: int) -> int:
    """What the fast engine needs besides its full cache: a layer of it while it grows, or prompts as they are read.

    Prompts are read while a quarter of the cache is free, all of it but the prompts' where nobody waits for a place.
    """
    drawing = demand.concurrent * shape.vocabulary * DRAW_BYTES
    growing = cache // (2 * shape.layers)
    prompts = min(PREFILL_TOKENS, -(-demand.concurrent // demand.group) * demand.prompt_tokens)
    numbers = 2 * shape.inner + 4 * shape.width + shape.query_width + 2 * shape.key_width * (1 + demand.group)
    waits = demand.responses > demand.concurrent * demand.machine.gpus
    free = cache // 4 if waits else cache * demand.response_tokens // demand.sequence_tokens
    return max(drawing + growing, 4 * prompts * numbers - free)


def _vllm_activations(shape: Shape, demand: Demand) -> int:
    """What vLLM keeps for computing: 8,192 tokens of a batch, logits of the sequences that run."""
    computing = 8192 * demand.engine_bytes * (2 * shape.inner + 4 * shape.width)
    return (computing + demand.concurrent * shape.vocabulary * 8) // demand.tensor_parallel
