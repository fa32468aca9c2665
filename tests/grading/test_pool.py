"""Grading processes: what a hostile answer does ends with its process, and the next answer is graded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from r1zero.grading import grade
from r1zero.grading import pool as pool_module
from r1zero.grading.pool import (
    Counts,
    GradingFault,
    GradingTimeout,
    Pool,
    Reply,
    is_failure,
    is_timeout,
    warn_of_timeouts,
)

HERE = Path(__file__).parent
GIVEN_UP = 30.0  # seconds after which a test says that what it waits for does not come


@pytest.fixture
def make_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pool]]:
    """A pool that runs functions of stand_in.py; closed afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    pools = []

    def make(function: str = "compare", **settings: object) -> Pool:
        pools.append(Pool(f"stand_in:{function}", **{"seconds": 0.3, **settings}))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def is_running(pid: int) -> bool:
    """Whether the process is there and not just waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + GIVEN_UP
    while time.monotonic() < end and not condition():
        time.sleep(0.02)
    return condition()


def test_no_process_starts_before_the_first_request_and_a_spare_after_it(make_pool):
    pool = make_pool()
    assert pool.process_ids == []
    assert pool.call("0.5", "1/2") == Reply(True)
    assert len(pool.process_ids) == 2
    assert pool.call("1/3", "1/2") == Reply(False)
    assert len(pool.process_ids) == 2
    assert pool.counts == Counts(requests=2)


def test_after_two_hostile_answers_the_next_twenty_are_graded(make_pool):
    pool = make_pool()
    assert [pool.call(hostile, "1/2").fault for hostile in ("spin", "one long step")] == ["timed out"] * 2
    assert [pool.call("2/4", "1/2") for _ in range(20)] == [Reply(True)] * 20
    assert pool.counts == Counts(requests=22, timeouts=2)


def test_a_process_that_waits_rather_than_computes_is_killed_by_the_clock(make_pool):
    assert make_pool(seconds=0.05).call("sleep", "1").fault == "timed out"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("eat memory", "out of memory"),
        ("recurse", "not graded: RecursionError"),
        ("not a number", "not graded: ValueError"),
        ("exit", "not graded: the process died (exit code 3)"),
        ("crash", "not graded: the process died (SIGSEGV)"),
        ("leave", "not graded: the process died (exit code 0)"),
    ],
)
def test_whatever_happens_in_a_process_is_a_reason_and_the_next_answer_is_graded(make_pool, answer, fault):
    pool = make_pool()
    assert pool.call(answer, "1/2") == Reply(None, fault)
    assert pool.call("1/2", "1/2") == Reply(True)
    assert pool.counts == Counts(requests=2, failures=1)
    assert is_failure(fault) and not is_timeout(fault)


def test_a_comparison_cannot_write_files(make_pool, tmp_path):
    assert make_pool().call("write a file", str(tmp_path / "x")).fault == "not graded: OSError"
    assert (tmp_path / "x").read_text() == ""


def test_long_texts_with_any_character_come_back_as_they_went(make_pool):
    text = "\ud800 \x00 \r\n \u2028 é {" * 100_000
    assert make_pool("echo", seconds=5).call(text).value == text


def test_a_process_that_was_ended_from_outside_is_replaced_unnoticed(make_pool):
    pool = make_pool("process_id")
    first = pool.call().value
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: not is_running(first))
    assert pool.call().value not in (first, None)


def test_a_process_is_replaced_after_its_lifetime(make_pool, monkeypatch):
    monkeypatch.setattr(pool_module, "LIFETIME", 3)
    pool = make_pool("process_id")
    served = [pool.call().value for _ in range(9)]
    assert [served.count(process) for process in dict.fromkeys(served)] == [3, 3, 3]


def test_threads_share_a_pool_and_each_gets_its_own_answer(make_pool):
    pool, answers = make_pool("echo", size=3), {}

    def ask(name: str) -> None:
        answers[name] = [pool.call(f"{name} {i}").value for i in range(50)]

    threads = [threading.Thread(target=ask, args=(f"thread {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GIVEN_UP)
    assert answers == {f"thread {n}": [f"thread {n} {i}" for i in range(50)] for n in range(8)}
    assert len(pool.process_ids) <= 4
    assert pool.counts == Counts(requests=400)


def test_a_hostile_answer_in_one_thread_does_not_hold_up_another(make_pool):
    pool, order = make_pool(size=2, seconds=1), []
    pool.call("1", "1")
    hostile = threading.Thread(target=lambda: order.append(pool.call("spin", "1").fault))
    hostile.start()
    assert wait_until(lambda: len(pool._idle) == 1)  # the other process is at work on it
    order.append(pool.call("1", "1").value)
    hostile.join(GIVEN_UP)
    assert order == [True, "timed out"]


def test_a_forked_child_starts_its_own_processes_and_leaves_its_parents_alone(make_pool):
    pool = make_pool("process_id")
    parents = pool.call().value
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "w") as pipe:
            pipe.write(str(pool.call().value))
        pool.close()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        childs = int(pipe.read())
    os.waitpid(child, 0)
    assert childs not in (parents, os.getpid())
    assert pool.call().value == parents
    assert wait_until(lambda: not is_running(childs))


SCRIPT = """
import sys, time
from r1zero.grading.pool import Pool
pool = Pool("stand_in:compare", seconds=600)
pool.call("1", "1")
print(*pool.process_ids, flush=True)
if sys.argv[1] == "busy":
    pool.call("spin", "1")
elif sys.argv[1] == "idle":
    time.sleep(600)
"""


@pytest.mark.parametrize("parent", ["busy", "idle", "exits"])
def test_no_process_outlives_its_parent_however_that_one_ends(monkeypatch, parent):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    command = subprocess.Popen([sys.executable, "-c", SCRIPT, parent], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    processes = [int(pid) for pid in command.stdout.readline().split()]
    assert len(processes) == 2
    if parent != "exits":
        time.sleep(0.2)  # time for the busy one to begin
        command.kill()
    command.wait()
    command.stdout.close()
    assert wait_until(lambda: not any(is_running(process) for process in processes))


def test_a_closed_pool_starts_nothing_and_lets_go_of_who_waits(make_pool):
    pool, replies = make_pool(seconds=100), []
    pool.call("1", "1")
    waiting = threading.Thread(target=lambda: replies.append(pool.call("spin", "1").fault))
    waiting.start()
    assert wait_until(lambda: len(pool._idle) == 1)
    pool.close()
    waiting.join(GIVEN_UP)
    assert replies == ["not graded: the process died (SIGKILL)"]
    assert pool.call("1", "1").fault == "not graded: no grading process (the pool is closed)"
    assert pool.process_ids == []


def test_an_answer_whose_process_was_killed_from_outside_is_compared_once_more(make_pool):
    pool, replies = make_pool("slowly"), []
    pool.call("1", "1")
    waiting = threading.Thread(target=lambda: replies.append(pool.call("2/4", "1/2")))
    waiting.start()
    assert wait_until(lambda: len(pool._idle) == 1)  # the other one is busy, and the spare takes over
    [busy] = [process for process in pool._all if process not in pool._idle]
    busy.process.kill()
    waiting.join(GIVEN_UP)
    assert replies == [Reply(True)] and busy.process.pid not in pool.process_ids
    assert pool.counts == Counts(requests=2)


def test_more_than_one_answer_in_a_hundred_that_runs_out_of_time_is_warned_of(caplog):
    warn_of_timeouts(["timed out"] + [""] * 99, "step 3")
    assert caplog.text == ""
    warn_of_timeouts(["timed out"] * 2 + [""] * 98, "step 3")
    assert "step 3: 2 of 100 answers ran out of time" in caplog.text


def test_an_environment_without_what_a_process_needs_is_a_reason_not_a_crash(make_pool, caplog):
    reply = make_pool("no_such_function").call("1", "1")
    assert reply.fault.startswith("not graded: no grading process (AttributeError")
    assert "no grading process" in caplog.text


def test_a_symbolic_comparison_raises_what_it_could_not_find_out(make_pool, monkeypatch):
    pool = make_pool()
    monkeypatch.setattr(pool_module, "shared_pool", lambda: pool)
    assert pool_module.symbolic_equal("1/2", "0.5") is True
    assert pool_module.symbolic_equal("1/3", "0.5") is False
    with pytest.raises(GradingTimeout):
        pool_module.symbolic_equal("spin", "1")
    with pytest.raises(GradingFault, match="out of memory"):
        pool_module.symbolic_equal("eat memory", "1")


def test_after_two_responses_that_run_out_of_time_the_next_twenty_get_their_grade():
    pytest.importorskip("latex2sympy2_extended")
    gold = "\\prod_{k=1}^{3} (x+k)"
    for n in (10**5, 10**6):
        late = grade(f"\\boxed{{\\prod_{{k=1}}^{{{n}}} (x+k)}}", gold, "boxed")
        assert (late.correct, late.formatted, late.reason) == (False, True, "timed out")
    for n in range(1, 21):
        assert grade(f"\\boxed{{\\sum_{{k=1}}^{{3}} k x^{{{n}}}}}", f"6x^{{{n}}} + \\int_0^0 t dt", "boxed").correct
