"""The process of the command: reserves, starts workers and learner, shows progress, and starts a dead learner again."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from r1zero.cluster.connection import bundle, check_room, check_versions, connected, versions
from r1zero.cluster.learner import Job, LearnerActor
from r1zero.cluster.worker import Setup, Worker
from r1zero.cluster.workers import ClusterError, cause, shown
from r1zero.config import ClusterConfig, TrainConfig
from r1zero.training.loop import Progress
from r1zero.training.run import Run, StopRequest, check_directory, default_directory
from r1zero.training.shares import check_shares

log = logging.getLogger("r1zero")

LOOK_EVERY = 0.3  # seconds between looks at the learner
AFTERMATH_S = 5.0  # seconds for the other ranks to notice that one is gone
HALF = 0.5  # of what is reserved, for each of a learner and a worker that take turns


def train_on_ray(config: TrainConfig, progress: Progress | None = None) -> Run:
    """One training run on a Ray cluster; see `r1zero.training.train`.

    A worker that dies is started again by Ray while others take its tasks.  A learner that dies is started again here,
    all its ranks, from its last checkpoint.  Raises ValueError for what the user can mend before anything is computed.
    """
    run_dir = Path(config.run.dir) if config.run.dir else default_directory(config)
    config = replace(config, run=replace(config.run, dir=str(run_dir)))
    check_directory(run_dir, config)
    check_shares(config, config.cluster.learner_ranks)
    cluster = config.cluster
    job = Job(config, str(Path.cwd()), tuple(sys.argv), max(1, int(cluster.learner_cpus)))
    with connected(cluster), StopRequest() as stop:
        check_room(cluster)
        with (
            reserved_learner(cluster) as group,
            started_workers(setup_of(config), cluster, group) as (workers, who),
        ):
            for life in range(cluster.restarts + 1):
                try:
                    born = replace(job, life=life, workers=tuple(who))
                    return Run(run_dir, *live(born, workers, group, progress, stop))
                except RayActorError as error:
                    reason = str(error).splitlines()[0]
                    if stop.made:
                        raise ClusterError(f"the learner died while it was to stop ({reason}); start again") from error
                    tell(progress, f"the learner died ({reason}); another one goes on from the last checkpoint")
    raise ClusterError(
        f"the learner died {cluster.restarts + 1} times: look for why (memory, most often), or allow more "
        f"cluster.restarts; the same command continues {run_dir}"
    )


def setup_of(config: TrainConfig) -> Setup:
    """What the workers of a training run are made of."""
    return Setup(
        model=config.model.path,
        engine=replace(config.engine, sleep=True) if config.cluster.colocated else config.engine,
        device=config.learner.device,
        threads=max(1, int(config.cluster.cpus_per_worker)),
        folder=str(Path.cwd()),
        max_pixels=config.model.max_pixels,
        pictures=config.task.kept_images,
    )


@contextlib.contextmanager
def reserved_learner(config: ClusterConfig) -> Iterator[PlacementGroup]:
    """CPUs and GPUs for each rank of the learner, held through its deaths.

    Raises ValueError where they do not become free.
    """
    wanted = {kind: count for kind, count in bundle(config).items() if count}
    group = placement_group([wanted] * config.learner_ranks, strategy="PACK")
    try:
        if not group.wait(config.timeout_s):
            listed = ", ".join(f"{count:g} {kind}s" for kind, count in wanted.items())
            raise ValueError(
                f"the cluster did not free {listed} for the learner in {config.timeout_s:g} s: wait for what else runs "
                "there, or ask for less"
            )
        yield group
    finally:
        remove_placement_group(group)


def place_of(group: PlacementGroup, rank: int) -> PlacementGroupSchedulingStrategy:
    return PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)


@contextlib.contextmanager
def started_workers(
    setup: Setup, config: ClusterConfig, group: PlacementGroup | None = None
) -> Iterator[tuple[list[Any], list[str]]]:
    """The worker actors, ready and of our versions, and a line about each; ended with the block.

    Colocated, the first of them share the learner's places in `group`, one with each rank.
    """
    actor = ray.remote(Worker)
    workers = []
    for number in range(config.workers):
        beside = group is not None and config.colocated and number < config.learner_ranks
        part = HALF if beside else 1.0
        own = actor.options(
            num_cpus=part * config.cpus_per_worker,
            num_gpus=part * config.gpus_per_worker or None,
            max_restarts=config.restarts,
            scheduling_strategy=place_of(group, number) if group is not None and beside else "SPREAD",
        )
        workers.append(own.remote(setup))
    try:
        said = answered([worker.ready.remote() for worker in workers], config, "a worker")
        for number, who in enumerate(said):
            check_versions(versions(), who, f"worker {number} (node {who['node'][:8]})")
        yield workers, [f"worker {number}: {shown(who)}" for number, who in enumerate(said)]
    finally:
        for worker in workers:
            ray.kill(worker)


def answered(references: Sequence[Any], config: ClusterConfig, who: str) -> list[dict[str, str]]:
    """What all of them say.  Raises ValueError where one stays silent, or what one of them raised."""
    try:
        return ray.get(list(references), timeout=config.timeout_s)
    except GetTimeoutError:
        raise ValueError(
            f"{who} was not ready in {config.timeout_s:g} s: wait for what else runs on the cluster, ask for less, "
            "or raise cluster.timeout_s"
        ) from None
    except RayTaskError as error:
        raise cause(error) from error


def live(
    job: Job, workers: Sequence[Any], group: PlacementGroup, progress: Progress | None, stop: StopRequest
) -> tuple[int, bool]:
    """One life of the learner, watched to its end.  Raises RayActorError when a rank dies, and ends the others."""
    cluster = job.config.cluster
    part = HALF if cluster.colocated else 1.0
    actor = ray.remote(concurrency_groups={"control": 1})(LearnerActor)
    learners = [
        actor.options(
            num_cpus=part * cluster.learner_cpus,
            num_gpus=part * cluster.learner_gpus or None,
            scheduling_strategy=place_of(group, rank),
        ).remote(replace(job, rank=rank), workers)
        for rank in range(cluster.learner_ranks)
    ]
    try:
        said = answered([learner.ready.remote() for learner in learners], cluster, "the learner")
        for rank, who in enumerate(said):
            check_versions(versions(), who, f"rank {rank} of the learner (node {who['node'][:8]})")
        running = [learner.run.remote(said[0]["host"], said[0]["port"]) for learner in learners]
        told = False
        while True:
            done, waiting = ray.wait(running, num_returns=len(running), timeout=LOOK_EVERY)
            check_dead(done, waiting)
            pass_on(ray.get(learners[0].news.remote()), progress)
            if not waiting:
                return ray.get(running[0])
            if stop.made and not told:
                told = True
                for learner in learners:
                    learner.stop.remote()
    except RayTaskError as error:
        raise cause(error) from error
    finally:
        for learner in learners:
            ray.kill(learner)


def check_dead(done: Sequence[Any], waiting: Sequence[Any]) -> None:
    """Raises what a rank raised; where one died, that, and not what the others made of it."""
    errors = [error for error in map(error_of, done) if error is not None]
    if errors and waiting:
        later, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=AFTERMATH_S)
        errors += [error for error in map(error_of, later) if error is not None]
    for error in sorted(errors, key=lambda error: not isinstance(error, RayActorError)):
        raise error


def error_of(reference: Any) -> RayError | None:
    try:
        ray.get(reference)
    except RayError as error:
        return error
    return None


def pass_on(news: Any, progress: Progress | None) -> None:
    if progress is None:
        return
    for message in news.notes:
        progress.note(message)
    for step, metrics in news.steps:
        progress.step(step, metrics)
    if news.tokens:
        progress.tokens(news.tokens)


def tell(progress: Progress | None, message: str) -> None:
    log.info(message)
    if progress is not None:
        progress.note(message)
