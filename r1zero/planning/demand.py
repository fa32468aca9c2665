"""What a config asks of a machine: the numbers of a run that memory and traffic depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from r1zero.config import TrainConfig, require

Arithmetic = Literal["float32", "autocast", "bfloat16"]  # autocast: float32 weights, bfloat16 products
GIB = 1 << 30


@dataclass(frozen=True)
class Machine:
    """What there is.

    Example: Machine(gpus=8, gpu_memory=80.0, sampler_gpus=0)
    """

    gpus: int = 1  # that learn; they also sample unless sampler_gpus is given
    gpu_memory: float = 80.0  # GiB of each
    sampler_gpus: int = 0  # further GPUs that only sample; 0: those that learn take turns

    def __post_init__(self) -> None:
        require(self.gpus >= 1, "gpus", self.gpus, "at least 1")
        require(0 < self.gpu_memory < 10_000, "gpu_memory", self.gpu_memory, "above 0, in GiB")
        require(self.sampler_gpus >= 0, "sampler_gpus", self.sampler_gpus, "at least 0")


@dataclass(frozen=True)
class Demand:
    """What a run does with a model on a machine, in numbers."""

    machine: Machine
    # learning
    arithmetic: Arithmetic
    divided: bool  # weights, gradients and moments over all ranks (FSDP2)
    offload: bool  # what is divided rests in CPU memory between uses
    checkpointing: bool  # layers are computed again on the way back
    microbatch_tokens: int  # in one row, prompts once a group
    attention_share: float  # tokens in attention for each of the row: prompts repeated a response, and padding
    response_share: float  # of a row's tokens, those that have a log-probability
    microbatches: int  # in an optimizer step of one rank
    updates: int  # optimizer steps on a step's responses
    scores: bool  # log-probabilities of the old policy are computed apart
    reference: bool  # a second, frozen copy of the model
    shadows: int  # other objectives whose gradient is looked at
    lora_rank: int  # 0: all weights learn
    # sampling
    engine: Literal["shared", "copied", "vllm"]  # the learner's weights, a whole copy of divided ones, vLLM's own
    spare_copy: bool  # a worker of a cluster keeps the model in float32 beside vLLM's own
    engine_bytes: int  # of a number in the engine
    tensor_parallel: int
    engine_share: float  # of a GPU's memory that vLLM takes
    sleeps: bool  # and gives back while others learn
    concurrent: int  # sequences at once on a GPU
    prompt_tokens: int
    response_tokens: int
    group: int  # responses to a problem
    responses: int  # of a step, on all ranks

    @property
    def sequence_tokens(self) -> int:
        return self.prompt_tokens + self.response_tokens


PADDING = 0.12  # of attention in the learner, where lengths vary: buckets close at 15 %


def demand_of(
    config: TrainConfig,
    machine: Machine,
    *,
    reference: bool,
    scores: bool,
    prompt_tokens: int = 200,
    response_tokens: int = 0,
    lora_rank: int = 0,
    padding: float = PADDING,
) -> Demand:
    """A config's numbers.  `reference`, `scores`: what its objective needs besides the policy.

    Lengths are those of a full micro-batch: `response_tokens` 0 is the limit, the worst case.  On CPU `auto` is
    float32 and the fast engine; on GPUs bfloat16, and vLLM if they only sample or engine.name says so.
    Raises ValueError for what cannot be.
    """
    on_cpu = config.learner.device == "cpu"
    response = response_tokens or config.sampling.max_tokens
    group, ranks = config.responses_per_problem, machine.gpus
    if config.problems_per_step < ranks:
        raise ValueError(f"problems_per_step={config.problems_per_step} on {ranks} GPUs: each needs a group; use fewer")
    row = prompt_tokens + group * response
    tokens = max(config.learner.tokens_per_microbatch, prompt_tokens + response)  # a longer sequence is one by itself
    in_row = max(1, min(group, (tokens - prompt_tokens) // response))  # responses that share a prompt in one row
    divided = ranks > 1 and config.sharding.weights == "full"
    narrow = config.learner.dtype == "bfloat16" or (config.learner.dtype == "auto" and not on_cpu)
    rows_a_rank = -(-config.problems_per_step // ranks) * row
    a_step = -(-rows_a_rank // config.learner.updates_per_rollout)
    tokens = min(tokens, a_step)
    vllm = config.engine.name.startswith("vllm") or (config.engine.name == "auto" and machine.sampler_gpus > 0)
    in_workers = machine.sampler_gpus > 0 or config.cluster.name != "none"
    if vllm and config.engine.tensor_parallel > 1 and ranks > 1 and not in_workers:
        raise ValueError(
            f"engine.tensor_parallel={config.engine.tensor_parallel} on {ranks} GPUs that learn: each rank has an "
            "engine of its own, which would take the next rank's GPU; use 1, or GPUs that only sample (sampler_gpus)"
        )
    wide = on_cpu or config.engine.dtype == "float32"
    return Demand(
        machine,
        arithmetic="float32" if not narrow else "bfloat16" if divided else "autocast",
        divided=divided,
        offload=divided and config.sharding.offload,
        checkpointing=config.model.gradient_checkpointing,
        microbatch_tokens=tokens,
        attention_share=in_row * (prompt_tokens + response) / (prompt_tokens + in_row * response) / (1 - padding),
        response_share=in_row * response / (prompt_tokens + in_row * response),
        microbatches=max(1, -(-a_step // tokens)),
        updates=config.learner.updates_per_rollout,
        scores=scores or config.learner.updates_per_rollout > 1 or config.replay.share > 0,
        reference=reference,
        shadows=len(config.objective.shadow),
        lora_rank=lora_rank,
        engine="vllm" if vllm else "copied" if divided or in_workers else "shared",
        spare_copy=vllm and in_workers,
        engine_bytes=2 if vllm and not wide else 4,
        tensor_parallel=config.engine.tensor_parallel if vllm else 1,
        engine_share=config.engine.gpu_memory,
        sleeps=config.engine.sleep,
        concurrent=min(config.engine.max_concurrent, -(-config.problems_per_step * group // ranks)),
        prompt_tokens=prompt_tokens,
        response_tokens=response,
        group=group,
        responses=config.problems_per_step * group,
    )
