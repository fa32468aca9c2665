"""Speed of the `fast` engine: against transformers' `generate`, and as the number of concurrent sequences grows.

    python -m benchmarks.engine                                        # the tiny model, one CPU thread
    python -m benchmarks.engine --device cuda --shape qwen2.5-0.5b     # a random model of that shape on a GPU

Every row is a ratio of times taken alternately in one run, on one machine, with the same threads and the same weights.
`generate` samples plainly (temperature 1, no log-probabilities, transformers' own attention), which is less work than
the engine does.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, Qwen2Config

from benchmarks.machine import describe, print_rows, write_json
from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines.fast import FastEngine
from r1zero.models import attention
from r1zero.models.load import Policy
from r1zero.records import Problem, Prompt

TARGET_SPEEDUP, TARGET_GROWTH = 3.0, 1.2
GROUP = 8
SIZES = (64, 128, 256, 512, 1024)

# hidden, layers, heads, key-value heads, feed-forward width, vocabulary
SHAPES = {
    "tiny": (128, 4, 4, 2, 512, 336),
    "qwen2.5-0.5b": (896, 24, 14, 2, 4864, 151_936),
    "qwen2.5-1.5b": (1536, 28, 12, 2, 8960, 151_936),
}


@dataclass(frozen=True)
class Timing:
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class NoText:
    """Stands in for a tokenizer where the model is random and its text means nothing."""

    def decode(self, token_ids: Sequence[int], **kwargs: object) -> str:
        return ""


def random_policy(shape: str, device: torch.device, mean_tokens: int) -> Policy:
    """A Qwen2 of that shape.  Random weights make all ids nearly equally likely, so the number of end ids sets how long
    a response is on average."""
    hidden, layers, heads, kv_heads, width, vocab = SHAPES[shape]
    torch.manual_seed(0)
    config = Qwen2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=width,
        vocab_size=vocab,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME, dtype=torch.float32)
    return Policy(model.to(device).eval(), NoText(), vocab, tuple(range(round(vocab / mean_tokens))), 32_768)


def stock_copy(policy: Policy) -> PreTrainedModel:
    """The same weights under transformers' own attention."""
    model = AutoModelForCausalLM.from_config(policy.model.config, attn_implementation="sdpa", dtype=torch.float32)
    model.load_state_dict(policy.model.state_dict())
    return model.to(policy.device).eval()


def make_prompts(policy: Policy, num_prompts: int, shortest: int, longest: int) -> list[Prompt]:
    """Prompts of random ids, lengths uniform in shortest..longest tokens."""
    rng = random.Random(0)
    ids = range(max(policy.end_ids) + 1, policy.vocab_size)
    lengths = [rng.randint(shortest, longest) for _ in range(num_prompts)]
    return [
        Prompt(Problem(str(i), "bench", "", ""), "none", "", tuple(rng.choices(ids, k=length)))
        for i, length in enumerate(lengths)
    ]


def fast_sampler(
    policy: Policy, prompts: Sequence[Prompt], max_tokens: int, *, may_end: bool
) -> Callable[[int], Timing]:
    """One call of the engine, all sequences concurrent; the argument addresses the randomness."""
    engine = FastEngine(EngineConfig(max_concurrent=len(prompts) * GROUP), policy)
    engine.generate(prompts[:1], samples=1, sampling=SamplingConfig(max_tokens=2), address=())
    engine.policy = policy if may_end else replace(policy, end_ids=())

    def run(repeat: int) -> Timing:
        begin = time.perf_counter()
        responses_PG = engine.generate(
            prompts, samples=GROUP, sampling=SamplingConfig(max_tokens=max_tokens), address=(repeat,)
        )
        return Timing(sum(r.num_tokens for group in responses_PG for r in group), time.perf_counter() - begin)

    return run


def transformers_sampler(
    policy: Policy, prompts: Sequence[Prompt], max_tokens: int, *, may_end: bool
) -> Callable[[int], Timing]:
    """One call of `generate` on the same prompts, left-padded; tokens after a row's end are not counted."""
    model = stock_copy(policy)
    ends = list(policy.end_ids) if may_end else None
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=ends,
        pad_token_id=0,
        max_new_tokens=max_tokens,
    )
    width = max(len(prompt.token_ids) for prompt in prompts)
    rows = [[0] * (width - len(p.token_ids)) + list(p.token_ids) for p in prompts for _ in range(GROUP)]
    mask = [[0] * (width - len(p.token_ids)) + [1] * len(p.token_ids) for p in prompts for _ in range(GROUP)]
    input_ids, attention_mask = torch.tensor(rows, device=policy.device), torch.tensor(mask, device=policy.device)

    def run(repeat: int) -> Timing:
        torch.manual_seed(repeat)
        begin = time.perf_counter()
        with torch.inference_mode():
            sampled = model.generate(input_ids, attention_mask=attention_mask)[:, width:]
        sampled = sampled.cpu()
        seconds = time.perf_counter() - begin
        ended = torch.isin(sampled, torch.tensor(ends or [-1])).int()
        return Timing(int(((ended.cumsum(1) - ended) == 0).sum()), seconds)

    return run


def alternate(first: Callable[[int], Timing], second: Callable[[int], Timing], repeats: int) -> list[list[Timing]]:
    """Timings [2][repeats], taken in turns so that a busy machine slows both."""
    first(-1), second(-1)
    pairs = [(first(i), second(i)) for i in range(repeats)]
    return [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]


def compare(policy: Policy, args: argparse.Namespace, *, may_end: bool) -> dict[str, object]:
    """The speed-up over `generate` at batch 128, as the median of ratios of adjacent runs."""
    prompts = make_prompts(policy, 128 // GROUP, *args.prompt_tokens)
    ours, theirs = alternate(
        fast_sampler(policy, prompts, args.max_tokens, may_end=may_end),
        transformers_sampler(policy, prompts, args.max_tokens, may_end=may_end),
        args.repeats,
    )
    mean = statistics.mean(t.tokens for t in ours) / (len(prompts) * GROUP)
    return {
        "what": f"tokens/s at batch 128, {'responses that end' if may_end else 'none ends'}: fast / transformers",
        "ours": f"{statistics.median(t.rate for t in ours):,.0f}",
        "other": f"{statistics.median(t.rate for t in theirs):,.0f}",
        "ratio": statistics.median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True)),
        "target": f"at least {TARGET_SPEEDUP}",
        "note": f"{mean:.0f} tokens a response, median of {args.repeats} pairs",
    }


def growth(policy: Policy, args: argparse.Namespace) -> list[dict[str, object]]:
    """Seconds per token at each number of concurrent sequences, over those at the smallest."""
    samplers = {}
    for size in args.sizes:
        prompts = make_prompts(policy, size // GROUP, *args.prompt_tokens)
        samplers[size] = fast_sampler(policy, prompts, args.max_tokens, may_end=False)
    rounds = [{size: run(i) for size, run in samplers.items()} for i in range(args.repeats)]
    rows: list[dict[str, object]] = []
    for size in args.sizes:
        rate, first = (statistics.median(r[s].rate for r in rounds) for s in (size, args.sizes[0]))
        share = bytes_per_token(policy, args, size) * rate / args.bandwidth
        rows.append(
            {
                "what": f"cost per token, {size} / {args.sizes[0]} concurrent sequences",
                "ours": f"{1e6 / rate:.1f} us",
                "other": f"{1e6 / first:.1f} us",
                "ratio": statistics.median(r[args.sizes[0]].rate / r[size].rate for r in rounds),
                "target": f"at most {TARGET_GROWTH}",
                "note": f"{rate:,.0f} tokens/s, {share:.0%} of read bandwidth",
            }
        )
    return rows


def bytes_per_token(policy: Policy, args: argparse.Namespace, rows: int) -> float:
    """Memory that must be read for a token: its row's keys and values, and its share of the weights."""
    config = policy.model.config
    weights = sum(p.numel() * p.element_size() for p in policy.model.parameters())
    context = sum(args.prompt_tokens) / 2 + args.max_tokens / 2
    head = config.hidden_size // config.num_attention_heads
    return weights / rows + 2 * 4 * config.num_hidden_layers * config.num_key_value_heads * head * context


def read_bandwidth(device: torch.device) -> float:
    """Bytes a second that a sum over a tensor far larger than any cache reads."""
    values = torch.ones(1 << 28, device=device)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        values.sum().item()
        seconds.append(time.perf_counter() - begin)
    return values.numel() * 4 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="random model to measure with")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--repeats", type=int, default=3, help="alternating repetitions; medians are reported")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest response, in tokens")
    parser.add_argument("--mean-tokens", type=int, default=168, help="mean response length, in tokens, before the cut")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=(24, 34), help="shortest and longest prompt")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of concurrent sequences")
    parser.add_argument("--only", choices=("compare", "growth"), help="measure one part")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    attention.register()
    policy = random_policy(args.shape, torch.device(args.device), args.mean_tokens)
    args.bandwidth = read_bandwidth(policy.device)
    rows: list[dict[str, object]] = []
    if args.only != "growth":
        rows += [compare(policy, args, may_end=may_end) for may_end in (False, True)]
    if args.only != "compare":
        rows += growth(policy, args)
    facts = describe(args.threads, args.device) | {
        "read_bandwidth_gb_per_s": round(args.bandwidth / 1e9, 1),
        "model": args.shape,
        "prompt_tokens": args.prompt_tokens,
        "max_tokens": args.max_tokens,
        "group": GROUP,
        "repeats": args.repeats,
    }
    print_rows(f"engine, {args.shape}", rows, facts)
    write_json(args.json, rows, facts)


if __name__ == "__main__":
    main()
