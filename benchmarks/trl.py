"""The whole training step against TRL's GRPOTrainer: the same model, problems, rewards, loss and optimizer.

    python -m benchmarks.trl                               # 20 steps of the quickstart's Dr. GRPO in each, one thread
    python -m benchmarks.trl --steps 4 --dtypes float32    # a quick look
    python -m benchmarks.trl --steps 40 --json FILE        # long enough to compare what they learn

They take turns, so every ratio is of two neighbouring steps on the same machine; medians are reported.  Loading and the
first step, a warm-up, are not timed.  A step is sampling, grading, advantages, the update and, in r1zero, writing every
rollout and metric to disk.

TRL samples with transformers' `generate` (vLLM needs a GPU) and attention `sdpa`, and is given what was fastest for it
here: small micro-batches, no gradient checkpointing, no logging, no saving.  Weights are float32 in both.  In bfloat16
r1zero computes the update under autocast and samples in float32; TRL, by its default `bf16=True`, does both under it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe, print_rows, write_json
from benchmarks.turns import Player, Turn, play
from r1zero.cli.recipes import find_recipe
from r1zero.config import TrainConfig, build, merge, nested, read_recipe, to_dict
from r1zero.evaluation.ask import encode
from r1zero.grading import grade
from r1zero.grading.reward import reward
from r1zero.models.load import load_policy, resolve_model
from r1zero.records import FinishReason
from r1zero.statistics.intervals import mean_interval, paired_difference
from r1zero.store import part_path, read_rollouts
from r1zero.tasks import build_task
from r1zero.tasks.templates import load_template
from r1zero.training.learner import compute_dtype
from r1zero.training.loop import train

SHORT = 6  # steps in every dtype but the first: they are only timed
EARLY = 4  # steps whose rewards and lengths tell whether both sample and grade alike


def num_responses(config: TrainConfig) -> int:
    return config.problems_per_step * config.responses_per_problem


def train_r1zero(pipe: Connection, config: TrainConfig) -> None:
    turn = Turn(pipe, config.responses_per_problem)

    class Progress:
        def step(self, step: int, metrics: dict[str, float]) -> None:
            rows = read_rollouts([part_path(Path(config.run.dir), "train", step)]).collect()
            turn.end(rows["reward"].to_list(), rows["num_tokens"].to_list())
            turn.begin()

        def note(self, message: str) -> None: ...

        def tokens(self, count: int) -> None: ...

    turn.begin()
    # One step more than will be asked for: what follows the last one (evaluation, saving) is not part of a step.
    train(replace(config, steps=config.steps + 1), Progress())


def train_trl(pipe: Connection, config: TrainConfig, micro_batch: int) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import GRPOTrainer

    torch.set_num_threads(config.run.threads)
    turn = Turn(pipe, config.responses_per_problem)
    policy, template = load_policy(config.model.path, "cpu"), load_template(config.template.name)
    problems = build_task(config.task, config.seed).problems("train", 0, config.steps * config.problems_per_step)
    prompts = encode(problems, template, policy)
    texts = [prompt.text for prompt in prompts]
    if policy.tokenizer(text=texts)["input_ids"] != [list(prompt.token_ids) for prompt in prompts]:
        raise ValueError("TRL would read these prompts as other tokens than r1zero does: choose another --model")
    sampled: dict[str, list[float]] = {}

    def graded(completions: list[str], completion_ids: list[list[int]], gold: list[str], **_: object) -> list[float]:
        ends: Iterator[FinishReason] = (
            "stop" if ids and ids[-1] in policy.end_ids else "length" for ids in completion_ids
        )
        sampled["rewards"] = [
            reward(grade(text, answer, template.answer_format, task=config.task.name), end, config.reward)
            for text, answer, end in zip(completions, gold, ends, strict=True)
        ]
        sampled["tokens"] = [float(len(ids)) for ids in completion_ids]
        return sampled["rewards"]

    class Turns(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            turn.begin()

        def on_step_end(self, *_: object, **__: object) -> None:
            turn.end(**sampled)

    path = resolve_model(config.model.path)
    GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa"),
        processing_class=policy.tokenizer,
        reward_funcs=graded,
        args=grpo_config(config, micro_batch),
        train_dataset=Dataset.from_dict({"prompt": texts, "gold": [problem.gold for problem in problems]}),
        callbacks=[Turns()],
    ).train()


def grpo_config(config: TrainConfig, micro_batch: int) -> Any:
    """The recipe in TRL's words: one optimizer step on each batch of fresh responses, problems in order."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=config.run.dir,
        seed=config.seed,
        max_steps=config.steps,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=num_responses(config) // micro_batch,
        num_generations=config.responses_per_problem,
        max_completion_length=config.sampling.max_tokens,
        temperature=config.sampling.temperature,
        top_p=config.sampling.top_p,
        top_k=config.sampling.top_k,
        shuffle_dataset=False,
        loss_type="dr_grpo",
        scale_rewards="none",
        beta=0.0,
        learning_rate=config.learner.lr,
        lr_scheduler_type="constant",
        adam_beta1=config.learner.beta1,
        adam_beta2=config.learner.beta2,
        weight_decay=config.learner.weight_decay,
        max_grad_norm=config.learner.max_grad_norm,
        bf16=config.learner.dtype == "bfloat16",
        gradient_checkpointing=False,
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def make_players(config: TrainConfig, dtypes: Sequence[str], micro_batch: int, folder: str) -> dict[str, Player]:
    """ "r1zero bfloat16", "TRL bfloat16", ...: both in each dtype."""
    players = {}
    for dtype in dtypes:
        num_steps = config.steps if dtype == dtypes[0] else min(config.steps, SHORT)
        learner = replace(config.learner, dtype=dtype)  # type: ignore[arg-type]  # argparse checked it
        for name, trainer in (("r1zero", train_r1zero), ("TRL", partial(train_trl, micro_batch=micro_batch))):
            run = replace(config.run, dir=f"{folder}/{name}-{dtype}")
            mine = replace(config, steps=num_steps, learner=learner, run=run)
            players[f"{name} {dtype}"] = Player(partial(trainer, config=mine), num_steps)
    return players


def speed_row(players: Mapping[str, Player], ours: str, other: str) -> dict[str, Any]:
    pairs = list(zip(players[ours].timed, players[other].timed, strict=False))
    ratios = [b.seconds / a.seconds for a, b in pairs]
    by_cpu = statistics.median(b.cpu_seconds / a.cpu_seconds for a, b in pairs)
    return {
        "what": f"a training step: {other} / {ours}",
        "ours": f"{statistics.median(step.seconds for step, _ in pairs):.2f} s",
        "other": f"{statistics.median(step.seconds for _, step in pairs):.2f} s",
        "ratio": statistics.median(ratios),
        "target": "at least 4",
        "note": f"{len(ratios)} pairs: {min(ratios):.1f} to {max(ratios):.1f}; in processor time {by_cpu:.1f}",
    }


def outcome_row(what: str, unit: str, ours: list[float], other: list[float], *, target: str) -> dict[str, Any]:
    """Means over problems, [P] each, with their intervals and that of the paired difference."""
    return {
        "what": what,
        "ours": f"{mean_interval(ours):{unit}}",
        "other": f"{mean_interval(other):{unit}}",
        "ratio": statistics.fmean(ours) / (statistics.fmean(other) or math.nan),
        "target": target,
        "note": f"difference {paired_difference(other, ours).interval:{unit}}",
    }


def score(players: Mapping[str, Player], dtypes: Sequence[str]) -> list[dict[str, Any]]:
    """The rows: seconds, then whether both did the same work and learned alike, in the first dtype."""
    rows = [speed_row(players, f"r1zero {dtype}", f"TRL {dtype}") for dtype in dtypes]
    rows += [speed_row(players, f"r1zero {dtypes[0]}", f"TRL {dtype}") for dtype in dtypes[1:]]
    ours, other = players[f"r1zero {dtypes[0]}"].steps, players[f"TRL {dtypes[0]}"].steps
    half, n = len(ours) // 2, min(EARLY, len(ours))

    def both(name: str, span: slice) -> list[list[float]]:
        return [[x for step in steps[span] for x in getattr(step, name)] for steps in (ours, other)]

    same, better = "the same, but for chance", "equal or better"
    return [
        *rows,
        outcome_row(f"reward, steps 1 to {n}", "f", *both("rewards_P", slice(n)), target=same),
        outcome_row(f"tokens of a response, steps 1 to {n}", ".0f", *both("tokens_P", slice(n)), target=same),
        outcome_row(
            f"reward, steps {half + 1} to {len(ours)}", "f", *both("rewards_P", slice(half, None)), target=better
        ),
    ]


def read_options() -> tuple[argparse.Namespace, TrainConfig]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    dtypes = ("bfloat16", "float32")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps; the second half's rewards are compared")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    parser.add_argument("--model", default="tiny-search", help="a shipped name or a directory")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest response, in tokens")
    parser.add_argument("--micro-batch", type=int, default=32, help="responses in a forward pass of TRL's update")
    parser.add_argument("--seed", type=int, default=0, help="of problems and sampling")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    parser.add_argument(
        "--dtypes", nargs="+", choices=dtypes, help=f"arithmetic of both; all but the first make {SHORT} steps at most"
    )
    options = parser.parse_args()
    if missing := [name for name in ("trl", "datasets", "accelerate") if importlib.util.find_spec(name) is None]:
        parser.exit(2, f"{missing[0]} is not installed: pip install 'r1zero[bench]'\n")
    if options.steps < 2:
        parser.error(f"--steps {options.steps}: must be at least 2, the first is a warm-up")
    native = compute_dtype("auto", torch.device("cpu")) is torch.bfloat16
    options.dtypes = list(dict.fromkeys(options.dtypes or (dtypes if native else dtypes[1:])))
    given = {
        "steps": options.steps,
        "seed": options.seed,
        "run.threads": options.threads,
        "model.path": options.model,
        "sampling.max_tokens": options.max_tokens,
        "objective.name": "dr_grpo",
        "learner.device": "cpu",
        "evaluation.every": 0,
        "evaluation.num_problems": 1,
        "checkpoint.every": 0,
    }
    try:
        config = build(TrainConfig, merge(read_recipe(find_recipe("quickstart")), nested(given)))
        resolve_model(options.model)
    except ValueError as error:
        parser.error(str(error))
    if options.micro_batch < 1 or num_responses(config) % options.micro_batch:
        parser.error(
            f"--micro-batch {options.micro_batch}: must divide the {num_responses(config)} responses of a step"
        )
    return options, config


def main() -> None:
    options, config = read_options()
    with tempfile.TemporaryDirectory() as folder:
        players = make_players(config, options.dtypes, options.micro_batch, folder)
        play(players, options.threads)
    rows = score(players, options.dtypes)
    facts = describe(options.threads)
    facts["versions"]["trl"] = importlib.metadata.version("trl")
    facts["micro_batch_of_trl"] = options.micro_batch
    facts["config"] = to_dict(config)
    facts["steps"] = {name: [asdict(step) for step in player.steps] for name, player in players.items()}
    print_rows(f"a training step of r1zero against TRL {facts['versions']['trl']}", rows, facts)
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
