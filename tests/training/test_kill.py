"""A real process, killed with SIGKILL at random moments, ends where an undisturbed one does, bit for bit."""

import json
import random
import subprocess
import sys
import time

import polars as pl
import pytest

from r1zero.models.load import save_policy
from r1zero.store import read_metrics, read_rollouts

RECIPE = """
seed = 3
steps = 24
problems_per_step = 4
responses_per_problem = 4
[run]
threads = 1
[model]
path = "{base}"
[sampling]
max_tokens = 32
[reward]
unformatted = 1.0
truncated = 0.0
[learner]
lr = 1e-2
updates_per_rollout = 2
[evaluation]
num_problems = 8
max_tokens = 32
every = 4
[checkpoint]
every = 3
"""


def start(recipe, run_dir):
    command = [sys.executable, "-m", "r1zero", "train", str(recipe), "--run.dir", str(run_dir)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def lines_of(run_dir):
    path = run_dir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def timeless(run_dir):
    return [
        json.dumps({name: value for name, value in row.items() if not name.startswith("speed/")})
        for row in read_metrics(run_dir)
    ]


def weights(run_dir):
    return (run_dir / "model" / "model.safetensors").read_bytes()


@pytest.mark.timeout(900)
def test_a_run_killed_at_random_moments_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, policy):
    save_policy(policy, tmp_path / "base")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(base=tmp_path / "base"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(recipe, whole)

    rng = random.Random(time.time_ns())
    kills = []
    for _ in range(3):
        process = start(recipe, killed)
        goal = lines_of(killed) + rng.randint(1, 5)
        while process.poll() is None and lines_of(killed) < goal:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.15)
        process.kill()
        process.communicate()
        kills.append(lines_of(killed))
    assert process.returncode == -9, f"the run was over before the last kill, at {kills} lines"
    finish(start(recipe, killed))
    finish(undisturbed)

    assert timeless(killed) == timeless(whole), f"killed at {kills} lines"
    assert weights(killed) == weights(whole)
    columns = pl.exclude("run")
    for split in ("train", "eval"):
        tables = [read_rollouts(run, split=split).select(columns).collect() for run in (killed, whole)]
        assert tables[0].equals(tables[1])
    assert not list(killed.glob("**/*.part*"))


@pytest.mark.timeout(300)
def test_ctrl_c_saves_and_says_how_to_continue(tmp_path, policy):
    save_policy(policy, tmp_path / "base")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(base=tmp_path / "base").replace("steps = 24", "steps = 400"))
    process = start(recipe, tmp_path / "run")
    while process.poll() is None and lines_of(tmp_path / "run") < 2:
        time.sleep(0.05)
    process.send_signal(2)
    process.communicate(timeout=120)
    assert process.returncode == 1
    done = read_metrics(tmp_path / "run")[-1]["step"]
    saved = max(int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").glob("step-*"))
    assert saved == done < 400
    assert "the same command continues" in (tmp_path / "run" / "log.txt").read_text()
