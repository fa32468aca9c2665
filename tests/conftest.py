"""Fixtures shared by rooms: a run directory as training writes it, without training."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # tests side by side: threads of several processes wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from r1zero.analysis.ledger import length_reference
from r1zero.analysis.metrics import evaluation_metrics, rollout_metrics
from r1zero.config import ArchitectureConfig, TrainConfig, build, merge, to_dict
from r1zero.models.load import save_policy
from r1zero.models.tiny import fresh_policy, train_tokenizer
from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.store import append_metrics, part_path, write_config, write_rollouts


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Qwen2 with random weights."""
    tokenizer = train_tokenizer(["Numbers: 3, 8, 5\nTarget: 23\n3 * 8 = 24\nAnswer: 3 * 8"], 300)
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1, intermediate_size=48, vocab_size=len(tokenizer)
    )
    directory = tmp_path_factory.mktemp("models") / "random"
    save_policy(fresh_policy(shape, tokenizer, seed=0), directory)
    return directory


@dataclass(frozen=True)
class FakeRun:
    """What a made-up training run looked like: accuracy and lengths move linearly from first to last step."""

    steps: int = 40
    every: int = 10
    problems: int = 128
    accuracy: tuple[float, float] = (0.17, 0.41)
    truncated: tuple[float, float] = (0.10, 0.04)
    unformatted: tuple[float, float] = (0.12, 0.03)
    growth: float = 0.25  # of the lengths of wrong answers
    evaluates: bool = True
    stopped_at: int | None = None
    samples: int = 1

    def at(self, name: str, step: int) -> float:
        first, last = getattr(self, name)
        return first + (last - first) * step / max(1, self.steps)


@pytest.fixture
def fake_run(tmp_path: Path) -> Callable[..., Path]:
    """make(name, settings={"objective": {"name": "grpo"}}, **FakeRun fields) -> the run's directory"""

    def make(name: str = "run", settings: dict | None = None, **fields: object) -> Path:
        return write_fake_run(tmp_path / name, settings or {}, FakeRun(**fields))  # type: ignore[arg-type]

    return make


def write_fake_run(run_dir: Path, settings: dict, fake: FakeRun) -> Path:
    """Config, metrics and rollouts of a run that was never trained; equal for equal arguments."""
    evaluation = {"every": fake.every, "num_problems": fake.problems, "samples": fake.samples}
    base = {"steps": fake.steps, "problems_per_step": 6, "responses_per_problem": 4, "evaluation": evaluation}
    config = build(TrainConfig, merge(base, settings))
    saved = {"config": to_dict(config), "versions": {"r1zero": "0.1.0", "torch": "2.13.0"}, "commit": "0123abcd" * 5}
    write_config(run_dir, saved | {"verb": "train", "created": "2026-01-02T03:04:05Z"})
    problems, reference = config.problems_per_step, None
    for step in range((fake.steps if fake.stopped_at is None else fake.stopped_at) + 1):
        row: dict[str, float] = {}
        if step:
            rng = random.Random(f"{config.seed}/{config.objective.name}/train/{step}")
            groups = [
                sample_group(rng, fake, step, f"t{step}-{i}", config.responses_per_problem) for i in range(problems)
            ]
            rollouts = [replace(rollout, advantage=0.0) for group in groups for rollout in group]
            reference = reference or length_reference(rollouts)
            write(run_dir, "train", step, rollouts, config.seed)
            row = rollout_metrics(rollouts, config.responses_per_problem, reference) | learner_metrics(rng, step)
        if fake.evaluates and (step in (0, fake.steps) or step % fake.every == 0):
            held_out = []
            for i in range(fake.problems):
                arm = config.objective.name if step else "initial model"
                rng = random.Random(f"{config.seed}/{arm}/eval/{step}/{i}")
                held_out += sample_group(rng, fake, step, f"h{config.seed}-{i}", fake.samples)
            write(run_dir, "eval", step, held_out, config.seed)
            row |= evaluation_metrics(held_out, "countdown") | {"speed/eval_s": 1.5}
        append_metrics(run_dir, {"step": step} | row)
    return run_dir


def write(run_dir: Path, split: str, step: int, rollouts: list[Rollout], seed: int) -> None:
    path = part_path(run_dir, split, step)  # type: ignore[arg-type]
    write_rollouts(path, rollouts, run=run_dir.name, temperature=1.0, top_p=1.0, seed=seed)


def learner_metrics(rng: random.Random, step: int) -> dict[str, float]:
    seconds = 3 + rng.random()
    return {
        "policy/entropy": 0.9 * math.exp(-step / 60) + rng.gauss(0, 0.02),
        "policy/kl_sampler_learner": abs(rng.gauss(0, 2e-7)),
        "policy/clip_share": 0.0,
        "grad/norm": 0.4 + rng.random() / 5,
        "learner/lr": 8e-5,
        "learner/loss": rng.gauss(0, 0.01),
        "speed/rollout_tokens_per_s": 5200 + rng.gauss(0, 200),
        "speed/learner_tokens_per_s": 21_000 + rng.gauss(0, 900),
        "speed/rollout_s": seconds * 0.7,
        "speed/learn_s": seconds * 0.28,
        "speed/grade_s": seconds * 0.02,
        "speed/step_s": seconds,
    }


def sample_group(rng: random.Random, fake: FakeRun, step: int, problem_id: str, samples: int) -> list[Rollout]:
    """Responses to one problem, whose difficulty depends on the problem alone."""
    own = random.Random(problem_id)
    nums = [own.randint(1, 25) for _ in range(3)]
    target = nums[0] * nums[1] - nums[2] if nums[0] * nums[1] > nums[2] else nums[0] + nums[1] + nums[2]
    gold = f'{{"nums": {nums}, "target": {target}}}'
    listed = ", ".join(map(str, nums))
    problem = Problem(
        problem_id, "countdown", f"Using {listed}, make {target}.", gold, {"nums": nums, "target": target}
    )
    prompt = Prompt(problem, "native", f"Numbers: {listed}\nTarget: {target}\n", (1, 2, 3))
    ease = own.betavariate(1.2, 1.2) * 2  # mean 1
    return [
        sample_rollout(rng, fake, step, prompt, min(1.0, fake.at("accuracy", step) * ease), i) for i in range(samples)
    ]


def sample_rollout(rng: random.Random, fake: FakeRun, step: int, prompt: Prompt, p: float, index: int) -> Rollout:
    nums, target = prompt.problem.fields["nums"], prompt.problem.fields["target"]
    draw = rng.random()
    if draw < p:
        outcome = "correct"
    else:
        draw = rng.random()
        cut, bare = fake.at("truncated", step), fake.at("unformatted", step)
        outcome = "truncated" if draw < cut else "unformatted" if draw < cut + bare else "wrong"
    text, attempts = "", 1 + int(rng.expovariate(1 / 2.5))
    for attempt in range(attempts + (14 if outcome == "truncated" else 0)):
        a, b, c = rng.sample(nums, 3)
        cue = rng.choice(["", "", "Wait, ", "Hmm, ", "Let me re-evaluate: "]) if attempt else ""
        text += f"{cue}{a} + {b} = {a + b}, {a + b} + {c} = {a + b + c} vs {target}, no.\n"
    if outcome == "correct":
        text += (
            f"{nums[0]} * {nums[1]} - {nums[2]} = {target} vs {target}, yes.\nAnswer: {nums[0]} * {nums[1]} - {nums[2]}"
        )
    elif outcome == "wrong":
        text += f"Answer: {nums[0]} + {nums[1]} + {nums[2]}"
    elif outcome == "unformatted":
        text += "I give up. <script>alert('nobody runs me')</script> & [bold]"
    growth = fake.growth * step / max(1, fake.steps) if outcome == "wrong" else 0.0
    count = 256 if outcome == "truncated" else min(255, int(len(text) / 2.6 * (1 + growth)) + 4)
    finish = "length" if outcome == "truncated" else "stop"
    response = Response(text, tuple(range(count)), (-0.5,) * count, finish)  # type: ignore[arg-type]
    extracted = text.rsplit("Answer: ", 1)[1] if "Answer: " in text else None
    reason = {"correct": "", "wrong": f"the value is not {target}"}.get(outcome, "no answer")
    return Rollout(
        step,
        index,
        prompt,
        response,
        Grade(outcome == "correct", extracted is not None, extracted, reason),
        float(outcome == "correct"),
    )
