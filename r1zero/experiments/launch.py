"""Many runs from one command: one after another, or several at once in processes of their own.

Every run is a directory of its own and is continued by itself, so a launch that was stopped, or lost a run, is
finished by the same call.  `run.threads` enters the arithmetic: runs side by side have fewer CPU threads each, and with
the same number they are, bit for bit, what they are alone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from r1zero.cluster import train
from r1zero.config import TrainConfig, to_dict
from r1zero.experiments.watch import LaunchProgress, MetricsTail, RunState
from r1zero.store import read_config, write_atomically
from r1zero.training.checkpoint import checkpoint_steps
from r1zero.training.loop import TrainingError
from r1zero.training.run import Run, StopRequest, check_directory

log = logging.getLogger("r1zero")

LOOK_EVERY = 0.3  # seconds between looks at the children
GRACE = 20.0  # seconds a child gets after the second Ctrl-C
USAGE = 2  # exit code of a child whose config is at fault


def run_all(
    configs: Sequence[TrainConfig], *, parallel: int | None = None, progress: LaunchProgress | None = None
) -> list[Run]:
    """Run every config to its end, `parallel` at a time; returns the runs in the order given, finished or not.

    Without `parallel`: as many at once as this process may use CPU cores, one at a time on a GPU.  One at a time is in
    this process; more are `python -m r1zero train RUN.json` each, with cores // parallel threads if run.threads is 0.
    What is already finished is left alone, what was interrupted is continued.  The first Ctrl-C lets each run finish
    its step and save.  A run that fails is told to `progress` and the log, and the others go on.

    Raises ValueError, before anything runs, for directories that hold something else, and when every run is refused
    for its config.
    """
    check_directories(configs)
    at_once = min(parallel or default_parallel(configs), max(1, len(configs)))
    configs = [with_threads(config, at_once) for config in configs]
    for config in configs:
        check_directory(Path(config.run.dir), config)
    launch = Launch(configs, progress)
    with StopRequest() as stop:
        if at_once == 1:
            launch.one_by_one(stop)
        else:
            with hangup_like_ctrl_c():
                launch.side_by_side(at_once, stop)
    if configs and len(launch.refused) == len(configs):
        raise ValueError(launch.refused[0])
    return launch.runs()


def default_parallel(configs: Sequence[TrainConfig]) -> int:
    """Runs at once: the CPU cores this process may use, or 1 where a run takes a GPU."""
    import torch

    on_gpu = any(
        config.learner.device.startswith("cuda") or (config.learner.device == "auto" and torch.cuda.is_available())
        for config in configs
    )
    return 1 if on_gpu else usable_cores()


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_directories(configs: Sequence[TrainConfig]) -> None:
    """Raise ValueError unless every config names a directory of its own."""
    seen: set[Path] = set()
    for config in configs:
        if not config.run.dir:
            raise ValueError("run.dir='': each of several runs needs a directory of its own")
        path = Path(config.run.dir).resolve()
        if path in seen:
            raise ValueError(f"run.dir={config.run.dir} is named twice: each run needs a directory of its own")
        seen.add(path)


def with_threads(config: TrainConfig, at_once: int) -> TrainConfig:
    """The config with its share of the cores.  A run begun earlier keeps the threads it began with."""
    if config.run.threads:
        return config
    run_dir = Path(config.run.dir)
    if (run_dir / "config.json").exists():
        threads = int(read_config(run_dir)["config"].get("run", {}).get("threads", 0))
    else:
        threads = 0 if at_once == 1 else max(1, usable_cores() // at_once)
    return replace(config, run=replace(config.run, threads=threads))


def is_finished(config: TrainConfig) -> bool:
    """Whether the directory's run got to its last step and saved its model."""
    run_dir = Path(config.run.dir)
    steps = checkpoint_steps(run_dir)
    return bool(steps) and steps[-1] >= config.steps and (run_dir / "model" / "config.json").exists()


@contextmanager
def hangup_like_ctrl_c() -> Iterator[None]:
    """A terminal that closes stops the launch as Ctrl-C does: the children would not notice.  `nohup` is respected."""
    listens = (
        threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    )
    if listens:
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGINT))
    try:
        yield
    finally:
        if listens:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass
class Child:
    """A run in a process of its own; what it says on stderr is kept until it ends."""

    index: int
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def last_words(self) -> str:
        """The last line it wrote to stderr, without the program's name; or how it ended."""
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        if self.process.returncode < 0:
            return f"killed by {signal.Signals(-self.process.returncode).name}"
        return lines[-1].removeprefix("r1zero: error: ") if lines else f"exit code {self.process.returncode}"


class Launch:
    """The runs of one launch and how far each is."""

    def __init__(self, configs: Sequence[TrainConfig], progress: LaunchProgress | None):
        self.configs, self.progress = configs, progress
        labels = short_labels([config.run.dir for config in configs])
        self.tails = [
            MetricsTail(Path(config.run.dir), RunState(label, config.steps))
            for config, label in zip(configs, labels, strict=True)
        ]
        self.refused: list[str] = []  # what runs said whose config was at fault
        self.pending: list[int] = []
        for index, config in enumerate(configs):
            if is_finished(config):
                self.tails[index].mark("finished")
            else:
                self.pending.append(index)
        self.show()

    def runs(self) -> list[Run]:
        ends = [(Path(config.run.dir), is_finished(config)) for config in self.configs]
        return [Run(path, max(checkpoint_steps(path), default=-1), finished) for path, finished in ends]

    def one_by_one(self, stop: StopRequest) -> None:
        for index in self.pending:
            if stop.made:
                self.tails[index].mark("stopped")
                continue
            self.tails[index].mark("running")
            self.show()
            try:
                finished = train(self.configs[index], InProcess(self)).finished
                self.tails[index].mark("finished" if finished else "stopped")
                stop.made |= not finished  # the run's own handler took the signal
            except (TrainingError, ValueError, OSError) as error:
                self.fail(index, " ".join(str(error).split()), refused=isinstance(error, ValueError))
        self.show()

    def side_by_side(self, at_once: int, stop: StopRequest) -> None:
        waiting, children, told = list(self.pending), list[Child](), False
        try:
            while children or (waiting and not stop.made):
                while waiting and len(children) < at_once and not stop.made:
                    children.append(self.start(waiting.pop(0)))
                if stop.made and not told:
                    told = True
                    self.note(f"stopping: {len(children)} runs finish their step and save; the same command goes on")
                    send(children, signal.SIGINT)
                time.sleep(LOOK_EVERY)
                for child in [child for child in children if child.process.poll() is not None]:
                    children.remove(child)
                    self.ended(child, stopped=stop.made)
                self.show()
        except KeyboardInterrupt:
            send(children, signal.SIGINT)
            wait_for(children, GRACE)
            raise
        finally:
            send(children, signal.SIGKILL)
            wait_for(children, GRACE)
        for index in waiting:
            self.tails[index].mark("stopped")
        self.show()

    def start(self, index: int) -> Child:
        """A child that trains from RUN.json, which stays beside the run: with it the run can be made again."""
        config = self.configs[index]
        run_dir = Path(config.run.dir)
        recipe = run_dir.with_name(run_dir.name + ".json")
        recipe.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(recipe, (json.dumps({"verb": "train", "config": to_dict(config)}, indent=2) + "\n").encode())
        threads = str(config.run.threads)
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child has ended
        process = subprocess.Popen(
            [sys.executable, "-m", "r1zero", "train", str(recipe)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=os.environ | {"OMP_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads, "R1ZERO_TRACEBACK": ""},
            process_group=0,  # Ctrl-C reaches this process only, which passes it on once
        )
        self.tails[index].mark("running")
        return Child(index, process, errors)

    def ended(self, child: Child, *, stopped: bool) -> None:
        code = child.process.returncode
        if code == 0:
            self.tails[child.index].mark("finished")
        elif stopped and code in (1, -signal.SIGINT):
            self.tails[child.index].mark("stopped")
        else:
            self.fail(child.index, child.last_words(), refused=code == USAGE)
        child.errors.close()

    def fail(self, index: int, message: str, *, refused: bool) -> None:
        if refused:
            self.refused.append(message)
        self.tails[index].mark("failed")
        self.note(f"failed: {self.configs[index].run.dir}: {message}")

    def note(self, message: str) -> None:
        log.warning(message)
        if self.progress:
            self.progress.note(message)

    def show(self) -> None:
        if self.progress:
            self.progress.show([tail.look() for tail in self.tails])


class InProcess:
    """Passes one run's progress on to the launch it belongs to; see r1zero.training.loop.Progress."""

    def __init__(self, launch: Launch):
        self.launch = launch

    def step(self, step: int, metrics: dict[str, float]) -> None:
        self.launch.show()

    def note(self, message: str) -> None:
        self.launch.show()

    def tokens(self, count: int) -> None:
        pass


def short_labels(directories: Sequence[str]) -> list[str]:
    """The directories without the parents that all share.

    >>> short_labels(["runs/a/seed-0", "runs/a/seed-1"]), short_labels(["x/a/seed-0", "x/b/seed-0"])
    (['seed-0', 'seed-1'], ['a/seed-0', 'b/seed-0'])
    """
    shared = os.path.commonpath([str(Path(path).parent) for path in directories]) if directories else ""
    return [os.path.relpath(path, shared or ".") for path in directories]


def send(children: Sequence[Child], number: signal.Signals) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(number)


def wait_for(children: Sequence[Child], seconds: float) -> None:
    """Wait until all have ended, or so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(child.process.poll() is None for child in children):
        time.sleep(0.05)
