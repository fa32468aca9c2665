"""Time and memory of one RL step on pictures: a random Qwen2-VL samples, and learns from what it sampled.

    python -m benchmarks.visual_step                                          # a tiny shape, one CPU thread
    python -m benchmarks.visual_step --device cuda --shape qwen2-vl-2b        # as the recipe visualthinker steps
    python -m benchmarks.visual_step --device cuda --shape qwen2-vl-2b --lora-rank 64

Each problem is one noisy picture and words without meaning; a random model hardly ever ends, so that responses are as
long as they may be.  Sampling and learning are those of `r1zero train`: the fast engine, GRPO with a KL term, one
update.  The first step warms up and is not counted.  Memory is the largest that was allocated on a GPU in the phase; on
a CPU, the largest that the process has held until then.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

from benchmarks.engine import NoText
from benchmarks.machine import describe, print_rows, write_json
from r1zero.config import EngineConfig, LearnerConfig, LoraConfig, SamplingConfig
from r1zero.engines.fast import FastEngine
from r1zero.models import attention, lora
from r1zero.models.load import Policy
from r1zero.models.vision_prompt import look
from r1zero.models.vision_qwen import qwen_vision
from r1zero.objectives import OBJECTIVES
from r1zero.records import Problem, Prompt, Response
from r1zero.training.batching import Group
from r1zero.training.credit import weighed
from r1zero.training.learner import Learner


@dataclass(frozen=True)
class Shape:
    """A Qwen2-VL.  Rotary sections are of half a head."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocab: int
    sections: tuple[int, int, int]
    tower_width: int
    tower_depth: int
    tower_heads: int
    temporal_patch: int = 2


SHAPES = {
    "tiny": Shape(128, 4, 4, 2, 512, 400, (4, 6, 6), 96, 2, 4),
    "qwen2-vl-2b": Shape(1536, 28, 12, 2, 8960, 151_936, (16, 24, 24), 1280, 32, 16),
    "qwen2-vl-7b": Shape(3584, 28, 28, 4, 18_944, 152_064, (16, 24, 24), 1280, 32, 16),
}
PROMPT_WORDS = 96  # tokens of the question behind the picture


def random_policy(shape: Shape, device: torch.device, max_pixels: int) -> Policy:
    """A model of that shape with random weights; its tokenizer is not needed."""
    attention.register()
    torch.manual_seed(0)
    start, end, picture, film = range(shape.vocab - 4, shape.vocab)
    config = AutoConfig.for_model(
        "qwen2_vl",
        text_config={
            "vocab_size": shape.vocab,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "max_position_embeddings": 32_768,
            "bos_token_id": None,
            "eos_token_id": 0,
            "pad_token_id": 0,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(shape.sections)},
        },
        vision_config={
            "depth": shape.tower_depth,
            "embed_dim": shape.tower_width,
            "hidden_size": shape.hidden,
            "num_heads": shape.tower_heads,
            "mlp_ratio": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": shape.temporal_patch,
        },
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=picture,
        video_token_id=film,
        tie_word_embeddings=shape.vocab != 152_064,  # the largest has a head of its own
    )
    model = AutoModelForImageTextToText.from_config(config, attn_implementation=attention.NAME, dtype=torch.float32)
    model.generation_config = GenerationConfig(eos_token_id=0)
    limits = {"shortest_edge": 28 * 28, "longest_edge": max_pixels}
    settings = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": shape.temporal_patch, "size": limits}
    vision = qwen_vision(config, settings)
    return Policy(model.to(device).eval(), NoText(), shape.vocab, (0,), 32_768, vision)  # type: ignore[arg-type]


def prompts_of(policy: Policy, folder: Path, count: int, size: tuple[int, int]) -> list[Prompt]:
    """A noisy picture and random words each."""
    assert policy.vision is not None
    made = []
    for number in range(count):
        path, rng = folder / f"{number}.png", random.Random(number)
        Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1])).save(path)
        (patches,) = look(policy, (str(path),))
        words = [rng.randrange(1, policy.vocab_size - 4) for _ in range(PROMPT_WORDS)]
        ids = (*policy.vision.placeholders(patches), *words)
        made.append(Prompt(Problem(f"p{number}", "benchmark", "", ""), "none", "", ids, (str(path),)))
    return made


def groups_of(prompts: Sequence[Prompt], responses_PG: Sequence[Sequence[Response]], tokens: int) -> list[Group]:
    """Every second response has done well."""
    groups = [
        Group(
            prompt.problem.id,
            prompt.token_ids,
            responses=tuple(response.token_ids for response in responses),
            advantages=tuple((-1.0) ** g for g in range(len(responses))),
            sampler_logprobs=tuple(response.logprobs for response in responses),
            images=prompt.images,
        )
        for prompt, responses in zip(prompts, responses_PG, strict=True)
    ]
    return weighed(groups, OBJECTIVES["grpo"], tokens)


@dataclass(frozen=True)
class Phase:
    """What a part of a step took."""

    seconds: float
    gibibytes: float


def timed(work: Callable[[], Any], device: torch.device) -> tuple[Any, Phase]:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        held = torch.cuda.max_memory_allocated(device)
    else:
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result, Phase(time.perf_counter() - started, held / 2**30)


def measure(options: argparse.Namespace) -> list[dict[str, object]]:
    """One row a phase: sampling, learning, the step of both."""
    device = torch.device(options.device)
    width, height = options.picture
    policy = random_policy(SHAPES[options.shape], device, max_pixels=options.max_pixels)
    if options.lora_rank:
        settings = LoraConfig(rank=options.lora_rank, alpha=2.0 * options.lora_rank)
        lora.adapt(policy, settings, base=options.shape, freeze="none", seed=0)
    engine = FastEngine(EngineConfig(max_concurrent=options.problems * options.samples), policy)
    learner = Learner(
        policy,
        LearnerConfig(dtype=options.dtype, device=options.device, tokens_per_microbatch=options.tokens_per_microbatch),
        num_updates=options.steps + 1,
        gradient_checkpointing=not options.keep_activations,
        with_reference=True,
        max_tokens=options.tokens,
    )
    objective = replace(OBJECTIVES["grpo"], kl_coef=0.04)
    sampling = SamplingConfig(max_tokens=options.tokens)
    phases: dict[str, list[Phase]] = {"sampling": [], "learning": []}
    with tempfile.TemporaryDirectory() as folder:
        prompts = prompts_of(policy, Path(folder), options.problems, (width, height))
        for step in range(options.steps + 1):
            address = ("benchmark", step)
            responses_PG, sampled = timed(
                lambda address=address: engine.generate(
                    prompts, samples=options.samples, sampling=sampling, address=address
                ),
                device,
            )
            groups = groups_of(prompts, responses_PG, options.tokens)
            update, learned = timed(lambda groups=groups: learner.update(groups, objective.loss), device)
            if step:
                phases["sampling"].append(sampled)
                phases["learning"].append(learned)
    responses = sum(response.num_tokens for row in responses_PG for response in row)
    seconds = {name: statistics.median(phase.seconds for phase in found) for name, found in phases.items()}
    memory = {name: max(phase.gibibytes for phase in found) for name, found in phases.items()}
    gap = update.metrics.get("policy/sampler_gap_max", float("nan"))
    parameters = sum(weight.numel() for weight in policy.model.parameters())
    learns = sum(weight.numel() for weight in learner.parameters)
    rows = [
        ("sampling", responses, "response tokens"),
        ("learning", update.num_tokens, "prompt and response tokens, each prompt once for its group"),
    ]
    features = sum(id == policy.vision.image_id for id in prompts[0].token_ids) if policy.vision else 0
    made: list[dict[str, object]] = [
        {
            "phase": name,
            "seconds": seconds[name],
            "tokens": tokens,
            "tokens/s": tokens / seconds[name],
            "memory GiB": memory[name],
            "note": note,
        }
        for name, tokens, note in rows
    ]
    whole = sum(seconds.values())
    note = f"{parameters:,} weights, {learns:,} learn; {features} tokens a picture; largest sampler gap {gap:.1e}"
    return [
        *made,
        {
            "phase": "step",
            "seconds": whole,
            "tokens": responses,
            "tokens/s": responses / whole,
            "memory GiB": max(memory.values()),
            "note": note,
        },
    ]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="which Qwen2-VL; all have random weights")
    parser.add_argument("--problems", type=int, default=8, help="problems of a step, each with a picture of its own")
    parser.add_argument("--samples", type=int, default=8, help="responses to each")
    parser.add_argument("--tokens", type=int, help="tokens of each response; 700 as in the recipe, 64 where tiny")
    parser.add_argument("--picture", type=int, nargs=2, help="width and height in pixels; 640 480, 84 84 where tiny")
    parser.add_argument("--max-pixels", type=int, default=401_408, help="larger pictures are scaled down to this area")
    parser.add_argument("--steps", type=int, default=3, help="steps that are counted, after one that is not")
    parser.add_argument(
        "--lora-rank", type=int, default=0, help="adapters in place of all weights; 0: all weights learn"
    )
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help="the learner's")
    parser.add_argument("--tokens-per-microbatch", type=int, default=8192)
    parser.add_argument("--keep-activations", action="store_true", help="no recomputation in the backward pass")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    options = parser.parse_args(arguments)
    options.tokens = options.tokens or (64 if options.shape == "tiny" else 700)
    options.picture = options.picture or ((84, 84) if options.shape == "tiny" else (640, 480))
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device: --device cpu")
    return options


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    rows = measure(options)
    facts = describe(options.threads, options.device)
    title = f"one step of a random {options.shape}: {options.problems} problems x {options.samples} responses of up to "
    print_rows(f"{title}{options.tokens} tokens", rows, facts)
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
