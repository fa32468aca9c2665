"""Memory of log-probabilities at a large vocabulary, and speed of packed rows against padded ones.

    python -m benchmarks.learner [--sequences 16] [--tokens 1024] [--threads 2] [--json FILE]

Each memory figure is the rise of one process's peak resident memory over what it held before the update.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, Qwen2Config

from benchmarks.machine import describe, print_rows, write_json
from r1zero.config import LearnerConfig
from r1zero.models import attention
from r1zero.models.load import Policy
from r1zero.objectives import OBJECTIVES
from r1zero.training.batching import Group
from r1zero.training.credit import weighed
from r1zero.training.learner import Accumulation, Learner

VOCAB = 151_936


def random_policy(vocab_size: int, hidden_size: int, num_layers: int) -> Policy:
    """A Qwen2.5-shaped model with random weights; the tokenizer is not needed."""
    attention.register()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // 32,
        num_key_value_heads=max(1, hidden_size // 128),
        tie_word_embeddings=True,
        eos_token_id=0,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME).eval()
    model.generation_config = GenerationConfig(eos_token_id=0)
    return Policy(model, None, vocab_size, (0,), 32_768)  # type: ignore[arg-type]


def random_groups(problems: int, samples: int, prompt: int, lengths: list[int], vocab_size: int) -> list[Group]:
    generator = torch.Generator().manual_seed(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, vocab_size, (count,), generator=generator).tolist())

    return [
        Group(
            str(p),
            ids(prompt),
            tuple(ids(lengths[(p * samples + s) % len(lengths)]) for s in range(samples)),
            tuple(1.0 if s % 2 else -1.0 for s in range(samples)),
        )
        for p in range(problems)
    ]


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_memory(how: str, sequences: int, tokens: int) -> dict[str, float]:
    """In a process of its own: loss and peak memory of one Dr. GRPO gradient, chunked or from full logits."""
    policy = random_policy(VOCAB, 256, 2)
    groups = weighed(random_groups(sequences, 1, 1, [tokens - 1], VOCAB), OBJECTIVES["dr_grpo"], tokens)
    # The gradient of the embedding is part of either way: hold it before measuring.
    for parameter in policy.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = peak_bytes()
    if how == "chunked":
        config = LearnerConfig(dtype="float32", device="cpu", tokens_per_microbatch=1 << 40)
        learner = Learner(policy, config, num_updates=1)
        loss = learner._accumulate(groups, Accumulation(OBJECTIVES["dr_grpo"].loss))["loss"]
    else:
        ids = torch.tensor([[*g.prompt_ids, *g.responses[0]] for g in groups])
        logits = policy.model(input_ids=ids, use_cache=False).logits[:, :-1]
        logprobs = -torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        advantages = torch.tensor([g.advantages[0] for g in groups])
        value = -(logprobs.view(len(groups), -1) * advantages[:, None]).sum() / (len(groups) * tokens)
        surrogate = -advantages.mean() * (tokens - 1) / tokens  # the objective's value at ratio 1
        value.backward()
        loss = surrogate.item()
    norm = torch.stack([p.grad.norm() for p in policy.model.parameters()]).norm().item()
    return {"loss": loss, "gradient_norm": norm, "bytes": peak_bytes() - before}


def in_its_own_process(how: str, sequences: int, tokens: int, threads: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.learner", "--measure", how]
    command += ["--sequences", str(sequences), "--tokens", str(tokens), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


def memory_row(sequences: int, tokens: int, threads: int) -> dict[str, object]:
    ours, full = (in_its_own_process(how, sequences, tokens, threads) for how in ("chunked", "full"))
    return {
        "what": f"peak memory at vocabulary {VOCAB:,}, {sequences} x {tokens} tokens: chunked / full logits",
        "ours": f"{ours['bytes'] / 2**30:.2f} GiB",
        "other": f"{full['bytes'] / 2**30:.2f} GiB",
        "ratio": ours["bytes"] / full["bytes"],
        "target": "at most 0.25",
        "note": f"gradient norms differ by {abs(ours['gradient_norm'] / full['gradient_norm'] - 1):.1e}",
    }


def bound_row(sequences: int, tokens: int, threads: int) -> dict[str, object]:
    """The issue's size, where full logits may not fit in memory: against one float32 copy of them."""
    ours = in_its_own_process("chunked", sequences, tokens, threads)
    copy = sequences * tokens * VOCAB * 4
    return {
        "what": f"the same, {sequences} x {tokens} tokens: chunked / one float32 copy of the logits",
        "ours": f"{ours['bytes'] / 2**30:.2f} GiB",
        "other": f"{copy / 2**30:.2f} GiB",
        "ratio": ours["bytes"] / copy,
        "target": "at most 0.25",
        "note": "",
    }


def speed_row(repeats: int = 5) -> dict[str, object]:
    """One gradient of 16 x 8 responses of 20 to 256 tokens: packed rows against right-padded ones, in turn."""
    policy = random_policy(336, 128, 4)
    lengths = [20 + (i * 37) % 237 for i in range(128)]
    groups = weighed(random_groups(16, 8, 30, lengths, 336), OBJECTIVES["dr_grpo"], 256)
    learner = Learner(policy, LearnerConfig(dtype="float32", device="cpu"), num_updates=1)
    rows = [(g.prompt_ids, ids, a) for g in groups for ids, a in zip(g.responses, g.advantages, strict=True)]

    def packed() -> None:
        from r1zero.training.batching import microbatches

        for batch in microbatches(groups, 8192):
            learner._accumulate(batch, Accumulation(OBJECTIVES["dr_grpo"].loss))

    def padded() -> None:
        for at in range(0, len(rows), 32):
            part = rows[at : at + 32]
            longest = max(len(ids) for _, ids, _ in part)
            ids = torch.tensor([[*prompt, *r, *[0] * (longest - len(r))] for prompt, r, _ in part])
            mask = torch.tensor([[1.0] * len(r) + [0.0] * (longest - len(r)) for _, r, _ in part])
            logits = policy.model(input_ids=ids, use_cache=False).logits[:, 29:-1].float()
            logprobs = torch.log_softmax(logits, -1).gather(-1, ids[:, 30:, None])[..., 0]
            advantages = torch.tensor([a for *_, a in part])
            (-(logprobs * mask * advantages[:, None]).sum() / (128 * 256)).backward()

    times: dict[str, list[float]] = {"packed": [], "padded": []}
    for repeat in range(repeats + 1):
        for name, run in (("packed", packed), ("padded", padded)):
            started = time.perf_counter()
            run()
            policy.model.zero_grad()
            if repeat:  # the first of each warms up
                times[name].append(time.perf_counter() - started)
    ours, other = (statistics.median(times[name]) for name in ("packed", "padded"))
    return {
        "what": "time of one gradient, 16 prompts x 8 responses of 20-256 tokens, tiny model: packed / padded in fours",
        "ours": f"{ours:.2f} s",
        "other": f"{other:.2f} s",
        "ratio": ours / other,
        "target": "",
        "note": f"median of {repeats} pairs",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=16, help="sequences of the large-vocabulary gradient")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens in each")
    parser.add_argument("--compared", type=int, default=4, help="sequences where full logits are computed too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    parser.add_argument("--measure", choices=("chunked", "full"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(measure_memory(options.measure, options.sequences, options.tokens)))
        return
    rows = [
        memory_row(options.compared, options.tokens, options.threads),
        bound_row(options.sequences, options.tokens, options.threads),
        speed_row(),
    ]
    facts = describe(options.threads)
    print_rows("learner", rows, facts)
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
