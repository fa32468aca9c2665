"""Many runs at once: the same numbers as one by one, failures that stay their own, and a Ctrl-C that loses nothing."""

from __future__ import annotations

import dataclasses
import doctest
import io
import json
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from r1zero.config import to_dict
from r1zero.experiments import launch
from r1zero.experiments.launch import run_all, usable_cores, with_threads
from r1zero.experiments.watch import MetricsTail, RunState
from r1zero.reports import comparison
from r1zero.reports.runs import RunsProgress
from r1zero.store import read_metrics, write_config


class Listener:
    """Remembers what a launch says."""

    def __init__(self):
        self.notes, self.shown = [], []

    def show(self, states):
        self.shown.append(tuple(states))

    def note(self, message):
        self.notes.append(message)


def timeless(run_dir):
    return [
        json.dumps({name: value for name, value in row.items() if not name.startswith("speed/")})
        for row in read_metrics(run_dir)
    ]


@pytest.mark.parametrize("module", [launch, comparison])
def test_docstring_examples_hold(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 and results.failed == 0


@pytest.mark.timeout(120)
def test_runs_side_by_side_are_bit_for_bit_those_one_by_one_and_finished_ones_are_left_alone(tiny_config, tmp_path):
    listener = Listener()
    beside = [tiny_config(f"beside/seed-{s}", seed=s) for s in range(2)]
    runs = run_all(beside, parallel=2, progress=listener)
    assert [(run.finished, run.steps_done) for run in runs] == [(True, 3), (True, 3)]
    assert {state.status for state in listener.shown[-1]} == {"finished"}
    assert all(state.step == 3 for state in listener.shown[-1])

    after = run_all([tiny_config(f"after/seed-{s}", seed=s) for s in range(2)], parallel=1)
    assert [timeless(run.dir) for run in after] == [timeless(run.dir) for run in runs]
    assert timeless(runs[0].dir) != timeless(runs[1].dir)
    weights = [(run.dir / "model" / "model.safetensors").read_bytes() for run in (*after, *runs)]
    assert weights[:2] == weights[2:]

    written = [(run.dir / "model" / "model.safetensors").stat().st_mtime_ns for run in runs]
    again = run_all(beside, parallel=2)
    assert all(run.finished for run in again)
    assert [(run.dir / "model" / "model.safetensors").stat().st_mtime_ns for run in runs] == written


@pytest.mark.timeout(120)
@pytest.mark.parametrize("parallel", [1, 2])
def test_a_run_that_fails_says_why_and_the_others_go_on(tiny_config, parallel):
    listener = Listener()
    good, bad = tiny_config("good", seed=1), tiny_config("bad", model={"path": "no-such-model"})
    runs = run_all([bad, good], parallel=parallel, progress=listener)
    assert [run.finished for run in runs] == [False, True]
    (failure,) = [note for note in listener.notes if note.startswith("failed: ")]
    assert failure.startswith(f"failed: {bad.run.dir}: ") and "no-such-model" in failure
    assert [state.status for state in listener.shown[-1]] == ["failed", "finished"]


@pytest.mark.timeout(120)
def test_what_no_run_can_do_is_the_users_mistake(tiny_config):
    with pytest.raises(ValueError, match="no-such-model"):
        run_all([tiny_config(f"bad-{s}", seed=s, model={"path": "no-such-model"}) for s in range(2)], parallel=1)


def test_directories_are_checked_before_anything_runs(tiny_config, tmp_path):
    with pytest.raises(ValueError, match="named twice"):
        run_all([tiny_config("a"), tiny_config("a", seed=1)])
    with pytest.raises(ValueError, match="a directory of its own"):
        run_all([tiny_config("a", run={"dir": ""})])
    write_config(tmp_path / "b", {"config": to_dict(tiny_config("b", learner={"lr": 5.0}))})
    with pytest.raises(ValueError, match=r"already holds a different run \(learner\.lr"):
        run_all([tiny_config("a"), tiny_config("b")])
    assert not (tmp_path / "a").exists()


def test_the_cores_are_shared_and_a_run_keeps_the_threads_it_began_with(tiny_config, tmp_path):
    free = tiny_config("a", run={"threads": 0})
    assert with_threads(free, usable_cores()).run.threads == 1
    assert with_threads(free, 1).run.threads == 0  # torch's choice, as for a single run
    assert with_threads(free, 10 * usable_cores()).run.threads == 1
    assert with_threads(tiny_config("a", run={"threads": 7}), 2).run.threads == 7
    begun = dataclasses.replace(free, run=dataclasses.replace(free.run, threads=5))
    write_config(tmp_path / "a", {"config": to_dict(begun)})
    assert with_threads(free, 2) == begun


@pytest.mark.timeout(180)
def test_ctrl_c_stops_every_run_after_its_step_and_the_same_command_goes_on(tiny_config, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"config": to_dict(tiny_config("many", steps=100_000))}))
    command = [sys.executable, "-m", "r1zero", "train", str(recipe), "--seeds", "2", "--parallel", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    homes = [tmp_path / "many" / f"seed-{s}" for s in range(2)]
    logs = [home / "metrics.jsonl" for home in homes]
    until = time.monotonic() + 60
    while process.poll() is None and not all(log.exists() and log.read_bytes().count(b"\n") > 2 for log in logs):
        assert time.monotonic() < until, "the runs did not start"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "stopping: 2 runs finish their step and save" in errors and "Traceback" not in errors
    assert out.count("countdown") == 2  # the closing table
    ends = []
    for home in homes:
        ends.append(read_metrics(home)[-1]["step"])
        assert (home / "checkpoints" / f"step-{ends[-1]:06d}").is_dir()
        assert "stopped after step" in (home / "log.txt").read_text()

    goal = max(ends) + 2
    done = subprocess.run([*command, "--steps", str(goal), "--json"], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert [row["steps"] for row in json.loads(done.stdout)] == [goal, goal]
    for home in homes:
        assert [row["step"] for row in read_metrics(home)] == list(range(goal + 1))
        assert (home / "report.html").exists()


def test_a_tail_reads_only_whole_lines_and_starts_anew_when_a_run_went_back(tmp_path):
    tail = MetricsTail(tmp_path, RunState("a", 8, "running"))
    assert tail.look().step == 0
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0, "eval/x/accuracy": 0.25}\n{"step": 1, "reward/mean": 0.5}\n{"step": 2, "rew')
    assert (tail.look().step, tail.state.reward, tail.state.accuracy) == (1, 0.5, 0.25)
    with open(path, "a") as handle:
        handle.write('ard/mean": null}\n')
    assert tail.look().step == 2 and tail.state.reward != tail.state.reward  # undefined
    path.write_text('{"step": 0, "eval/x/accuracy": 0.125}\n')
    assert (tail.look().step, tail.state.accuracy) == (0, 0.125)


def test_without_a_terminal_a_launch_is_a_line_every_so_often():
    console = Console(file=io.StringIO(), width=80)
    progress = RunsProgress(console)
    with progress:
        for step in range(101):
            progress.show([RunState("seed-0", 100, "running", step, reward=0.25), RunState("seed-1", 100)])
        progress.show([RunState("seed-0", 100, "finished", 100, 0.25, 0.5), RunState("seed-1", 100)])
    lines = console.file.getvalue().splitlines()
    assert lines[0].startswith("seed-0  step 0/100  started")
    assert lines[1] == "seed-0  step 10/100  reward .25"
    assert lines[-1] == "seed-0  step 100/100  finished  reward .25  held-out .50"
    assert len(lines) == 11


def test_on_a_terminal_a_launch_is_one_line_a_run():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    progress = RunsProgress(console)
    states = [RunState("dr_grpo/seed-0", 60, "running", 12, 0.24, 0.19, 0.5), RunState("dr_grpo/seed-1", 60)]
    progress.states = tuple(states)
    console.print(progress)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert "12/60" in lines[0] and "reward .24 · held-out .19 · 1:36 left" in lines[0]
    assert "waiting" in lines[1]
