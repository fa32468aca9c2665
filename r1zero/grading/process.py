"""One grading process, seen from outside: its pipe, its time on the clock, and what its end means.

A plain child process, not multiprocessing's: that one asks for `if __name__ == "__main__"` in a user's script, and its
Pool loses requests for good when a worker hangs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1zero.grading.worker import OUT_OF_MEMORY

TIMED_OUT = "timed out"
NOT_GRADED = "not graded: "  # how a fault begins that is neither of the two above
NOT_STARTED = NOT_GRADED + "no grading process"
PATIENCE = 5  # seconds on the clock for one of processor time: for a process that waits, or a machine that is busy
START_SECONDS = 120.0  # on the clock, to import what it needs


@dataclass(frozen=True)
class Reply:
    """What a process answered, or why it did not.

    Example: Reply(None, "timed out")
    """

    value: Any
    fault: str = ""  # "timed out", "out of memory", "not graded: ..."; "" where there is a value


class Process:
    """One grading process and its pipe."""

    def __init__(self, target: str, seconds: float, memory: int):
        self.clock_seconds = seconds * PATIENCE
        self.requests = 0
        self.waiting_since = time.monotonic()
        self.is_ready = False
        self.buffer = b""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "r1zero.grading.worker", target, str(seconds), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=_environment(),
            process_group=0,  # Ctrl-C is for the parent, whose end they notice
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.input, False)
        os.set_blocking(self.output, False)

    def ask(self, arguments: tuple[Any, ...]) -> Reply:
        """The answer to one request.  A process that gives none is dead afterwards."""
        started = self._start()
        if started.fault:
            return started
        self.requests += 1
        deadline = time.monotonic() + self.clock_seconds if self.clock_seconds else None
        return self._exchange(json.dumps(arguments).encode() + b"\n", deadline)

    def _start(self) -> Reply:
        """Wait until it has imported what it needs."""
        if self.is_ready:
            return Reply("ready")
        reply = self._exchange(b"", self.waiting_since + START_SECONDS)
        self.is_ready = not reply.fault
        if reply.fault:
            self.kill()
            return Reply(None, f"{NOT_STARTED} ({reply.fault.removeprefix(NOT_GRADED)})")
        return reply

    def _exchange(self, request: bytes, deadline: float | None) -> Reply:
        """Write the request, read one line.  Whatever keeps that from happening ends the process."""
        try:
            line = self._talk(request, deadline)
        except BaseException:  # Ctrl-C between question and answer: nobody would know whose answer comes next
            self.kill()
            raise
        if line is not None:
            reply = json.loads(line)
            fault = reply.get("fault", "")
            if fault == OUT_OF_MEMORY:
                self.kill()
            return Reply(reply.get("value"), fault if fault in ("", OUT_OF_MEMORY) else NOT_GRADED + fault)
        late = deadline is not None and time.monotonic() >= deadline
        if not late:  # it closed the pipe: let it end, its exit code says why
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        code = self.process.poll()
        self.kill()
        if late or code in (-signal.SIGPROF, -signal.SIGXCPU):
            return Reply(None, TIMED_OUT)
        return Reply(None, f"{NOT_GRADED}the process died ({_ending(code)})")

    def _talk(self, request: bytes, deadline: float | None) -> bytes | None:
        """The line that answers `request`; None when time is up or the process has gone."""
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        if request:
            poll.register(self.input, select.POLLOUT)
        while b"\n" not in self.buffer:
            left = None if deadline is None else max(0, deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if not ready:
                return None
            if ready.get(self.output, 0):
                chunk = os.read(self.output, 1 << 16)
                if not chunk:
                    return None
                self.buffer += chunk
            elif ready.get(self.input, 0):
                try:
                    request = request[os.write(self.input, request) :]
                except BrokenPipeError:
                    return None
                if not request:
                    poll.unregister(self.input)
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it now and close its pipe."""
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Close the pipe; an idle process then ends by itself."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _environment() -> dict[str, str]:
    """The parent's, with this very package first on the path and one thread for each library."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


def _ending(code: int | None) -> str:
    if code is None:
        return "no exit code"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
