"""A Ray cluster of several nodes on this machine, and runs small enough to be disturbed often."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import add_node


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head without CPUs, to which this process is connected, and two nodes of two CPUs each."""
    ray = pytest.importorskip("ray", reason="needs the extra `ray`: make test-ray")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # else Ray's actors wait for everything else on the machine
    made = Cluster()
    add_node(made, num_cpus=0, include_dashboard=False)
    for _ in range(2):
        add_node(made)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="session")
def settings(model_dir: Path) -> dict[str, Any]:
    """Eight steps of about half a second, in which a random model learns not to be cut off."""
    return {
        "seed": 3,
        "steps": 8,
        "problems_per_step": 4,
        "responses_per_problem": 4,
        "run": {"threads": 1},
        "model": {"path": str(model_dir)},
        "sampling": {"max_tokens": 160},
        "reward": {"unformatted": 1.0, "truncated": 0.0},
        "learner": {"lr": 1e-2},
        "evaluation": {"num_problems": 4, "max_tokens": 32, "every": 4},
        "checkpoint": {"every": 2},
        "cluster": {"name": "ray", "workers": 2, "timeout_s": 300},
    }
