"""Grading processes that can be killed: what a response makes them do ends with them, and the next answer is graded.

Each process has a pipe of its own and one request at a time.  One that overruns its time or memory, or dies, gives a
reason, never an exception, and a spare, started in advance, takes its place.  Processes start with the first request
and end with the process that started them, however that one ends.  Any thread may call; a forked child starts its own.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from r1zero.grading.process import NOT_GRADED, NOT_STARTED, TIMED_OUT, Process, Reply
from r1zero.grading.worker import OUT_OF_MEMORY

log = logging.getLogger("r1zero")

SECONDS = 2.0  # of processor time for one comparison
MEMORY = 512 << 20  # bytes for one comparison, beyond what the libraries take
WARN_SHARE = 0.01  # of a step's responses
KILLED = tuple(f"{NOT_GRADED}the process died ({name})" for name in ("SIGKILL", "SIGTERM"))
LIFETIME = 20_000  # requests after which a process is replaced: libraries' own caches only grow


@dataclass(frozen=True)
class Verdict:
    """Whether two answers are equal, and the reason when that could not be found out.

    Example: Verdict(equal=False, fault="timed out")
    """

    equal: bool
    fault: str = ""


@dataclass(frozen=True)
class Counts:
    """What a pool has done since it was made."""

    requests: int = 0
    timeouts: int = 0
    failures: int = 0  # out of memory, died, raised


class GradingFault(Exception):  # noqa: N818 - the grader's, not the user's
    """A comparison came to no end; carries the reason."""


class GradingTimeout(GradingFault):
    """It ran out of time."""


def is_timeout(reason: str) -> bool:
    """Whether a grade's reason says that its answer ran out of time."""
    return reason == TIMED_OUT


def is_failure(reason: str) -> bool:
    """Whether a grade's reason says that grading broke off for another cause than time."""
    return reason == OUT_OF_MEMORY or reason.startswith(NOT_GRADED)


def warn_of_timeouts(reasons: Sequence[str], where: str) -> None:
    """A line in the log when more than WARN_SHARE of these grades ran out of time."""
    late = sum(map(is_timeout, reasons))
    if reasons and late / len(reasons) > WARN_SHARE:
        log.warning("%s: %d of %d answers ran out of time and count as wrong", where, late, len(reasons))


def judge(prediction: str, gold: str) -> Verdict:
    """Whether `prediction` equals `gold` symbolically, found out in a process of its own.  Never raises."""
    reply = shared_pool().call(prediction, gold)
    return Verdict(reply.value is True, reply.fault)


def symbolic_equal(prediction: str, gold: str) -> bool:
    """The same as a truth value.  Raises GradingTimeout, or GradingFault with the reason, when it is not known."""
    verdict = judge(prediction, gold)
    if is_timeout(verdict.fault):
        raise GradingTimeout(verdict.fault)
    if verdict.fault:
        raise GradingFault(verdict.fault)
    return verdict.equal


class Pool:
    """Up to `size` grading processes at work at once, and, with `spare`, one more that is warm.

    `target` is "module:function"; its arguments and its value go over the pipe as JSON.  `seconds` of processor time
    for one request, 0 for no limit; `memory` bytes likewise.
    """

    def __init__(
        self, target: str, *, size: int = 1, seconds: float = SECONDS, memory: int = MEMORY, spare: bool = True
    ):
        self.target, self.size, self.seconds, self.memory, self.spare = target, size, seconds, memory, spare
        self.counts = Counts()
        self._begin()
        _watch_over_pools()
        _POOLS.add(self)

    def call(self, *arguments: Any) -> Reply:
        """The function's value for these arguments, or why there is none.  Waits for a process to be free."""
        if os.getpid() != self._owner:
            self.abandon()
        with self._slots:
            reply = self._ask(arguments)
            if reply.fault in KILLED and not self._closed:  # not by us: the answer did nothing wrong, so once more
                reply = self._ask(arguments)
        self._count(reply)
        return reply

    def _ask(self, arguments: tuple[Any, ...]) -> Reply:
        try:
            process = self._take()
        except OSError as error:  # no memory or no room for one more process
            return Reply(None, f"{NOT_STARTED} ({error.strerror or error})")
        try:
            return process.ask(arguments)
        finally:
            self._give_back(process)

    def close(self) -> None:
        """End every process, for good; who still waits or calls is told so."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._closed = True
            processes, idle = list(self._all), list(self._idle)
            self._all.clear()
            self._idle.clear()
        for process in processes:
            process.process.kill()  # who waits for a busy one closes its pipe
        for process in idle:
            process.kill()

    def abandon(self) -> None:
        """What a forked child does with its parent's processes: close its copies of their pipes, and begin anew."""
        for process in self._all:
            process.close()
        self._begin()

    @property
    def process_ids(self) -> list[int]:
        """The ids of the processes that are there now."""
        return [process.process.pid for process in list(self._all)]

    def _begin(self) -> None:
        self._owner, self._closed, self._told = os.getpid(), False, False
        self._slots = threading.Semaphore(self.size)
        self._lock: threading.Lock = threading.Lock()
        self._idle: list[Process] = []  # the last is the warmest
        self._all: set[Process] = set()

    def _take(self) -> Process:
        """A process for the caller alone.  Raises OSError when there can be none."""
        with self._lock:
            if self._closed:
                raise OSError("the pool is closed")
            while self._idle:
                process = self._idle.pop()
                if process.alive:
                    return process
                self._all.discard(process)  # something outside ended it while it was idle
                process.close()
            return self._new()

    def _give_back(self, process: Process) -> None:
        """Keep a process that lives, and see that another one is warm."""
        worn = process.requests >= LIFETIME
        if worn:
            process.kill()
        with self._lock:
            if self._closed:
                process.close()
                return
            if not worn and process.alive:
                self._idle.append(process)
            else:
                self._all.discard(process)
                process.close()
            if self.spare and len(self._idle) < 2 and len(self._all) <= self.size:
                with contextlib.suppress(OSError):  # no room for a spare: the next call says so, if it needs one
                    self._idle.insert(0, self._new())

    def _new(self) -> Process:
        process = Process(self.target, self.seconds, self.memory)
        self._all.add(process)
        return process

    def _count(self, reply: Reply) -> None:
        with self._lock:
            c = self.counts
            late, failed = is_timeout(reply.fault), is_failure(reply.fault)
            self.counts = Counts(c.requests + 1, c.timeouts + late, c.failures + failed)
            first = reply.fault.startswith(NOT_STARTED) and not (self._closed or self._told)
            self._told |= first
        if first:
            log.warning("%s", reply.fault)


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()
_shared: Pool | None = None
_sharing = threading.Lock()


def shared_pool() -> Pool:
    """The pool of symbolic comparisons of this process, made on the first call."""
    global _shared
    with _sharing:
        if _shared is None:
            _shared = Pool("r1zero.grading.symbolic:symbolic_equal", size=num_cores())
        return _shared


def num_cores() -> int:
    """How many processes are worth running at once: the cores that this one may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


@cache
def _watch_over_pools() -> None:
    """Once, with the first pool: what becomes of the processes after a fork and at the end."""
    os.register_at_fork(after_in_child=_after_fork)
    atexit.register(_close_all)


def _after_fork() -> None:
    """In a forked child: the parent's processes are not ours, and its locks may be held by threads we do not have."""
    global _sharing
    _sharing = threading.Lock()
    for pool in list(_POOLS):
        pool.abandon()


def _close_all() -> None:
    for pool in list(_POOLS):
        pool.close()
