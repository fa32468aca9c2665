"""Handing the learner's weights to vLLM: how long it takes against the model's size, and beside a training step.

    make test-vllm; .venv-vllm/bin/python -m benchmarks.vllm_sync             # without a GPU
    python -m benchmarks.vllm_sync --device cuda --sizes 0.5b 1.5b 7b         # on one

A row is a random Qwen2 of that size: `write_s` copies its weights into memory that vLLM's processes see, `receive_s`
puts them into the running model, `update_s` is both; `sample_s` samples 64 responses of 64 tokens, less than any
training step does.  The last row is a real run: five steps of `quickstart`, and the share of a step an update takes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from benchmarks.machine import describe, print_rows, write_json
from r1zero.cli.recipes import find_recipe
from r1zero.config import EngineConfig, SamplingConfig, TrainConfig, build, merge, read_recipe
from r1zero.engines import Engine, build_engine
from r1zero.engines.vllm_settings import engine_dtype
from r1zero.engines.weight_file import WeightFile
from r1zero.engines.weights import named_weights, publish
from r1zero.models import attention
from r1zero.models.load import Policy, load_policy, make_policy
from r1zero.records import Problem, Prompt
from r1zero.store import read_metrics
from r1zero.training import train

TARGET = 0.10  # of a step
REPEATS = 5
# hidden, layers, heads, key-value heads, feed-forward width, vocabulary
SIZES = {
    "1m": (128, 4, 4, 2, 512, 512),
    "30m": (512, 8, 8, 2, 2048, 512),
    "120m": (768, 16, 12, 2, 3072, 512),
    "0.5b": (896, 24, 14, 2, 4864, 151_936),
    "1.5b": (1536, 28, 12, 2, 8960, 151_936),
    "7b": (3584, 28, 28, 4, 18_944, 152_064),
}


def random_policy(size: str, device: str) -> Policy:
    """A random Qwen2 with the shipped model's tokenizer."""
    hidden, layers, heads, kv_heads, width, vocab = SIZES[size]
    shipped = load_policy("tiny-search", "cpu")
    config = Qwen2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=width,
        vocab_size=vocab,
        max_position_embeddings=1024,
        tie_word_embeddings=size != "7b",
        bos_token_id=None,
        eos_token_id=shipped.end_ids[0],
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME, dtype=torch.float32)
    return make_policy(model.to(device).eval(), shipped.tokenizer)


def timed(act: Callable[[], Any]) -> float:
    """Median seconds of a few times."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def measure(size: str, config: EngineConfig, device: str) -> dict[str, Any]:
    """One size: seconds of an update and of sampling."""
    policy = random_policy(size, device)
    engine: Engine = build_engine(config, policy)
    prompts = [Prompt(Problem(str(i), "", "", ""), "none", "", (5, 6, 7, 8 + i)) for i in range(8)]
    versions = iter(range(1, 100))

    def sample() -> None:
        engine.generate(prompts, samples=8, sampling=SamplingConfig(max_tokens=64), address=(0,))

    sample()
    file, dtype = WeightFile(), engine_dtype(config, policy)
    write_s = timed(lambda: file.write(named_weights(policy), dtype))
    update_s = timed(lambda: publish(engine, policy, next(versions)))
    row = {
        "model": size,
        "MB": file.size / 1e6,
        "write_s": write_s,
        "receive_s": update_s - write_s,
        "update_s": update_s,
        "sample_s": timed(sample),
    }
    file.close()
    engine.close()  # type: ignore[attr-defined]
    return row


def measure_run(config: EngineConfig, device: str, steps: int) -> dict[str, Any]:
    """The share of a training step that the update takes, median over the steps after the first."""
    with tempfile.TemporaryDirectory() as folder:
        engine = {name: getattr(config, name) for name in ("name", "dtype", "enforce_eager", "timeout_s")}
        settings = {
            "steps": steps,
            "run": {"dir": str(Path(folder) / "run")},
            "engine": engine,
            "learner": {"device": device},
            "evaluation": {"num_problems": 8, "every": 0},
            "checkpoint": {"every": 0},
        }
        run = train(build(TrainConfig, merge(read_recipe(find_recipe("quickstart")), settings)))
        rows = read_metrics(run.dir)[2:]
    update_s = statistics.median(row["engine/update_s"] for row in rows)
    step_s = statistics.median(row["speed/step_s"] for row in rows)
    share = statistics.median(row["engine/update_s"] / row["speed/step_s"] for row in rows)
    return {"model": "tiny-search, quickstart", "update_s": update_s, "step_s": step_s, "update/step": share}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vllm_sync",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=["1m", "30m", "120m"], help="models to measure")
    parser.add_argument("--engine", choices=("vllm", "vllm_server"), default="vllm", help="in which engine")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps", type=int, default=6, help="steps of the training run; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    config = EngineConfig(name=options.engine, max_concurrent=64)
    rows = [measure(size, config, options.device) for size in options.sizes]
    if options.steps:
        rows.append(measure_run(config, options.device, options.steps))
        verdict = "reached" if rows[-1]["update/step"] < TARGET else "missed"
    facts = describe(torch.get_num_threads(), options.device)
    print_rows(f"weights into {options.engine}", rows, facts)
    if options.steps:
        print(f"target: an update takes less than {TARGET:.0%} of a step: {verdict} ({rows[-1]['update/step']:.1%})")
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
