"""Trainers in processes of their own that take turns: while one makes a step, the others wait.

Every comparison is then between neighbouring steps on the same machine, whatever else runs on it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection


@dataclass(frozen=True)
class Step:
    """What one training step took and gave."""

    seconds: float  # on the clock
    cpu_seconds: float  # of processor time, which other processes on the machine disturb less
    rewards_P: list[float]  # mean reward of each problem's responses
    tokens_P: list[float]  # mean length of each problem's responses
    peak_bytes: int  # resident memory of the process until now, libraries included


class Turn:
    """A trainer's end of it: `begin` waits for the word, `end` says what the step took and gave."""

    def __init__(self, pipe: Connection, group_size: int):
        self.pipe, self.group_size = pipe, group_size

    def begin(self) -> None:
        try:
            self.pipe.recv()
        except EOFError:  # nobody asks any more
            sys.exit()
        self.started = time.perf_counter(), time.process_time()

    def end(self, rewards: Sequence[float], tokens: Sequence[float]) -> None:
        """The rewards and lengths of all responses, those to one problem together."""
        seconds, cpu_seconds = time.perf_counter() - self.started[0], time.process_time() - self.started[1]
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.pipe.send(Step(seconds, cpu_seconds, self._means(rewards), self._means(tokens), peak_bytes))

    def _means(self, values: Sequence[float]) -> list[float]:
        return [statistics.fmean(values[at : at + self.group_size]) for at in range(0, len(values), self.group_size)]


@dataclass
class Player:
    """A function that trains, given its end of a pipe; it runs in its own process."""

    train: Callable[[Connection], None]
    num_steps: int
    steps: list[Step] = field(default_factory=list)  # what it has done

    @property
    def timed(self) -> list[Step]:
        """All but the first, which warms up."""
        return self.steps[1:]


def play(players: Mapping[str, Player], threads: int) -> None:
    """Let everybody make their steps in turn; who begins a round ends the next."""
    os.environ |= {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}  # the processes inherit these
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, player in players.items():
        pipes[name], there = spawn.Pipe()
        processes.append(spawn.Process(target=player.train, args=(there,), daemon=True))
        processes[-1].start()
        there.close()
    for step in range(num_rounds := max(player.num_steps for player in players.values())):
        moving = [name for name, player in players.items() if step < player.num_steps]
        for name in moving if step % 2 else reversed(moving):
            try:
                pipes[name].send("go")
                players[name].steps.append(pipes[name].recv())
            except (EOFError, OSError):
                raise SystemExit(f"{name} failed in step {step + 1}; see above") from None
        shown = ", ".join(f"{name} {players[name].steps[-1].seconds:.2f} s" for name in moving)
        print(f"step {step + 1}/{num_rounds}: {shown}", file=sys.stderr, flush=True)
    for process in processes:
        process.kill()
        process.join()
