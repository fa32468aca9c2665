"""R1-Zero training, top to bottom: sample, grade, weigh against the group, update, and look.

The loop knows neither the model's architecture nor where responses come from: a learner and an engine are handed the
same policy.  Every random choice is addressed by (seed, step, problem, sample, position), so a run that was killed and
continued does what it would have done.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from r1zero.analysis.metrics import LengthReference, length_reference, reward_metrics, rollout_metrics
from r1zero.config import TrainConfig, to_dict
from r1zero.engines import build_engine
from r1zero.evaluation.ask import Asked, ask
from r1zero.evaluation.held_out import evaluate
from r1zero.models.load import load_policy, save_policy
from r1zero.models.lora import adapt, write_adapter
from r1zero.objectives import build_objective
from r1zero.objectives.entropy import EntropyControl
from r1zero.objectives.family import shadow_row, without_effect
from r1zero.records import Problem, Rollout
from r1zero.store import Split, append_metrics, part_path, truncate_after, write_config, write_rollouts
from r1zero.tasks import build_task
from r1zero.tasks.pictures import KEPT, bring_pictures
from r1zero.tasks.templates import load_template
from r1zero.training.batching import Group, split_evenly
from r1zero.training.checkpoint import checkpoint_steps, load_checkpoint, load_memories, save_checkpoint
from r1zero.training.choice import Choices, choice_metrics, choose, learned
from r1zero.training.credit import as_group, credited, weighed, with_advantages, with_gradient, with_shadows
from r1zero.training.dynamic import gather
from r1zero.training.learner import Learner, NonFiniteError
from r1zero.training.replay import (
    Draw,
    Memory,
    check_replay,
    draw,
    num_replayed,
    remember,
    replay_metrics,
    shared_out,
)
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
        self.objective.check_group(config.responses_per_problem)
        check_replay(config, self.objective)
        self.shadows = {name: shadow_row(name) for name in config.objective.shadow}
        self.entropy = EntropyControl(self.objective.entropy_coef, self.objective.entropy_target)
        self.template = load_template(config.template.name)
        self.task = build_task(config.task, config.seed, whole_file=config.evaluation.path is not None)
        self.held_out = _held_out_problems(config)
        self.policy = load_policy(
            config.model.path,
            config.learner.device,
            max_pixels=config.model.max_pixels,
            pictures=Path(config.task.kept_images),
        )
        if config.lora.rank:
            adapt(self.policy, config.lora, base=config.model.path, freeze=config.learner.freeze, seed=config.seed)
        self.engine = build_engine(config.engine, self.policy)
        self.learner = Learner(
            self.policy,
            config.learner,
            num_updates=config.steps * config.learner.updates_per_rollout,
            temperature=config.sampling.temperature,
            gradient_checkpointing=config.model.gradient_checkpointing,
            with_reference=self.objective.needs_reference,
            with_values=self.objective.critic,
            max_tokens=config.sampling.max_tokens,
        )
        self.reference: LengthReference | None = None  # lengths by outcome of the initial policy
        self.choices = Choices()  # what is known of the problems
        self.memories: tuple[Memory, ...] = ()  # groups that can be replayed
        self.steps_done = -1  # 0 once the initial policy is evaluated

    def open(self) -> None:
        """Write config.json into a new directory, or go back to the last checkpoint of this very run."""
        if not check_directory(self.dir, self.config):
            write_config(self.dir, {"verb": self.config.verb, "config": to_dict(self.config)} | provenance())
            for sentence in without_effect(self.config.objective):
                self._say(sentence)
            for fault, count in getattr(self.task, "left_out", {}).items():
                self._say(f"{count} rows of the file are left out: {fault}")
            return
        steps = checkpoint_steps(self.dir)
        last = steps[-1] if steps else -1
        truncate_after(self.dir, last)
        if steps:
            state = load_checkpoint(self.dir, last, self.policy, self.learner)
            self.reference = LengthReference.from_dict(state["reference"]) if state["reference"] else None
            self.entropy = EntropyControl(**state["entropy"])
            self.choices = Choices.from_dict(state["choices"])
            self.memories = load_memories(self.dir, last)
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
            if config.lora.rank:
                write_adapter(self.policy.model, self.dir / "adapter")
        except NonFiniteError as error:
            raise TrainingError(self._keep_offender(error)) from error
        except OSError as error:
            remedy = f"what is in {self.dir} is whole: make room and run the same command to continue"
            raise TrainingError(f"cannot write to {self.dir} ({error.strerror or error}); {remedy}") from error
        return Run(self.dir, self.steps_done, finished=True)

    def _step(self, step: int) -> dict[str, Any]:
        """Problems -> responses -> grades -> advantages -> update.  Returns the step's metrics."""
        config, started = self.config, time.perf_counter()
        gathered = gather(partial(self._ask, step), config.problems_per_step, config.groups, step=step)
        asked, rollouts_PG = gathered.asked, gathered.learned_PG
        count = num_replayed(len(rollouts_PG), config.replay.share)
        draws = draw(self.memories, step, count, config.replay, (config.seed, "replay", step))
        groups, updated, learner_seconds, learner_tokens = self._learn(rollouts_PG, draws, step)
        rollouts = with_advantages(rollouts_PG, groups) + gathered.set_aside
        if self.reference is None:
            self.reference = length_reference(rollouts)
        self._store("train", step, rollouts)
        metrics = rollout_metrics(rollouts, config.responses_per_problem, self.reference) | updated | gathered.metrics
        max_tokens = config.sampling.max_tokens
        metrics |= reward_metrics(rollouts, config.reward, overlong=self.objective.overlong, max_tokens=max_tokens)
        metrics |= choice_metrics(self.choices, asked.rollouts_PG, config.choice)
        self.choices = learned(self.choices, asked.rollouts_PG, config.choice)
        if config.replay.share:
            metrics |= replay_metrics(draws, len(groups), step)
            self.memories = remember(self.memories, groups, step, config.replay)
        metrics["data/prompts_dropped"] = len(asked.dropped)
        sampled = sum(rollout.response.num_tokens for rollout in rollouts)
        return metrics | {
            "speed/rollout_tokens_per_s": sampled / asked.sampling_seconds,
            "speed/learner_tokens_per_s": learner_tokens / learner_seconds,
            "speed/rollout_s": asked.sampling_seconds,
            "speed/grade_s": asked.grading_seconds,
            "speed/learn_s": learner_seconds,
            "speed/step_s": time.perf_counter() - started,
        }

    def _ask(self, step: int, round_: int, count: int) -> Asked:
        """Choose `count` problems, sample responses and grade them; a step has more than one round where it refills."""
        config = self.config
        problems, self.choices = choose(
            self.task, self.choices, config.choice, count, (config.seed, "choice", step, round_)
        )
        asked = ask(
            self.engine,
            self.policy,
            self.template,
            problems,
            samples=config.responses_per_problem,
            sampling=config.sampling,
            rewards=config.reward,
            overlong=self.objective.overlong,
            may_drop_all=round_ > 0,
            address=(config.seed, "train", step, round_) if round_ else (config.seed, "train", step),
            step=step,
            on_tokens=self.progress.tokens if self.progress else None,
        )
        if asked.dropped:
            log.warning(
                "step %d: dropped %d prompts longer than the context, first %s",
                step,
                len(asked.dropped),
                asked.dropped[0],
            )
        return asked

    def _learn(
        self, rollouts_PG: list[list[Rollout]], draws: list[Draw], step: int
    ) -> tuple[list[Group], dict[str, float], float, int]:
        """`updates_per_rollout` optimizer steps over the step's groups and those replayed, a part of both in each.

        Returns the step's groups with their advantages, the updates' mean metrics, the seconds they took and the tokens
        they computed.
        """
        config, started = self.config, time.perf_counter()
        progress = (step - 1) / max(config.steps - 1, 1)
        objective = self.objective.at(progress)
        looked_at = step % config.objective.shadow_every == 0 or step == 1
        shadows = {name: shadow.at(progress) for name, shadow in self.shadows.items()} if looked_at else {}
        losses = {name: shadow.loss for name, shadow in shadows.items()}
        bonus = self.entropy.bonus if objective.needs_entropy else None
        groups = [as_group(group, masked=objective.overlong == "mask") for group in rollouts_PG]
        if objective.needs_scoring or config.learner.updates_per_rollout > 1 or config.replay.share:
            groups = self.learner.score(groups)
        groups = credited(groups, objective)
        updates = []
        for part in shared_out(draws, split_evenly(groups, config.learner.updates_per_rollout)):
            part = weighed(part, objective, config.sampling.max_tokens)
            if shadows:
                part = with_shadows(part, list(shadows.values()), config.sampling.max_tokens)
            taught = with_gradient(part, objective, list(shadows.values()))
            updates.append(self.learner.update(taught, objective.loss, entropy_bonus=bonus, shadows=losses))
        names = dict.fromkeys(name for update in updates for name in update.metrics)
        means = {name: _over_updates(name, [u.metrics.get(name, math.nan) for u in updates]) for name in names}
        if bonus is not None:
            means["policy/entropy_bonus"] = bonus
            self.entropy = self.entropy.after(means["policy/entropy"])
        if config.objective.reference_every and step % config.objective.reference_every == 0:
            self.learner.refresh_reference()
        return groups, means, time.perf_counter() - started, sum(update.num_tokens for update in updates)

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
        kept = {image for rollout in rollouts for image in rollout.prompt.images if image.startswith(KEPT)}
        bring_pictures(kept, Path(self.config.task.kept_images), self.dir / "images")
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
        state = {
            "reference": self.reference.to_dict() if self.reference else None,
            "entropy": dataclasses.asdict(self.entropy),
            "choices": self.choices.to_dict(),
        }
        if step not in checkpoint_steps(self.dir):
            keep = self.config.checkpoint.keep
            save_checkpoint(self.dir, step, self.policy, self.learner, state, keep, self.memories)

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


def _held_out_problems(config: TrainConfig) -> list[Problem]:
    """From their own file where one is given, else from the held-out split of the task."""
    settings = config.evaluation
    if settings.path is None:
        return build_task(config.task, config.seed).problems("eval", 0, settings.num_problems)
    task = replace(config.task, path=settings.path, split=settings.split)
    return build_task(task, config.seed, whole_file=True).problems("eval", 0, settings.num_problems)


def _over_updates(name: str, values: list[float]) -> float:
    """The mean of what is defined (an update without a gradient has no entropy, for one); of a "_max" the largest."""
    defined = [value for value in values if not math.isnan(value)]
    if name.endswith("_max"):
        return max(defined, default=math.nan)
    return sum(defined) / len(defined) if defined else math.nan
