"""The training loop inside a Ray actor, one for each rank, and what the driver hears of it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
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
from r1zero.training.loop import train
from r1zero.training.run import StopRequest, locked, logged

log = logging.getLogger("r1zero")

LOCK_S = 30.0  # seconds for a learner that was declared dead to be so


@dataclass(frozen=True)
class Job:
    """What a rank of the learner is to do."""

    config: TrainConfig  # run.dir is decided
    folder: str  # the driver's, where relative paths begin
    command: tuple[str, ...]
    threads: int
    workers: tuple[str, ...] = ()  # a line about each
    rank: int = 0
    life: int = 0  # learners of this command before this one, all of which died


@dataclass
class News:
    """What happened since the driver last asked."""

    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tokens: int = 0


class LearnerActor:
    """One life of a rank of the learner, and its `Progress`.  `news` and `stop` are answered while `run` is at work."""

    def __init__(self, job: Job, workers: Sequence[Any]) -> None:
        self.job, self.actors = job, list(workers)
        self.heard = News()
        self.stopping = StopRequest()

    def ready(self) -> dict[str, str]:
        """Who this is, where others may meet it, and its versions."""
        go_to(self.job.folder)
        host = ray.util.get_node_ip_address()
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        node = ray.get_runtime_context().get_node_id()
        return {"process": str(os.getpid()), "node": node, "host": host, "port": str(port)} | versions()

    @ray.method(concurrency_group="control")
    def news(self) -> News:
        heard, self.heard = self.heard, News()
        return heard

    @ray.method(concurrency_group="control")
    def stop(self) -> None:
        """Finish the step, save, and return from `run`."""
        self.stopping.made = True

    def run(self, host: str, port: str) -> tuple[int, bool]:
        """Train from where the directory stands; steps done, and whether all of them.  Ranks meet at HOST:PORT."""
        job, config = self.job, self.job.config
        ranks = config.cluster.learner_ranks
        if ranks > 1:
            own = {"RANK": job.rank, "WORLD_SIZE": ranks, "MASTER_ADDR": host, "MASTER_PORT": port}
            here = {"LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}  # Ray shows each actor its own GPUs alone
            os.environ |= {name: str(value) for name, value in (own | here).items()}
        sys.argv = list(job.command)  # what config.json says the run was made with
        torch.set_num_threads(config.run.threads or job.threads)
        run_dir, lost = Path(config.run.dir), 0
        if job.rank == 0:
            if job.life:
                wait_until_free(run_dir)
                lost = steps_to_repeat(run_dir)
            self.introduce(run_dir)
        workers = Workers(
            self.actors[job.rank :: ranks],
            responses_per_task=config.cluster.responses_per_task,
            timeout_s=config.cluster.timeout_s,
            learner_restarts=job.life,
            lost_steps=lost,
        )
        try:
            done = train(config, self, engine=workers, stop=self.stopping)
            return done.steps_done, done.finished
        finally:
            workers.close()

    def introduce(self, run_dir: Path) -> None:
        """Who is who, in the run's log."""
        run_dir.mkdir(parents=True, exist_ok=True)
        with logged(run_dir):
            node = ray.get_runtime_context().get_node_id()[:8]
            log.info("learner %d: process %d on node %s", self.job.life, os.getpid(), node)
            for line in () if self.job.life else self.job.workers:
                log.info(line)

    def step(self, step: int, metrics: dict[str, float]) -> None:
        self.heard.steps.append((step, metrics))

    def note(self, message: str) -> None:
        self.heard.notes.append(message)

    def tokens(self, count: int) -> None:
        self.heard.tokens += count


def steps_to_repeat(run_dir: Path) -> int:
    """Steps that the run had done and not saved when it broke off."""
    saved = checkpoint_steps(run_dir)
    rows = read_metrics(run_dir) if (run_dir / "metrics.jsonl").exists() else []
    return max(0, rows[-1]["step"] - (saved[-1] if saved else -1)) if rows else 0


def wait_until_free(run_dir: Path) -> None:
    """Wait until a learner that was declared dead has let go of the run directory."""
    until = time.monotonic() + LOCK_S
    while True:
        try:
            with locked(run_dir):
                return
        except ValueError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)
