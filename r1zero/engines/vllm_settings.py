"""What vLLM is told: how to be built for a policy, and how to sample one response.  Needs no vLLM itself.

vLLM gets a directory with the policy's config and tokenizer and no weights: those come from the learner, so that what
it samples with is what is trained, also after a run was continued.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines.banned import BanTable
from r1zero.engines.requests import Request
from r1zero.models.load import Policy
from r1zero.models.logprobs import forbidden_ids

SEED_BITS = (1 << 63) - 1  # vLLM's seeds are not negative
WORKER = "r1zero.engines.vllm_worker.WeightReceiver"
MASK = "r1zero.engines.vllm_worker:Mask"
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


def check_settings(config: EngineConfig, policy: Policy, *, own_gpus: bool = True) -> None:
    """Raises ValueError for what this model or machine cannot do.  `own_gpus`: the engine runs on this machine."""
    if config.max_concurrent < 1:
        raise ValueError(f"engine.max_concurrent={config.max_concurrent}: must be at least 1")
    heads, parts = policy.model.config.get_text_config().num_attention_heads, config.tensor_parallel
    if parts < 1 or heads % parts:
        divisors = ", ".join(str(n) for n in range(1, heads + 1) if heads % n == 0)
        raise ValueError(
            f"engine.tensor_parallel={parts} does not divide the model's {heads} attention heads: take {divisors}"
        )
    if own_gpus and policy.device.type == "cuda" and parts > (gpus := torch.cuda.device_count()):
        raise ValueError(
            f"engine.tensor_parallel={parts}: this machine shows {gpus} GPUs; lower it, or look at CUDA_VISIBLE_DEVICES"
        )
    if own_gpus and policy.device.type != "cuda" and parts > 1:
        raise ValueError(f"engine.tensor_parallel={parts}: without a GPU there is nothing to divide; set it to 1")
    if config.max_context < 0:
        raise ValueError(f"engine.max_context={config.max_context}: must be at least 1, or 0 for the model's own")
    if not 0 < config.gpu_memory < 1:
        raise ValueError(f"engine.gpu_memory={config.gpu_memory}: must be above 0 and below 1")


def within_context(config: EngineConfig, policy: Policy) -> Policy:
    """The policy with a context that vLLM keeps room for: engine.max_context where that is shorter."""
    return replace(policy, max_context=min(policy.max_context, config.max_context or policy.max_context))


def engine_dtype(config: EngineConfig, policy: Policy) -> torch.dtype:
    """The type of vLLM's weights."""
    if config.dtype == "auto":
        return torch.bfloat16 if policy.device.type == "cuda" else torch.float32
    return TYPES[config.dtype]


def write_model(policy: Policy, directory: Path) -> None:
    """Config, generation config, tokenizer and picture settings; no weights."""
    if not policy.model.config.architectures:
        policy.model.config.architectures = [type(policy.model).__name__]
    policy.model.config.save_pretrained(directory)
    policy.tokenizer.save_pretrained(directory)
    if policy.vision is not None:
        policy.vision.save(directory)


def engine_arguments(config: EngineConfig, policy: Policy, directory: Path) -> dict[str, Any]:
    """vLLM's engine arguments by name, of plain values."""
    on_gpu = policy.device.type == "cuda"
    forbidden = forbidden_ids(policy)
    return {
        "model": str(directory),
        "load_format": "dummy",
        "dtype": str(engine_dtype(config, policy)).removeprefix("torch."),
        "max_model_len": policy.max_context,
        "max_num_seqs": config.max_concurrent,
        "tensor_parallel_size": config.tensor_parallel,
        "gpu_memory_utilization": config.gpu_memory,
        "enforce_eager": config.enforce_eager or not on_gpu,
        "enable_prefix_caching": config.prefix_caching,
        "enable_sleep_mode": config.sleep and on_gpu,
        "generation_config": "vllm",
        "logprobs_mode": "processed_logprobs",  # of the distribution that was sampled from
        "max_logprobs": 1,
        "worker_extension_cls": WORKER,
        "logits_processors": [MASK],
        "additional_config": {
            "r1zero_vocab_size": policy.vocab_size,
            "r1zero_forbidden": [] if forbidden is None else forbidden.tolist(),
        },
    }


@contextmanager
def environment(config: EngineConfig, policy: Policy) -> Iterator[None]:
    """The environment that vLLM's processes are started in; afterwards everything is as it was."""
    before = dict(os.environ)
    for name in RANK_VARIABLES:  # vLLM has ranks of its own
        os.environ.pop(name, None)
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",  # in processes of its own: it sets threads, seeds and process groups
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_USE_V2_MODEL_RUNNER": "0",  # the runner whose logits processors are ours
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(config.cpu_cache),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
    }
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    if policy.device.type == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible_gpus(policy.device.index or 0, config.tensor_parallel)
    else:
        os.environ["TORCHDYNAMO_DISABLE"] = "1"  # one counting function would be compiled for twenty seconds
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def request_settings(policy: Policy, request: Request, sampling: SamplingConfig, stop: Sequence[str]) -> dict[str, Any]:
    """How one response is sampled, in words that vLLM's SamplingParams and its OpenAI-compatible server share."""
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": request.key & SEED_BITS,
        "max_tokens": request.limit,
        "stop": list(stop),
        "stop_token_ids": list(policy.end_ids),
        "ignore_eos": True,  # the policy's own end ids are above
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "logprobs": 0,  # of the sampled token alone
    }


def written_banned(banned: Sequence[Sequence[int]], policy: Policy) -> str:
    """Banned sequences as text, "" for none.  Raises ValueError as the other engines do, and where too much is banned.

    >>> read_banned("5 6;7")
    [(5, 6), (7,)]
    """
    if not banned:
        return ""
    if BanTable(banned, policy.vocab_size, torch.device("cpu")).may_leave_nothing:
        raise ValueError("the banned sequences may leave no token to sample: ban fewer, or use engine.name fast")
    return ";".join(" ".join(str(int(id)) for id in sequence) for sequence in banned)


def read_banned(text: str) -> list[tuple[int, ...]]:
    return [tuple(int(id) for id in sequence.split()) for sequence in text.split(";")]


def _visible_gpus(first: int, count: int) -> str:
    """The GPUs for vLLM among those this process sees: its own one, and the next where it needs more."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(i) for i in range(torch.cuda.device_count())]
    return ",".join((names[first:] + names[:first])[:count])
