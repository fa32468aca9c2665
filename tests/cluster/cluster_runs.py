"""What the tests of the cluster share: how a run is set up, disturbed and compared."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

from r1zero.config import TrainConfig, build, merge
from r1zero.store import read_metrics

NODE = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_log_monitor": False}


def add_node(cluster: Any, **over: Any) -> Any:
    """A node more.  Ray gives one half a minute to start, which is little on a machine that does much else."""
    for attempt in range(3):
        try:
            return cluster.add_node(**{**NODE, **over})
        except Exception as error:  # Ray raises nothing more specific
            if "timed out" not in str(error) or attempt == 2:
                raise
    raise AssertionError("not reached")


def config_of(settings: dict[str, Any], run_dir: Path, **over: Any) -> TrainConfig:
    return build(TrainConfig, merge(merge(settings, over), {"run": {"dir": str(run_dir)}}))


class Disturber:
    """A `Progress` that does something once a step has been heard of: `deeds` are functions of the run's directory."""

    def __init__(self, run_dir: Path, deeds: dict[int, Any]):
        self.run_dir, self.deeds, self.notes = run_dir, dict(deeds), []

    def step(self, step: int, metrics: dict[str, float]) -> None:
        deed = self.deeds.pop(step, None)
        if deed is not None:
            deed(self.run_dir)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def tokens(self, count: int) -> None:
        pass


def process_of(run_dir: Path, who: str) -> tuple[int, str]:
    """The newest process of "worker 1" or "learner", and the beginning of its node's id, as the log has them."""
    found = re.findall(rf"{who}.*: process (\d+) on node (\w+)", (run_dir / "log.txt").read_text())
    return int(found[-1][0]), found[-1][1]


def kill(who: str):
    """A deed: end that process at once."""
    return lambda run_dir: os.kill(process_of(run_dir, who)[0], signal.SIGKILL)


def timeless(run_dir: Path) -> list[dict[str, float]]:
    """Everything in metrics.jsonl that does not depend on time or on what died."""
    return [
        {name: repr(value) for name, value in row.items() if not name.startswith(("speed/", "cluster/"))}
        for row in read_metrics(run_dir)
    ]


def total(run_dir: Path, name: str) -> float:
    return sum(row.get(name, 0.0) for row in read_metrics(run_dir))


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
