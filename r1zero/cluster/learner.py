"""The training loop inside a Ray actor, and what its driver hears of it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import torch

from r1zero.cluster.connection import versions
from r1zero.cluster.worker import go_to
from r1zero.cluster.workers import Workers
from r1zero.config import TrainConfig
from r1zero.store import read_metrics
from r1zero.training.checkpoint import checkpoint_steps
from r1zero.training.loop import Trainer
from r1zero.training.run import Run, StopRequest, check_directory, locked, logged

log = logging.getLogger("r1zero")

LOCK_S = 30.0  # seconds for a predecessor that was declared dead to be so


@dataclass(frozen=True)
class Job:
    """What the learner is to do.

    `attempt` counts learners of this command: above 0, the one before died.
    """

    config: TrainConfig
    run_dir: str
    folder: str  # the driver's, where relative paths begin
    command: tuple[str, ...]
    threads: int
    workers: tuple[str, ...] = ()  # a line about each
    attempt: int = 0


@dataclass
class News:
    """What happened since the driver last asked; a `Progress` on the learner's side."""

    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_tokens: int = 0

    def step(self, step: int, metrics: dict[str, float]) -> None:
        self.steps.append((step, metrics))

    def note(self, message: str) -> None:
        self.notes.append(message)

    def tokens(self, count: int) -> None:
        self.num_tokens += count


class LearnerActor:
    """One life of the learner.  `news` and `stop` are answered while `run` is at work."""

    def __init__(self, job: Job, workers: Sequence[Any]) -> None:
        self.job, self.actors = job, list(workers)
        self.heard = News()
        self.stopping = StopRequest()

    def ready(self) -> dict[str, str]:
        go_to(self.job.folder)
        return {"process": str(os.getpid()), "node": ray.get_runtime_context().get_node_id()} | versions()

    @ray.method(concurrency_group="control")
    def news(self) -> News:
        heard, self.heard = self.heard, News()
        return heard

    @ray.method(concurrency_group="control")
    def stop(self) -> None:
        """Finish the step, save, and return from `run`."""
        self.stopping.made = True

    def run(self) -> tuple[int, bool]:
        """Train from where the directory stands; steps done, and whether all of them."""
        job, config = self.job, self.job.config
        sys.argv = list(job.command)  # what config.json says the run was made with
        torch.set_num_threads(config.run.threads or job.threads)
        run_dir = Path(job.run_dir)
        check_directory(run_dir, config)
        workers = Workers(
            self.actors,
            responses_per_task=config.cluster.responses_per_task,
            timeout_s=config.cluster.timeout_s,
            learner_restarts=job.attempt,
        )
        try:
            trainer = Trainer(config, run_dir, self, engine=workers)
            with locked_again(run_dir, patient=job.attempt > 0), logged(run_dir):
                workers.lost_steps = steps_to_repeat(run_dir) if job.attempt else 0
                who = ray.get_runtime_context().get_node_id()[:8]
                log.info("learner %d: process %d on node %s", job.attempt, os.getpid(), who)
                for line in () if job.attempt else job.workers:
                    log.info(line)
                trainer.open()
                done: Run = trainer.run(self.stopping)
            return done.steps_done, done.finished
        finally:
            workers.close()

    def step(self, step: int, metrics: dict[str, float]) -> None:
        self.heard.step(step, metrics)

    def note(self, message: str) -> None:
        self.heard.note(message)

    def tokens(self, count: int) -> None:
        self.heard.tokens(count)


def steps_to_repeat(run_dir: Path) -> int:
    """Steps that the run had done and not saved when it broke off."""
    saved = checkpoint_steps(run_dir)
    rows = read_metrics(run_dir) if (run_dir / "metrics.jsonl").exists() else []
    return max(0, rows[-1]["step"] - (saved[-1] if saved else -1)) if rows else 0


@contextlib.contextmanager
def locked_again(run_dir: Path, *, patient: bool) -> Iterator[None]:
    """Hold the run directory; a learner that follows one declared dead waits until it has let go."""
    until = time.monotonic() + (LOCK_S if patient else 0.0)
    while True:
        held = locked(run_dir)
        try:
            held.__enter__()
            break
        except ValueError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)
    with contextlib.ExitStack() as stack:
        stack.push(held.__exit__)
        yield
