"""Ctrl-C while slow answers are being graded elsewhere: the program ends, and so do its processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
from r1zero.grading import batch
rows = (batch.Submission("\\\\prod_{k=1}^{%d} (x+k)" % n, ("\\\\prod_{k=1}^{3} (x+k)",), None, "math") for n in range(10**6, 10**7))
for row, grade in batch.grade_many(rows, lambda row: row, workers=2):
    print(grade.reason, flush=True)
"""  # fmt: skip # noqa: E501


def grading_processes(parent: int) -> set[int]:
    """The processes that `parent` has started."""
    children = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its_parent = status.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue  # it has just ended
        if int(its_parent) == parent and state != "Z":
            children.add(int(status.parent.name))
    return children


def is_running(process: int) -> bool:
    """Whether it is there and not just waiting to be collected."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_ctrl_c_ends_a_program_that_waits_for_slow_answers_and_all_its_processes():
    pytest.importorskip("latex2sympy2_extended")
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "timed out\n"  # by now it knows that these rows are slow
    time.sleep(3)
    children = grading_processes(program.pid)
    assert len(children) >= 3  # two that grade, and one that compares
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode != 0 and "KeyboardInterrupt" in errors
    end = time.monotonic() + 30
    while time.monotonic() < end and any(map(is_running, children)):
        time.sleep(0.05)
    assert not any(map(is_running, children))
