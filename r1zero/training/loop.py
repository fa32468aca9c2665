"""R1-Zero training, top to bottom: sample, grade, weigh against the group, update, and look.

The loop knows neither the model's architecture nor where responses come from: a learner and an engine are handed the
same policy.  Every random choice is addressed by (seed, step, problem, sample, position), so a run that was killed and
continued does what it would have done.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from r1zero.analysis.metrics import LengthReference, length_reference, reward_metrics, rollout_metrics
from r1zero.config import TrainConfig, flatten, to_dict
from r1zero.engines import Engine, build_engine
from r1zero.engines.measures import engine_metrics
from r1zero.engines.weights import publish
from r1zero.evaluation.ask import Asked, AsksElsewhere, begin
from r1zero.evaluation.held_out import evaluate
from r1zero.models.load import load_policy, save_policy, weights_digest
from r1zero.models.lora import adapt, write_adapter
from r1zero.objectives import build_objective
from r1zero.objectives.entropy import EntropyControl
from r1zero.objectives.family import shadow_row, without_effect
from r1zero.records import Problem, Rollout
from r1zero.store import Split, append_metrics, part_path, truncate_after, write_config, write_rollouts
from r1zero.tasks import build_task
from r1zero.tasks.pictures import KEPT, bring_pictures
from r1zero.tasks.templates import load_template
from r1zero.training.batching import Group
from r1zero.training.checkpoint import checkpoint_steps, load_checkpoint, load_memories, save_checkpoint
from r1zero.training.choice import Choices, choice_metrics, choose, learned
from r1zero.training.credit import as_group, credited, weighed, with_advantages, with_gradient, with_shadows
from r1zero.training.dynamic import gather
from r1zero.training.learner import Learner, NonFiniteError
from r1zero.training.ranks import (
    check_alike,
    device_of_rank,
    gathered,
    is_first,
    is_orphan,
    joined,
    largest,
    started_as_rank,
)
from r1zero.training.replay import (
    REMEMBERED,
    Draw,
    Memory,
    check_replay,
    draw,
    num_replayed,
    remember,
    replay_metrics,
    shared_out,
)
from r1zero.training.run import (
    Run,
    StopRequest,
    check_directory,
    default_directory,
    locked,
    logged,
    package_versions,
    provenance,
)
from r1zero.training.sharding import is_sharded, whole_weights
from r1zero.training.shares import check_shares, learned_here, of_all_ranks, over_ranks
from r1zero.training.staleness import StaleError, check_staleness, corrected, staleness, stamped

log = logging.getLogger("r1zero")


class Progress(Protocol):
    """Who watches a run; see r1zero.reports.console."""

    def step(self, step: int, metrics: dict[str, float]) -> None: ...
    def note(self, message: str) -> None: ...
    def tokens(self, count: int) -> None: ...


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what was saved."""


@dataclass(frozen=True)
class Begun:
    """Problems that are being asked."""

    answers: Callable[[], Asked]
    before: Choices  # what was known when they were chosen: a run that is continued before they are learned asks again


def train(
    config: TrainConfig,
    progress: Progress | None = None,
    *,
    engine: Engine | None = None,
    stop: StopRequest | None = None,
) -> Run:
    """One training run, new or continued from its last checkpoint; returns where it is.

    `engine` answers instead of the one that the config names, and `stop` is listened to instead of Ctrl-C.
    Raises ValueError for what the user can mend before anything is computed, TrainingError for what went wrong later.
    """
    run_dir = Path(config.run.dir) if config.run.dir else default_directory(config)
    check_directory(run_dir, config)
    check_shares(config, int(os.environ["WORLD_SIZE"]) if started_as_rank() else 1)
    with joined(config.learner.device):
        check_alike(package_versions() | flatten(config))
        trainer = Trainer(config, run_dir, progress, engine)  # nothing is written before everything is there
        first = is_first()
        with locked(run_dir) if first else nullcontext(), logged(run_dir, writes=first), stop or StopRequest() as asked:
            trainer.open()
            return trainer.run(asked)


class Trainer:
    """The parts of one run, and the loop over them."""

    def __init__(self, config: TrainConfig, run_dir: Path, progress: Progress | None, engine: Engine | None = None):
        self.config, self.dir, self.progress = config, run_dir, progress
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.objective = corrected(build_objective(config.objective), config)
        self.objective.check_group(config.responses_per_problem)
        check_replay(config, self.objective)
        self.shadows = {name: shadow_row(name) for name in config.objective.shadow}
        self.entropy = EntropyControl(self.objective.entropy_coef, self.objective.entropy_target)
        self.template = load_template(config.template.name)
        self.task = build_task(config.task, config.seed, whole_file=config.evaluation.path is not None)
        self.held_out = _held_out_problems(config)
        self.policy = load_policy(
            config.model.path,
            device_of_rank(config.learner.device),
            max_pixels=config.model.max_pixels,
            pictures=Path(config.task.kept_images),
        )
        self.base = weights_digest(self.policy.model) if config.lora.rank else None  # what an adapter belongs to
        if config.lora.rank:
            adapt(self.policy, config.lora, base=config.model.path, freeze=config.learner.freeze, seed=config.seed)
        self.engine, learning = over_ranks(engine or build_engine(config.engine, self.policy), self.policy, config)
        self.learner = Learner(
            learning,
            config.learner,
            num_updates=config.steps * config.learner.updates_per_rollout,
            temperature=config.sampling.temperature,
            gradient_checkpointing=config.model.gradient_checkpointing,
            with_reference=self.objective.needs_reference,
            with_values=self.objective.critic,
            max_tokens=config.sampling.max_tokens,
            sharding=config.sharding,
        )
        self.reference: LengthReference | None = None  # lengths by outcome of the initial policy
        self.choices = Choices()  # what is known of the problems
        self.memories: tuple[Memory, ...] = ()  # groups that can be replayed
        self.ahead: dict[int, Begun] = {}  # what later steps will learn from, where the engine works meanwhile
        self.steps_done = -1  # 0 once the initial policy is evaluated

    def open(self) -> None:
        """Write config.json into a new directory, or go back to the last checkpoint of this very run."""
        continued, steps = gathered([check_directory(self.dir, self.config), checkpoint_steps(self.dir)])[0]
        last = steps[-1] if steps else -1
        if is_first():
            if continued:
                truncate_after(self.dir, last)
            else:
                write_config(self.dir, {"verb": self.config.verb, "config": to_dict(self.config)} | provenance())
        if not continued:
            for sentence in without_effect(self.config.objective):
                self._say(sentence)
            for fault, count in getattr(self.task, "left_out", {}).items():
                self._say(f"{count} rows of the file are left out: {fault}")
            return
        if steps:
            state = load_checkpoint(self.dir, last, self.policy, self.learner)
            if state.get("base") != self.base:
                raise ValueError(
                    f"{self.dir} holds an adapter to another model than model.path={self.config.model.path!r} is now: "
                    "put that back"
                )
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
            publish(self.engine, self.learner.policy, self.learner.updates_done)
            if self.steps_done < 0:
                self._append({"step": 0} | self._evaluate(0))
                self._checkpoint(0)
            for step in range(self.steps_done + 1, config.steps + 1):
                if largest(stop.made or is_orphan()):
                    self._checkpoint(step - 1)
                    self._say(f"stopped after step {step - 1}; the same command continues {self.dir}")
                    return Run(self.dir, self.steps_done, finished=False)
                metrics = self._step(step)
                if step == config.steps or (config.evaluation.every and step % config.evaluation.every == 0):
                    metrics |= self._evaluate(step)
                self._append({"step": step} | metrics)
                if step == config.steps or (config.checkpoint.every and step % config.checkpoint.every == 0):
                    self._checkpoint(step)
                self.steps_done = step
                if self.progress:
                    self.progress.step(step, metrics)
            weights = whole_weights(self.policy.model) if is_sharded(self.policy.model) else None
            if is_first():
                save_policy(self.policy, self.dir / "model", weights=weights)
                if config.lora.rank:
                    write_adapter(self.policy.model, self.dir / "adapter", weights)
        except NonFiniteError as error:
            raise TrainingError(self._keep_offender(error)) from error
        except StaleError as error:
            raise TrainingError(f"step {self.steps_done + 1}: {error}") from error
        except OSError as error:
            remedy = f"what is in {self.dir} is whole: make room and run the same command to continue"
            raise TrainingError(f"cannot write to {self.dir} ({error.strerror or error}); {remedy}") from error
        return Run(self.dir, self.steps_done, finished=True)

    def _step(self, step: int) -> dict[str, Any]:
        """Problems -> responses -> grades -> advantages -> update.  Returns the step's metrics."""
        config, started = self.config, time.perf_counter()
        gathered = gather(partial(self._ask, step), config.problems_per_step, config.groups, step=step)
        asked, rollouts_PG = gathered.asked, gathered.learned_PG
        self._ask_ahead(step)
        count = num_replayed(len(rollouts_PG), config.replay.share)
        draws = draw(self.memories, step, count, config.replay, (config.seed, "replay", step))
        behind = staleness(asked.rollouts, self.learner.updates_done, config.learner.updates_per_rollout)
        stale = check_staleness(behind, config.max_staleness)
        groups, updated, learner_seconds, learner_tokens = self._learn(rollouts_PG, draws, step)
        publish(self.engine, self.learner.policy, self.learner.updates_done)
        rollouts = with_advantages(rollouts_PG, groups) + gathered.set_aside
        if self.reference is None:
            self.reference = length_reference(rollouts)
        self._store("train", step, rollouts)
        metrics = (
            rollout_metrics(rollouts, config.responses_per_problem, self.reference) | updated | gathered.metrics | stale
        )
        max_tokens = config.sampling.max_tokens
        metrics |= reward_metrics(rollouts, config.reward, overlong=self.objective.overlong, max_tokens=max_tokens)
        metrics |= choice_metrics(self.choices, asked.rollouts_PG, config.choice)
        self.choices = learned(self.choices, asked.rollouts_PG, config.choice)
        if config.replay.share:
            metrics |= replay_metrics(draws, len(groups), step)
            self.memories = remember(self.memories, groups, step, config.replay)
        metrics["data/prompts_dropped"] = len(asked.dropped)
        sampled = sum(rollout.response.num_tokens for rollout in rollouts)
        return (
            metrics
            | engine_metrics(self.engine)
            | {
                "speed/rollout_tokens_per_s": sampled / asked.sampling_seconds,
                "speed/learner_tokens_per_s": learner_tokens / learner_seconds,
                "speed/rollout_s": asked.sampling_seconds,
                "speed/grade_s": asked.grading_seconds,
                "speed/learn_s": learner_seconds,
                "speed/step_s": time.perf_counter() - started,
            }
        )

    def _ask(self, step: int, round_: int, count: int) -> Asked:
        """What comes back of `count` problems; a step has more than one round where it refills."""
        begun = self.ahead.pop(step, None) if round_ == 0 else None
        asked = (begun or self._begin(step, round_, count)).answers()
        if asked.dropped:
            log.warning(
                "step %d: dropped %d prompts longer than the context, first %s",
                step,
                len(asked.dropped),
                asked.dropped[0],
            )
        return replace(asked, rollouts_PG=stamped(asked.rollouts_PG, self.learner.updates_done))

    def _begin(self, step: int, round_: int, count: int) -> Begun:
        """Choose `count` problems, and have responses sampled and graded."""
        config, before = self.config, self.choices
        problems, self.choices = choose(
            self.task, self.choices, config.choice, count, (config.seed, "choice", step, round_)
        )
        answers = begin(
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
        return Begun(answers, before)

    def _ask_ahead(self, step: int) -> None:
        """Before step `step` is learned, later ones are asked, as far as their weights may then be stale."""
        if isinstance(self.engine, AsksElsewhere):
            for later in range(step + 1, min(step + self.config.max_staleness, self.config.steps) + 1):
                if later not in self.ahead:
                    self.ahead[later] = self._begin(later, 0, self.config.problems_per_step)

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
        places = learned_here(groups, config.learner.updates_per_rollout)
        own = [groups[place] for part in places for place in part]
        scored = objective.needs_scoring or config.learner.updates_per_rollout > 1 or config.replay.share > 0
        if scored or (self.learner.sharded and objective.needs_reference):
            own = self.learner.score(own)
        made = dict(zip(itertools.chain(*places), credited(own, objective), strict=True))
        updates = []
        for part in shared_out(draws, [[made[place] for place in part] for part in places]):
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
        groups = of_all_ranks(groups, made, REMEMBERED if config.replay.share else ("advantages",))
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

    def _append(self, row: dict[str, Any]) -> None:
        if is_first():
            append_metrics(self.dir, row)

    def _store(self, split: Split, step: int, rollouts: list[Rollout]) -> None:
        if not is_first():
            return
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
            "base": self.base,
            "entropy": dataclasses.asdict(self.entropy),
            "choices": next(iter(self.ahead.values())).before.to_dict() if self.ahead else self.choices.to_dict(),
        }
        if step not in gathered(checkpoint_steps(self.dir))[0]:
            keep = self.config.checkpoint.keep
            save_checkpoint(self.dir, step, self.policy, self.learner, state, keep, self.memories)

    def _keep_offender(self, error: NonFiniteError) -> str:
        if not error.groups:  # they are another rank's
            return f"step {self.steps_done + 1}: {error}"
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
