"""A run is a directory: opened new, or continued from its last checkpoint; never two processes at once."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib.metadata
import logging
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from r1zero.config import ClusterConfig, ShardingConfig, TrainConfig, to_dict
from r1zero.store import read_config, read_metrics

log = logging.getLogger("r1zero")

PLACES = {
    f"{section}.{field.name}"
    for section, kind in (("cluster", ClusterConfig), ("sharding", ShardingConfig))
    for field in dataclasses.fields(kind)
} - {"cluster.asynchronous"}
SERVED = {f"engine.{name}" for name in ("url", "port", "timeout_s", "max_restarts", "gpu_memory", "cpu_cache", "sleep")}
# Between the parts of one run:
MAY_CHANGE = {"steps", "run.dir", "checkpoint.every", "checkpoint.keep", *PLACES, *SERVED}
PACKAGES = ("r1zero", "torch", "transformers", "tokenizers", "safetensors", "numpy", "polars")


@dataclass(frozen=True)
class Run:
    """What `train` returns: a directory, and whether it got to its last step."""

    dir: Path
    steps_done: int
    finished: bool

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return read_metrics(self.dir)


def default_directory(config: TrainConfig) -> Path:
    """Where a run goes when nobody says."""
    return Path("runs") / f"{config.task.name}-{config.objective.name}-seed{config.seed}"


def check_directory(run_dir: Path, config: TrainConfig) -> bool:
    """Whether the directory holds this very run.  Raises ValueError, naming the remedy, when it holds anything else."""
    if not (run_dir / "config.json").exists():
        if run_dir.exists() and any(path.name not in {".lock", "log.txt"} for path in run_dir.iterdir()):
            raise ValueError(f"{run_dir} is not empty and holds no run: choose another --run.dir")
        return False
    there, here = flatten_dict(read_config(run_dir)["config"]), flatten_dict(to_dict(config))
    may_change = MAY_CHANGE if config.learner.schedule == "constant" else MAY_CHANGE - {"steps"}
    differing = [key for key in here if key not in may_change and there.get(key) != here[key]]
    if differing:
        key = differing[0]
        more = f" and {len(differing) - 1} more keys" if len(differing) > 1 else ""
        raise ValueError(
            f"{run_dir} already holds a different run ({key} was {there.get(key)!r}, is {here[key]!r}{more}): "
            "choose another --run.dir, or remove it"
        )
    return True


def flatten_dict(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"learner": {"lr": 1}} -> {"learner.lr": 1}, tuples as lists, as JSON has them."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten_dict(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def provenance() -> dict[str, Any]:
    """Versions, commit, machine and command: what a number depends on besides its config."""
    return {
        "versions": package_versions(),
        "commit": _commit(),
        "machine": {"processor": _processor(), "threads": torch.get_num_threads(), "gpu": _gpu()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def package_versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def _commit() -> str | None:
    """The commit of the source tree this package runs from, "+dirty" when it has changes; None when installed."""
    here = Path(__file__).parent
    try:
        tracked = subprocess.run(["git", "ls-files", "--error-unmatch", __file__], cwd=here, capture_output=True)
        if tracked.returncode:
            return None
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True)
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True)
    except OSError:  # no git on this machine
        return None
    return commit.stdout.strip() + ("+dirty" if changed.stdout.strip() else "") or None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the run directory; a second process gets a ValueError.  The kernel lets go when this one dies."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with open(run_dir / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"{run_dir} is in use by another process: wait for it, or choose another --run.dir"
            ) from None
        yield


@contextmanager
def logged(run_dir: Path, *, writes: bool = True) -> Iterator[None]:
    """Everything logged under "r1zero" also goes to log.txt; without `writes`, nothing below an error goes anywhere."""
    if not writes:
        log.setLevel(logging.ERROR)
        yield
        return
    handler = logging.FileHandler(run_dir / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


class StopRequest:
    """Made by the first Ctrl-C (or SIGTERM), so that the loop can finish its step and save; the second interrupts."""

    def __init__(self) -> None:
        self.made = False

    def __enter__(self) -> StopRequest:
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
