"""How much of a device's arithmetic the learner uses, and of its bandwidth the fast engine, at published shapes.

    python -m benchmarks.utilisation --device cuda          Qwen2.5-1.5B, weights at random, 256 sequences at once
    python -m benchmarks.utilisation --model tiny-search --tokens 2048 --lengths 256 --sequences 32       on CPU

The learner's share: operations that the model needs (6 a parameter and token, attention and head included, nothing for
layers computed again) over what the device does in a large matrix product, measured in the same run.  The engine's:
bytes of weights and cache that every token must read, over what the device copies in the same time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GenerationConfig

from benchmarks.learner import random_groups
from benchmarks.machine import describe, print_rows, write_json
from benchmarks.plan import random_model
from r1zero.config import EngineConfig, LearnerConfig, SamplingConfig
from r1zero.engines.fast import FastEngine
from r1zero.models.load import Policy
from r1zero.objectives import OBJECTIVES
from r1zero.planning import Shape, read_shape
from r1zero.records import Problem, Prompt
from r1zero.training.credit import weighed
from r1zero.training.learner import Learner, compute_dtype

PROMPT = 150


def operations(shape: Shape, tokens: int, length: int) -> float:
    """Floating-point operations of a forward and backward pass: 2 a multiplication in forward, twice that back."""
    matrices = shape.layers * shape.matrices + shape.table
    attention = shape.layers * shape.query_width * length  # scores and sums over half of the positions before, each 2
    return 6.0 * tokens * (matrices + attention)


def seconds(run: Callable[[], object], device: str, repeats: int = 3) -> float:
    """The best of several; the first warms up."""
    best = float("inf")
    for _ in range(repeats + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def matrix_speed(device: str, dtype: torch.dtype) -> float:
    """Operations a second in a product of large square matrices."""
    size = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device)


def copy_speed(device: str) -> float:
    """Bytes a second that are read or written while a large tensor is copied."""
    source = torch.empty(1 << (30 if device == "cuda" else 26), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source), device)


def policy_of(shape: Shape, device: str) -> Policy:
    torch.manual_seed(0)
    model = random_model(shape, device).eval()
    model.generation_config = GenerationConfig(eos_token_id=0)
    return Policy(model, Words(), shape.vocabulary, (0,), 32_768)  # type: ignore[arg-type]


class Words:
    """Stands for a tokenizer: nobody reads what random weights write."""

    def decode(self, token_ids: object, **how: object) -> str:
        return ""


def learner_row(shape: Shape, tokens: int, length: int, device: str) -> dict[str, object]:
    """One gradient of packed responses of `length` tokens that fill a micro-batch."""
    config = LearnerConfig(device=device, tokens_per_microbatch=tokens)
    learner = Learner(policy_of(shape, device), config, num_updates=10, gradient_checkpointing=True)
    samples = max(1, (tokens - PROMPT) // length)
    groups = weighed(random_groups(1, samples, PROMPT, [length], shape.vocabulary), OBJECTIVES["dr_grpo"], length)
    taken = seconds(lambda: learner.update(groups, OBJECTIVES["dr_grpo"].loss), device)
    computed = PROMPT + samples * length
    speed = operations(shape, computed, PROMPT + length) / taken
    peak = matrix_speed(device, compute_dtype("auto", torch.device(device)))
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device == "cuda" else ""
    return {
        "what": f"learner, {shape.name}, {samples} responses of {length:,} tokens: operations / matrix product's",
        "ours": f"{speed / 1e12:.3g} TFLOP/s",
        "other": f"{peak / 1e12:.3g} TFLOP/s",
        "ratio": speed / peak,
        "target": "at least 0.45",
        "note": f"{computed / taken:,.0f} tokens/s {memory}",
    }


def engine_row(shape: Shape, sequences: int, tokens: int, device: str) -> dict[str, object]:
    """`sequences` responses at once, none of which ends early."""
    policy = policy_of(shape, device)
    engine = FastEngine(EngineConfig(max_concurrent=sequences), policy)
    group = 8
    prompts = [
        Prompt(Problem(str(p), "countdown", "", "", {}), "none", "", tuple(range(1, PROMPT + 1)))
        for p in range(sequences // group)
    ]
    sampling = SamplingConfig(max_tokens=tokens)
    taken = seconds(
        lambda: engine.generate(prompts, samples=group, sampling=sampling, address=(0,), banned=[(0,)]), device, 1
    )
    a_token = 2 * shape.layers * shape.key_width * 4
    read = tokens * 4 * shape.parameters + sequences * a_token * sum(range(PROMPT, PROMPT + tokens))
    bound = read / copy_speed(device)
    return {
        "what": f"fast engine, {shape.name}, {sequences} at once, {tokens} tokens each: bound / taken",
        "ours": f"{taken:.2f} s",
        "other": f"{bound:.2f} s",
        "ratio": bound / taken,
        "target": "at least 0.5",
        "note": f"{sequences * tokens / taken:,.0f} tokens/s",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="Qwen/Qwen2.5-1.5B", help="a name in r1zero.planning.shapes, or a directory")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tokens", type=int, nargs="+", default=[8192, 16384], help="of a micro-batch")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096], help="of a response, for the learner")
    parser.add_argument("--sequences", type=int, default=256, help="sampled at once")
    parser.add_argument("--sampled", type=int, default=256, help="tokens of each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = read_shape(options.model)
    rows = [
        learner_row(shape, tokens, length, options.device)
        for tokens in options.tokens
        for length in options.lengths
        if length + PROMPT <= tokens
    ]
    rows.append(engine_row(shape, options.sequences, options.sampled, options.device))
    facts = describe(options.threads, options.device)
    print_rows("utilisation", rows, facts)
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
