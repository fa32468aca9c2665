"""`r1zero train --ranks N` and torchrun, as processes: what one rank does, killed ranks, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from r1zero.cli.main import main
from r1zero.models.load import load_policy
from r1zero.store import read_metrics, read_rollouts
from r1zero.training.checkpoint import checkpoint_steps

RECIPE = """
seed = 3
steps = 4
problems_per_step = 3
responses_per_problem = 6
[run]
threads = 1
[model]
path = "{base}"
[sampling]
max_tokens = 24
[reward]
unformatted = 1.0
truncated = 0.0
[objective]
name = "grpo"
kl_coef = 0.01
[engine]
name = "fast"
[learner]
lr = 1e-3
dtype = "float32"
updates_per_rollout = 2
tokens_per_microbatch = 128
[replay]
share = 0.25
[evaluation]
num_problems = 3
max_tokens = 24
every = 2
[checkpoint]
every = 1
keep = 10
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, model_dir):
    path = tmp_path_factory.mktemp("recipes") / "small.toml"
    path.write_text(RECIPE.format(base=model_dir))
    return path


def command(recipe, run_dir, *words, torchrun=0):
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"] if torchrun else []
    return [sys.executable, *start, "-m", "r1zero", "train", str(recipe), "--run.dir", str(run_dir), *words]


def start(*arguments, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*arguments, **options), text=True, **pipes)


def finished(*arguments, **options):
    process = start(*arguments, **options)
    output, errors = process.communicate(timeout=800)
    assert process.returncode == 0, errors
    return output


def timeless(run_dir):
    return [{k: v for k, v in row.items() if not k.startswith("speed/")} for row in read_metrics(run_dir)]


def assert_same(run_dir, other, rel=1e-4):
    rows, others = timeless(run_dir), timeless(other)
    assert len(rows) == len(others)
    for row, like in zip(rows, others, strict=True):
        assert row.keys() == like.keys()
        for name, value in row.items():
            expected = (
                value
                if value is None or isinstance(value, str)
                else pytest.approx(value, rel=rel, abs=1e-6, nan_ok=True)
            )
            assert like[name] == expected, f"step {row['step']}: {name}"
    for split in ("train", "eval"):
        tables = [
            read_rollouts(path, split=split).select("step", "problem_id", "sample", "token_ids", "reward").collect()
            for path in (run_dir, other)
        ]
        assert tables[0].equals(tables[1])


def ranks_of(process):
    """Process ids of the ranks, by rank."""
    found = {}
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/environ", "rb") as handle:
                environment = dict(part.split(b"=", 1) for part in handle.read().split(b"\0") if b"=" in part)
        except (OSError, ValueError):
            continue
        if environment.get(b"R1ZERO_STARTER") == str(process.pid).encode() and b"RANK" in environment:
            found[int(environment[b"RANK"])] = int(name)
    return found


def wait_for_lines(process, run_dir, lines):
    path = run_dir / "metrics.jsonl"
    until = time.monotonic() + 800
    while process.poll() is None and time.monotonic() < until:
        if path.exists() and path.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {lines} lines: {process.communicate()[1]}")


@pytest.fixture(scope="module")
def alone(tmp_path_factory, recipe):
    run_dir = tmp_path_factory.mktemp("runs") / "alone"
    finished(recipe, run_dir)
    return run_dir


@pytest.mark.timeout(900)
def test_two_ranks_end_in_the_metrics_of_one_and_in_one_directory_that_transformers_opens(tmp_path, recipe, alone):
    output = finished(recipe, tmp_path / "two", "--ranks", "2", "--json")
    assert [row["steps"] for row in json.loads(output[output.index("[") :])] == [4]
    assert_same(alone, tmp_path / "two")
    written = read_rollouts(tmp_path / "two").collect()
    assert written.group_by("step", "problem_id").len().get_column("len").to_list() == [6] * 12
    ours, theirs = (load_policy(str(run / "model"), "cpu").model for run in (tmp_path / "two", alone))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (one - other).abs().max() < 1e-4
    log = (tmp_path / "two" / "log.txt").read_text()
    assert log.count("held-out accuracy") == 3  # the first rank alone speaks


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rank_that_is_killed_ends_all_and_other_numbers_of_ranks_go_on_to_the_same_end(tmp_path, recipe, alone):
    run_dir = tmp_path / "killed"
    process = start(recipe, run_dir, "--ranks", "2")
    wait_for_lines(process, run_dir, 2)
    ranks = ranks_of(process)
    os.kill(ranks[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=800)
    assert process.returncode == 1
    [line] = [line for line in errors.splitlines() if "error" in line]
    assert line == (
        f"r1zero: error: rank 1: killed by SIGKILL; the other ranks were ended; the same command continues {run_dir} "
        "from its last checkpoint"
    )
    assert not any(os.path.exists(f"/proc/{pid}") for pid in ranks.values())
    last = checkpoint_steps(run_dir)[-1]
    assert last < 3
    process = start(recipe, run_dir, "--ranks", "3")
    wait_for_lines(process, run_dir, last + 3)  # more than were there when it was killed
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=800)
    assert process.returncode == 1
    assert last < checkpoint_steps(run_dir)[-1] <= 4
    finished(recipe, run_dir)
    assert_same(alone, run_dir, rel=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_torchrun_starts_the_same_run_also_with_whole_weights_on_every_rank(tmp_path, recipe, alone):
    finished(recipe, tmp_path / "two", "--sharding.weights", "none", torchrun=2)
    assert_same(alone, tmp_path / "two")
    assert not list((tmp_path / "two").rglob("optimizer"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_adapters_learn_over_two_ranks_as_on_one_which_goes_on_from_their_checkpoint(tmp_path, recipe):
    words = ["--lora.rank", "4", "--learner.lr", "1e-2"]
    finished(recipe, tmp_path / "alone", *words)
    finished(recipe, tmp_path / "two", *words, "--ranks", "2")
    assert_same(tmp_path / "alone", tmp_path / "two")
    finished(recipe, tmp_path / "moved", *words, "--ranks", "2", "--steps", "2")
    finished(recipe, tmp_path / "moved", *words)
    assert_same(tmp_path / "alone", tmp_path / "moved")
    models = [load_policy(str(tmp_path / run / "model"), "cpu").model for run in ("alone", "two", "moved")]
    adapted = load_policy(str(tmp_path / "two" / "adapter"), "cpu").model
    for one, *others in zip(*(model.parameters() for model in (*models, adapted)), strict=True):
        assert all((one - other).abs().max() < 1e-4 for other in others)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ranks", "4"], "problems_per_step=3 is less than 4 ranks: each takes whole problems, so start fewer ranks"),
        (["--ranks", "0"], "--ranks 0: give a whole number, at least 1"),
        (["--ranks", "2", "--seeds", "2"], "--seeds with several ranks: they train one run; give one --seed at a time"),
        (["--ranks", "2", "--objective.shadow", "dapo"], "objective.shadow needs whole gradients on every rank"),
        (
            ["--ranks", "2", "--lora.rank", "4", "--objective.reference_every", "1"],
            "objective.reference_every=1 with lora.rank=4 needs whole weights on every rank",
        ),
        (
            ["--ranks", "2", "--engine.name", "vllm", "--engine.tensor_parallel", "2"],
            "engine.tensor_parallel=2 with 2 ranks: each rank has an engine of its own",
        ),
    ],
)
def test_what_ranks_cannot_share_is_refused_before_they_start(tmp_path, capsys, recipe, words, message):
    assert main(["train", str(recipe), "--run.dir", str(tmp_path / "run"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_only_a_rank_finds_out_comes_back_as_one_line(tmp_path, recipe):
    base = tmp_path / "nothing"
    base.mkdir()
    process = start(recipe, tmp_path / "run", "--ranks", "2", "--model.path", str(base))
    _, errors = process.communicate(timeout=800)
    assert process.returncode == 2
    assert [line for line in errors.splitlines() if "error" in line] == [
        f"r1zero: error: model {str(base)!r} has no config.json: give the directory that save_pretrained wrote"
    ]
