"""Where the work is done when one process is not enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from r1zero.config.knobs import knob, require


@dataclass(frozen=True)
class ClusterConfig:
    name: Literal["none", "ray"] = knob(
        "none", "who carries the work: none (this process), or ray (rollout workers and learner as Ray actors)"
    )
    address: str = knob(
        "auto",
        "of the Ray cluster: HOST:PORT, ray://HOST:PORT, auto (the one this machine belongs to), or local (one of this "
        "machine alone, for as long as the command runs)",
    )
    workers: int = knob(2, "rollout workers: actors that each hold a copy of the weights, sample and grade")
    responses_per_task: int = knob(
        0,
        "responses that a worker is asked for at once, in whole groups; 0 is an equal share for every worker. Smaller "
        "balances better and loses less with a worker, larger keeps an engine fuller; it enters the arithmetic",
    )
    asynchronous: bool = knob(
        False,
        "sample the next steps while this one is learned; engine.max_staleness bounds by how many, and older weights "
        "are made up for by objective.correction",
    )
    colocated: bool = knob(False, "workers and learner share CPUs and GPUs and take turns; without it each has its own")
    cpus_per_worker: float = knob(1.0, "CPU cores that each worker reserves; torch uses as many threads")
    gpus_per_worker: float = knob(0.0, "GPUs that each worker reserves; parts of one are allowed")
    learner_ranks: int = knob(
        1, "processes that learn together, each with its share of the problems and of the workers; see `sharding`"
    )
    learner_cpus: float = knob(1.0, "CPU cores that each rank of the learner reserves; torch uses as many threads")
    learner_gpus: float = knob(0.0, "GPUs that each rank of the learner reserves")
    restarts: int = knob(
        10, "times that each worker, and the learner, is started again after it died; the learner from its checkpoint"
    )
    timeout_s: float = knob(120.0, "seconds to wait for the cluster to answer, and for the reserved CPUs and GPUs")

    def __post_init__(self) -> None:
        require(self.workers >= 1, "cluster.workers", self.workers, "at least 1")
        require(self.learner_ranks >= 1, "cluster.learner_ranks", self.learner_ranks, "at least 1")
        require(
            self.workers >= self.learner_ranks,
            "cluster.workers",
            self.workers,
            f"at least cluster.learner_ranks={self.learner_ranks}: each rank asks workers of its own",
        )
        require(self.responses_per_task >= 0, "cluster.responses_per_task", self.responses_per_task, "at least 1, or 0")
        for key in ("cpus_per_worker", "learner_cpus"):
            require(getattr(self, key) > 0, f"cluster.{key}", getattr(self, key), "above 0")
        for key in ("gpus_per_worker", "learner_gpus"):
            require(getattr(self, key) >= 0, f"cluster.{key}", getattr(self, key), "at least 0")
        require(self.restarts >= 0, "cluster.restarts", self.restarts, "at least 0")
        require(self.timeout_s > 0, "cluster.timeout_s", self.timeout_s, "above 0")
        if self.colocated and self.asynchronous:
            raise ValueError(
                "cluster.colocated and cluster.asynchronous exclude each other: who takes turns cannot work at once"
            )
