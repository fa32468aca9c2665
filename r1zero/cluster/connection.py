"""Reaching a Ray cluster: whether it is there, runs what we run, and has room."""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

from r1zero.config import ClusterConfig

REACH_S = 5.0  # seconds for the address to take a connection
MUST_AGREE = ("r1zero", "torch", "transformers", "tokenizers", "numpy")  # Ray itself compares its own and Python's
Versions = Mapping[str, str]


@contextmanager
def connected(config: ClusterConfig) -> Iterator[None]:
    """A connection to the cluster; a cluster of this machine alone ends with it.

    Raises ValueError, naming the remedy, where nobody answers at the address.
    """
    if ray.is_initialized():  # by whoever calls, who also ends it
        yield
        return
    address = config.address
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    if address not in ("auto", "local"):
        check_reachable(address)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address == "local":
            cores = max(os.cpu_count() or 1, math.ceil(reserved(config)["CPU"]))  # a small machine shares its cores
            ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(_nobody(address, str(error).splitlines()[0])) from error
    try:
        yield
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """Raises ValueError where [ray://]HOST:PORT takes no connection: Ray itself would wait for minutes."""
    matched = re.fullmatch(r"(?:ray://)?(\[[^]]+\]|[^:/]+):(\d+)", address)
    if not matched:
        raise ValueError(f"cluster.address={address!r}: write HOST:PORT, ray://HOST:PORT, auto or local")
    try:
        socket.create_connection((matched[1].strip("[]"), int(matched[2])), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise ValueError(_nobody(address, str(error))) from error


def _nobody(address: str, reason: str) -> str:
    return (
        f"no Ray cluster answers at cluster.address={address} ({reason}): start one with `ray start --head`, name "
        "another address, or use --cluster.address local for one of this machine alone"
    )


def versions() -> dict[str, str]:
    """What results depend on in this process."""
    return {package: importlib.metadata.version(package) for package in MUST_AGREE}


def check_versions(here: Versions, there: Versions, where: str) -> None:
    """Raises ValueError naming what differs between the driver and a worker or learner."""
    differing = [f"{name} {there.get(name)} (here {value})" for name, value in here.items() if there.get(name) != value]
    if differing:
        raise ValueError(
            f"{where} runs other versions: {', '.join(differing)}; results would depend on who computed them: install "
            "the same on every node and start Ray there again"
        )


def check_room(config: ClusterConfig, *, with_learner: bool = True) -> None:
    """Raises ValueError where the cluster could never hold the workers and the learner."""
    has = ray.cluster_resources()
    who = f"{config.workers} workers" + (" and the learner" if with_learner else "")
    for kind, count in reserved(config, with_learner=with_learner).items():
        if count > has.get(kind, 0.0) + 1e-9:
            raise ValueError(
                f"the cluster has {has.get(kind, 0.0):g} {kind}s and this needs {count:g} ({who}): lower "
                "cluster.workers or what each reserves, or add nodes"
            )


def reserved(config: ClusterConfig, *, with_learner: bool = True) -> dict[str, float]:
    """CPUs and GPUs of all actors together; colocated, each rank of the learner shares with a worker.

    >>> reserved(ClusterConfig(workers=3, cpus_per_worker=2.0, learner_cpus=4.0))
    {'CPU': 10.0, 'GPU': 0.0}
    >>> reserved(ClusterConfig(workers=3, cpus_per_worker=2.0, learner_cpus=4.0, colocated=True))
    {'CPU': 8.0, 'GPU': 0.0}
    """
    ranks, one = config.learner_ranks if with_learner else 0, bundle(config)
    beside = config.workers - ranks if config.colocated else config.workers
    return {
        "CPU": beside * config.cpus_per_worker + ranks * one["CPU"],
        "GPU": beside * config.gpus_per_worker + ranks * one["GPU"],
    }


def bundle(config: ClusterConfig) -> dict[str, float]:
    """What is reserved for a rank of the learner; colocated, for a worker with it."""
    if not config.colocated:
        return {"CPU": config.learner_cpus, "GPU": config.learner_gpus}
    return {
        "CPU": max(config.learner_cpus, config.cpus_per_worker),
        "GPU": max(config.learner_gpus, config.gpus_per_worker),
    }
