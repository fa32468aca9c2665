"""`r1zero plan` beside what is allocated: whole published models as tensors without data, or real ones on a GPU.

    python -m benchmarks.plan [--models NAME ...] [--json FILE]     without a GPU, in a minute or two
    python -m benchmarks.plan --device cuda [--models NAME ...]     weights at random, torch.cuda's own count

A row is the peak of a forward and backward pass of one micro-batch with gradients and moments present.  Without data
every storage that is alive is counted (benchmarks.live); a kernel's own work space and rounding are not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, PreTrainedModel, Qwen2Config, Qwen3Config

from benchmarks.live import LiveBytes
from benchmarks.machine import describe, print_rows, write_json
from r1zero.config import TrainConfig, build, nested
from r1zero.models import attention
from r1zero.models.attention import hidden_states
from r1zero.models.logprobs import Head, token_logprobs
from r1zero.models.packing import Packed, Tree, pack
from r1zero.planning import Machine, Plan, Shape, demand_of, make_plan, read_shape

MODELS = ("Qwen/Qwen2.5-1.5B", "meta-llama/Llama-3.2-3B", "Qwen/Qwen3-1.7B-Base", "Qwen/Qwen2.5-7B")
SETTINGS = (("bfloat16", False), ("bfloat16", True), ("float32", True))  # arithmetic, layers computed again
PROMPT, RESPONSE, GROUP = 200, 1000, 8
GIB = 1 << 30


def config_of(shape: Shape) -> PretrainedConfig:
    kind = Qwen3Config if shape.norms_heads else Qwen2Config if shape.qkv_bias else LlamaConfig
    return kind(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        tie_word_embeddings=shape.tied,
        eos_token_id=0,
    )


def random_model(shape: Shape, device: str) -> PreTrainedModel:
    """Weights at random, or none in FakeTensorMode."""
    attention.register()
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config_of(shape), attn_implementation=attention.NAME).train()


def microbatch(tokens: int, device: str) -> Packed:
    """Whole groups of equal responses, as many as fit."""
    groups = max(1, tokens // (PROMPT + GROUP * RESPONSE))
    return pack([Tree(tuple(range(PROMPT)), (tuple(range(RESPONSE)),) * GROUP)] * groups, device)


def learn(model: PreTrainedModel, shape: Shape, packed: Packed, dtype: str, device: str) -> None:
    """A gradient, as the learner computes it."""
    head = Head(model.get_output_embeddings().weight, None, shape.vocabulary, None, 1.0)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        hidden_ND = hidden_states(model, packed.input_ids_N, packed.position_ids_N, packed)
    scored_MD = hidden_ND.index_select(0, packed.predicting_M)
    del hidden_ND
    logprobs_M, _ = token_logprobs(head, scored_MD, packed.target_ids_M)
    del scored_MD
    torch.autograd.backward([logprobs_M], [torch.full_like(logprobs_M, 1e-6)])


class GpuPeak:
    """torch.cuda's own count of the most that was allocated."""

    def restart(self) -> None:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    @property
    def peak(self) -> int:
        return torch.cuda.max_memory_allocated()


@contextmanager
def counted(device: str, model: PreTrainedModel) -> Iterator[LiveBytes | GpuPeak]:
    if device == "cuda":
        yield GpuPeak()
        return
    with LiveBytes() as live:
        live.watch(model.parameters())
        yield live


def measured(shape: Shape, dtype: str, checkpointing: bool, tokens: int, device: str) -> int:
    """Bytes at the peak of the second micro-batch, when gradients and moments are there."""
    with nullcontext() if device == "cuda" else FakeTensorMode(allow_non_fake_inputs=True):
        model = random_model(shape, device)
        if checkpointing:
            model.gradient_checkpointing_enable()
        packed = microbatch(tokens, device)
        with counted(device, model) as count:
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-9, fused=True)
            learn(model, shape, packed, dtype, device)
            optimizer.step()
            count.restart()
            learn(model, shape, packed, dtype, device)
            return count.peak


def planned(shape: Shape, dtype: str, checkpointing: bool, tokens: int, device: str) -> Plan:
    groups = max(1, tokens // (PROMPT + GROUP * RESPONSE))
    settings = {
        "problems_per_step": 4 * groups,
        "responses_per_problem": GROUP,
        "learner.dtype": dtype,
        "learner.device": device,
        "learner.tokens_per_microbatch": groups * (PROMPT + GROUP * RESPONSE),
        "model.gradient_checkpointing": checkpointing,
        "sampling.max_tokens": RESPONSE,
    }
    config = build(TrainConfig, nested(settings))
    demand = demand_of(config, Machine(), reference=False, scores=False, prompt_tokens=PROMPT, padding=0.0)
    return make_plan(shape, demand, on_cpu=device == "cpu")


def row(name: str, dtype: str, checkpointing: bool, tokens: int, device: str) -> dict[str, object]:
    shape = read_shape(name)
    plan = planned(shape, dtype, checkpointing, tokens, device)
    expected, found = (
        max(plan.total("logits"), plan.total("backward")),
        measured(shape, dtype, checkpointing, tokens, device),
    )
    state = 16 * shape.parameters
    return {
        "what": f"{name}, {dtype}{', layers computed again' if checkpointing else ''}, {tokens:,} tokens",
        "ours": f"{expected / GIB:.2f} GiB",
        "other": f"{found / GIB:.2f} GiB",
        "ratio": expected / found,
        "target": "0.95 to 1.05",
        "note": f"beyond weights, gradients and moments {(expected - state) / (found - state):.3f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, help="names in r1zero.planning.shapes.PUBLISHED")
    parser.add_argument("--tokens", type=int, default=PROMPT + GROUP * RESPONSE, help="of a micro-batch")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    options = parser.parse_args()
    rows = [
        row(name, dtype, checkpointing, options.tokens, options.device)
        for name in options.models
        for dtype, checkpointing in SETTINGS
    ]
    facts = describe(1, options.device)
    print_rows("memory: planned / allocated", rows, facts)
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
