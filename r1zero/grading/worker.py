"""The inside of a grading process: answers one request after another until the pipe closes, under limits of its own.

Started by r1zero.grading.process as `python -m r1zero.grading.worker MODULE:FUNCTION SECONDS BYTES`.  A request is a
line of JSON, the list of the function's arguments; the answer is a line too: {"value": ...}, or {"fault": "..."}.
A request that overruns its processor time ends the process, whatever it is busy with: the timer's signal has no
handler, so no Python code need run for it.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

OUT_OF_MEMORY = "out of memory"
TRUSTED_BYTES = 2 << 30  # of address space, where the process cannot tell how much it has already


def main(target: str, seconds: float, memory: int) -> None:
    """Serve `target` until standard input closes.  0 seconds, or 0 bytes, is no limit."""
    requests_fd, replies_fd = os.dup(0), os.dup(1)
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)  # what a library prints is no reply
    requests: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests_fd, requests), daemon=True).start()
    try:
        function = _load(target)
    except (ImportError, AttributeError) as error:
        _send(replies_fd, {"fault": f"{type(error).__name__}: {error}"})
        return
    _limit_resources(memory)
    _send(replies_fd, {"value": "ready"})
    while True:
        reply = _answer(function, requests.get(), seconds)
        _send(replies_fd, reply)
        if reply.get("fault") == OUT_OF_MEMORY:
            return  # what ran short of memory may be half done


def _listen(requests_fd: int, requests: SimpleQueue[bytes]) -> None:
    """Pass on lines; the end of the pipe, or of whoever held it, is the end of this process, busy or not."""
    with os.fdopen(requests_fd, "rb") as lines:
        for line in lines:
            requests.put(line)
    os._exit(0)


def _load(target: str) -> Callable[..., Any]:
    """The function named MODULE:FUNCTION.  A `prepare()` in its module is called first, to import what is slow."""
    module_name, _, function_name = target.partition(":")
    module = importlib.import_module(module_name)
    getattr(module, "prepare", int)()
    function: Callable[..., Any] = getattr(module, function_name)
    return function


def _answer(function: Callable[..., Any], request: bytes, seconds: float) -> dict[str, Any]:
    """What the function says; every exception it raises is a fault with a name."""
    try:
        arguments = json.loads(request)
        _limit_time(seconds)
        return {"value": function(*arguments)}
    except MemoryError:
        return {"fault": OUT_OF_MEMORY}
    except ImportError as error:
        return {"fault": f"{error.name or error} is not installed"}
    except Exception as error:  # the library met a text it was not made for: a fault of this request alone
        return {"fault": type(error).__name__}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_time(seconds: float) -> None:
    """Processor time, so that a busy machine gives the verdicts of an idle one: a timer, and the kernel's own limit."""
    if not seconds:
        return
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    _lower(resource.RLIMIT_CPU, math.ceil(used + seconds) + 1)


def _limit_resources(memory: int) -> None:
    """No core dump, no file written, and `memory` bytes beyond what is loaded by now."""
    _lower(resource.RLIMIT_CORE, 0)
    if memory:
        _lower(resource.RLIMIT_FSIZE, 0)
        status = Path("/proc/self/statm")
        pages = int(status.read_text().split()[0]) if status.exists() else 0
        _lower(resource.RLIMIT_AS, memory + (pages * resource.getpagesize() or TRUSTED_BYTES))


def _lower(limit: int, value: int) -> None:
    """Set the soft limit, within the hard one."""
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _send(replies_fd: int, reply: dict[str, Any]) -> None:
    line = json.dumps(reply).encode() + b"\n"
    while line:
        line = line[os.write(replies_fd, line) :]


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
