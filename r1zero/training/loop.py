"""R1-Zero training, top to bottom: sample, grade, weigh against the group, update, and look.

The loop knows neither the model's architecture nor where responses come from: a learner and an engine are handed the
same policy.  Every random choice is addressed by (seed, step, problem, sample, position), so a run that was killed and
continued does what it would have done.
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from r1zero.analysis.metrics import LengthReference, length_reference, rollout_metrics
from r1zero.config import TrainConfig, to_dict
from r1zero.engines import build_engine
from r1zero.evaluation.ask import ask
from r1zero.evaluation.held_out import evaluate
from r1zero.models.load import load_policy, save_policy
from r1zero.objectives import Objective, build_objective
from r1zero.records import Problem, Rollout
from r1zero.store import Split, append_metrics, part_path, truncate_after, write_config, write_rollouts
from r1zero.tasks import build_task
from r1zero.tasks.templates import load_template
from r1zero.training.batching import Group, batch_size, split_evenly
from r1zero.training.checkpoint import checkpoint_steps, load_checkpoint, save_checkpoint
from r1zero.training.learner import Learner, NonFiniteError
from r1zero.training.run import Run, StopRequest, check_directory, default_directory, locked, logged, provenance

log = logging.getLogger("r1zero")


class Progress(Protocol):
    """Who watches a run; see r1zero.reports.console."""

    def step(self, step: int, metrics: dict[str, float]) -> None: ...
    def note(self, message: str) -> None: ...
    def tokens(self, count: int) -> None: ...


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what was saved."""


def train(config: TrainConfig, progress: Progress | None = None) -> Run:
    """One training run, new or continued from its last checkpoint; returns where it is.

    Raises ValueError for what the user can mend before anything is computed, TrainingError for what went wrong later.
    """
    run_dir = Path(config.run.dir) if config.run.dir else default_directory(config)
    check_directory(run_dir, config)
    trainer = Trainer(config, run_dir, progress)  # nothing is written before everything is there
    with locked(run_dir), logged(run_dir), StopRequest() as stop:
        trainer.open()
        return trainer.run(stop)


class Trainer:
    """The parts of one run, and the loop over them."""

    def __init__(self, config: TrainConfig, run_dir: Path, progress: Progress | None):
        self.config, self.dir, self.progress = config, run_dir, progress
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.objective = build_objective(config.objective)
        self.objective.advantages(torch.zeros(1, config.responses_per_problem))  # refuses a group of one
        self.template = load_template(config.template.name)
        self.task = build_task(config.task, config.seed, whole_file=config.evaluation.path is not None)
        self.held_out = _held_out_problems(config)
        self.policy = load_policy(config.model.path, config.learner.device)
        self.engine = build_engine(config.engine, self.policy)
        self.learner = Learner(
            self.policy,
            config.learner,
            num_updates=config.steps * config.learner.updates_per_rollout,
            temperature=config.sampling.temperature,
            gradient_checkpointing=config.model.gradient_checkpointing,
            with_reference=self.objective.kl_coef > 0,
        )
        self.reference: LengthReference | None = None  # lengths by outcome of the initial policy
        self.steps_done = -1  # 0 once the initial policy is evaluated

    def open(self) -> None:
        """Write config.json into a new directory, or go back to the last checkpoint of this very run."""
        if not check_directory(self.dir, self.config):
            write_config(self.dir, {"verb": self.config.verb, "config": to_dict(self.config)} | provenance())
            return
        steps = checkpoint_steps(self.dir)
        last = steps[-1] if steps else -1
        truncate_after(self.dir, last)
        if steps:
            state = load_checkpoint(self.dir, last, self.policy, self.learner)
            self.reference = LengthReference.from_dict(state["reference"]) if state["reference"] else None
            self._say(f"continuing {self.dir} after step {last}")
        self.steps_done = last

    def run(self, stop: StopRequest) -> Run:
        """Evaluate the initial policy, then step until done or asked to stop."""
        config = self.config
        try:
            if self.steps_done < 0:
                append_metrics(self.dir, {"step": 0} | self._evaluate(0))
                self._checkpoint(0)
            for step in range(self.steps_done + 1, config.steps + 1):
                if stop.made:
                    self._checkpoint(step - 1)
                    self._say(f"stopped after step {step - 1}; the same command continues {self.dir}")
                    return Run(self.dir, self.steps_done, finished=False)
                metrics = self._step(step)
                if step == config.steps or (config.evaluation.every and step % config.evaluation.every == 0):
                    metrics |= self._evaluate(step)
                append_metrics(self.dir, {"step": step} | metrics)
                if step == config.steps or (config.checkpoint.every and step % config.checkpoint.every == 0):
                    self._checkpoint(step)
                self.steps_done = step
                if self.progress:
                    self.progress.step(step, metrics)
            save_policy(self.policy, self.dir / "model")
        except NonFiniteError as error:
            raise TrainingError(self._keep_offender(error)) from error
        except OSError as error:
            remedy = f"what is in {self.dir} is whole: make room and run the same command to continue"
            raise TrainingError(f"cannot write to {self.dir} ({error.strerror or error}); {remedy}") from error
        return Run(self.dir, self.steps_done, finished=True)

    def _step(self, step: int) -> dict[str, Any]:
        """Problems -> responses -> grades -> advantages -> update.  Returns the step's metrics."""
        config, started = self.config, time.perf_counter()
        problems = self.task.problems("train", (step - 1) * config.problems_per_step, config.problems_per_step)
        asked = ask(
            self.engine,
            self.policy,
            self.template,
            problems,
            samples=config.responses_per_problem,
            sampling=config.sampling,
            rewards=config.reward,
            address=(config.seed, "train", step),
            step=step,
            on_tokens=self.progress.tokens if self.progress else None,
        )
        rollouts_PG = with_advantages(asked.rollouts_PG, self.objective)
        rollouts = [rollout for group in rollouts_PG for rollout in group]
        learned, learner_seconds, learner_tokens = self._learn(rollouts_PG)
        if self.reference is None:
            self.reference = length_reference(rollouts)
        self._store("train", step, rollouts)
        metrics = rollout_metrics(rollouts, config.responses_per_problem, self.reference) | learned
        metrics["data/prompts_dropped"] = len(asked.dropped)
        if asked.dropped:
            log.warning(
                "step %d: dropped %d prompts longer than the context, first %s",
                step,
                len(asked.dropped),
                asked.dropped[0],
            )
        sampled = sum(rollout.response.num_tokens for rollout in rollouts)
        return metrics | {
            "speed/rollout_tokens_per_s": sampled / asked.sampling_seconds,
            "speed/learner_tokens_per_s": learner_tokens / learner_seconds,
            "speed/rollout_s": asked.sampling_seconds,
            "speed/grade_s": asked.grading_seconds,
            "speed/learn_s": learner_seconds,
            "speed/step_s": time.perf_counter() - started,
        }

    def _learn(self, rollouts_PG: list[list[Rollout]]) -> tuple[dict[str, float], float, int]:
        """`updates_per_rollout` optimizer steps over the step's groups, a part of the problems in each.

        Returns the updates' mean metrics, the seconds they took and the tokens they computed.
        """
        config, started = self.config, time.perf_counter()
        groups = [as_group(group) for group in rollouts_PG]
        if config.learner.updates_per_rollout > 1:
            groups = self.learner.score(groups)
        updates = []
        for part in split_evenly(groups, config.learner.updates_per_rollout):
            size = batch_size(part, config.sampling.max_tokens)
            updates.append(self.learner.update(with_gradient(part, self.objective), self.objective.loss, size))
        means = {name: _mean([update.metrics[name] for update in updates]) for name in updates[0].metrics}
        return means, time.perf_counter() - started, sum(update.num_tokens for update in updates)

    def _evaluate(self, step: int) -> dict[str, float]:
        config = self.config
        evaluation = evaluate(
            self.engine,
            self.policy,
            self.template,
            self.held_out,
            config.evaluation,
            seed=config.seed,
            step=step,
            rewards=config.reward,
            on_tokens=self.progress.tokens if self.progress else None,
        )
        self._store("eval", step, evaluation.rollouts)
        self._say(f"step {step}: {evaluation.verdict}")
        return evaluation.metrics | {"speed/eval_s": evaluation.seconds}

    def _store(self, split: Split, step: int, rollouts: list[Rollout]) -> None:
        drawn = self.config.sampling if split == "train" else self.config.evaluation
        write_rollouts(
            part_path(self.dir, split, step),
            rollouts,
            run=self.dir.name,
            checkpoint=f"step-{step if split == 'eval' else step - 1:06d}",
            temperature=drawn.temperature,
            top_p=drawn.top_p,
            seed=self.config.seed,
        )

    def _checkpoint(self, step: int) -> None:
        self.steps_done = step
        state = {"reference": self.reference.to_dict() if self.reference else None}
        if step not in checkpoint_steps(self.dir):
            save_checkpoint(self.dir, step, self.policy, self.learner, state, self.config.checkpoint.keep)

    def _keep_offender(self, error: NonFiniteError) -> str:
        path = self.dir / "failed" / f"step-{self.steps_done + 1:06d}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([vars(group) for group in error.groups]))
        return (
            f"step {self.steps_done + 1}: {error}; nothing was updated, the batch is in {path}; try a lower learner.lr"
        )

    def _say(self, message: str) -> None:
        log.info(message)
        if self.progress:
            self.progress.note(message)


def with_advantages(rollouts_PG: list[list[Rollout]], objective: Objective) -> list[list[Rollout]]:
    """The same rollouts, each with its advantage over its group."""
    rewards_PG = torch.tensor([[rollout.reward for rollout in group] for group in rollouts_PG], dtype=torch.float64)
    advantages_PG = objective.advantages(rewards_PG).tolist()
    return [
        [replace(rollout, advantage=advantage) for rollout, advantage in zip(group, advantages, strict=True)]
        for group, advantages in zip(rollouts_PG, advantages_PG, strict=True)
    ]


def as_group(rollouts: list[Rollout]) -> Group:
    """One problem's rollouts, as the learner needs them."""
    prompt = rollouts[0].prompt
    return Group(
        prompt.problem.id,
        prompt.token_ids,
        responses=tuple(r.response.token_ids for r in rollouts),
        advantages=tuple(r.advantage or 0.0 for r in rollouts),
        sampler_logprobs=tuple(r.response.logprobs for r in rollouts),
    )


def with_gradient(groups: list[Group], objective: Objective) -> list[Group]:
    """The responses that add to the gradient; the others are counted in the normaliser but need not be computed."""
    kept = [(g, [r for r, a in enumerate(g.advantages) if not objective.ignores(a)]) for g in groups]
    return [group.keep(rows) for group, rows in kept if rows]


def _held_out_problems(config: TrainConfig) -> list[Problem]:
    """From their own file where one is given, else from the held-out split of the task."""
    settings = config.evaluation
    if settings.path is None:
        return build_task(config.task, config.seed).problems("eval", 0, settings.num_problems)
    task = replace(config.task, path=settings.path, split=settings.split)
    return build_task(task, config.seed, whole_file=True).problems("eval", 0, settings.num_problems)


def _mean(values: list[float]) -> float:
    """The mean of what is defined: an update without a gradient has no entropy, for one."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
