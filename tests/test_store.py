"""The store: exact round trips, nothing half-written, and errors that name the file."""

from __future__ import annotations

import json
import math
import resource
import signal
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.store import (
    SCHEMA,
    append_metrics,
    part_path,
    part_steps,
    read_config,
    read_metrics,
    read_rollouts,
    truncate_after,
    write_config,
    write_rollouts,
)

CONTRACT = (
    "run step checkpoint task problem_id sample template temperature top_p seed problem gold prompt response token_ids "
    "logprobs num_tokens finish_reason correct formatted extracted reason reward advantage level images "
    "weights_version"
)


def a_rollout(step: int = 1, sample: int = 0, **grade: object) -> Rollout:
    problem = Problem(id="p0", task="countdown", text="Make 11 of 3, 8.", gold='{"nums": [3, 8], "target": 11}')
    prompt = Prompt(problem, "native", "Numbers: 3 8\nTarget: 11\n", (7, 1, 4))
    response = Response("3+8=11 ✓", (9, 4, 2), (-0.5, -0.25, -2.0), "stop")
    facts = replace(Grade(correct=True, formatted=True, extracted="3+8", reason=""), **grade)  # type: ignore[arg-type]
    return Rollout(step, sample, prompt, response, facts, reward=1.0, advantage=0.5)


def store(run_dir: Path, split: str, step: int, count: int = 2) -> None:
    rollouts = [a_rollout(step, sample) for sample in range(count)]
    write_rollouts(part_path(run_dir, split, step), rollouts, run=run_dir.name, temperature=1.0, top_p=1.0, seed=3)


def test_a_stored_rollout_comes_back_as_it_was_under_the_columns_of_the_contract(tmp_path):
    write_rollouts(
        tmp_path / "a.parquet", [a_rollout()], run="r", checkpoint="step-000001", temperature=1, top_p=0.9, seed=3
    )
    table = read_rollouts(tmp_path / "a.parquet").collect()
    assert table.columns == CONTRACT.split()
    assert table.schema == SCHEMA
    row = table.row(0, named=True)
    assert row["response"] == "3+8=11 ✓" and row["token_ids"] == [9, 4, 2] and row["logprobs"] == [-0.5, -0.25, -2.0]
    assert row["num_tokens"] == 3 and row["correct"] is True and row["finish_reason"] == "stop"
    assert (row["temperature"], row["top_p"], row["seed"], row["checkpoint"]) == (1.0, 0.9, 3, "step-000001")
    assert json.loads(row["gold"])["target"] == 11


def test_unknown_facts_are_null_and_an_empty_part_keeps_its_columns(tmp_path):
    write_rollouts(tmp_path / "a.parquet", [replace(a_rollout(extracted=None), advantage=None)], run="r")
    row = read_rollouts(tmp_path / "a.parquet").collect().row(0, named=True)
    assert row["advantage"] is None and row["extracted"] is None and row["checkpoint"] is None
    write_rollouts(tmp_path / "b.parquet", [], run="r")
    assert read_rollouts(tmp_path / "b.parquet").collect().schema == SCHEMA


def test_rollouts_are_read_from_a_run_directory_by_split_and_step_from_globs_and_from_several_places(tmp_path):
    run = tmp_path / "run"
    for step in (1, 2):
        store(run, "train", step)
    store(run, "eval", 0, count=5)
    assert read_rollouts(run).collect().height == 4
    assert read_rollouts(run, step=2).collect()["step"].to_list() == [2, 2]
    assert read_rollouts(str(run), split="eval").collect().height == 5
    assert read_rollouts(f"{tmp_path}/*/rollouts/*.parquet").collect().height == 4
    assert read_rollouts([run, run / "eval" / "step-000000.parquet"]).collect().height == 9
    assert read_rollouts(run / "eval").collect().height == 5


def test_files_of_other_columns_types_or_forms_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"no rollouts at .*nothing\.parquet"):
        read_rollouts(tmp_path / "nothing.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then the disk died")
    with pytest.raises(ValueError, match=r"torn\.parquet is not a readable parquet file"):
        read_rollouts(tmp_path / "torn.parquet")
    pl.DataFrame({"prompt": ["a"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet lacks the columns run, step"):
        read_rollouts(tmp_path / "other.parquet")
    store(tmp_path / "run", "train", 1)
    part = part_path(tmp_path / "run", "train", 1)
    pl.read_parquet(part).with_columns(pl.col("reward").cast(pl.String)).write_parquet(tmp_path / "typed.parquet")
    with pytest.raises(ValueError, match=r"typed\.parquet has column reward as String"):
        read_rollouts(tmp_path / "typed.parquet")
    with pytest.raises(ValueError, match=r"no rollouts in .*eval"):
        read_rollouts(tmp_path / "run", split="eval")


def test_columns_beyond_the_contract_are_left_out(tmp_path):
    store(tmp_path, "train", 1)
    wider = read_rollouts(tmp_path).collect().with_columns(judge=pl.lit("yes"))
    wider.write_parquet(tmp_path / "wider.parquet")
    assert read_rollouts([tmp_path / "wider.parquet", tmp_path]).collect().columns == CONTRACT.split()


@pytest.mark.parametrize("column", ["level", "weights_version"])
def test_a_part_written_before_a_column_was_stored_is_read_with_nulls(tmp_path, column):
    store(tmp_path, "train", 1)
    store(tmp_path, "train", 2)
    read_rollouts(tmp_path, step=1).collect().drop(column).write_parquet(part_path(tmp_path, "train", 1))
    table = read_rollouts(tmp_path).collect()
    assert table.schema == SCHEMA and table[column].to_list() == [None] * 4


def test_the_version_of_the_weights_that_sampled_a_response_is_stored(tmp_path):
    one = a_rollout()
    one = replace(one, response=replace(one.response, weights_version=7))
    write_rollouts(tmp_path / "a.parquet", [one, a_rollout()], run="r")
    assert read_rollouts(tmp_path / "a.parquet").collect()["weights_version"].to_list() == [7, None]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_write_that_meets_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path, earlier):
    path = part_path(tmp_path, "train", 1)
    if earlier:
        store(tmp_path, "train", 1, count=1)
    before = sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
    with file_size_limit(1000), pytest.raises(OSError):
        write_rollouts(path, [a_rollout(1, i) for i in range(8)], run="r")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == before
    if earlier:
        assert read_rollouts(path).collect().height == 1


def test_a_metrics_line_that_meets_a_full_disk_leaves_the_earlier_lines_whole(tmp_path):
    append_metrics(tmp_path, {"step": 1, "reward/mean": 0.5})
    with file_size_limit(100), pytest.raises(OSError):
        append_metrics(tmp_path, {"step": 2, "note": "x" * 200})
    append_metrics(tmp_path, {"step": 2, "reward/mean": 0.75})
    assert [row["reward/mean"] for row in read_metrics(tmp_path)] == [0.5, 0.75]


class file_size_limit:  # noqa: N801 - a context manager named as one
    """No file of this process may grow beyond `size` bytes: writes raise OSError, as on a full disk."""

    def __init__(self, size: int):
        self.size = size

    def __enter__(self):
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.limits[1]))

    def __exit__(self, *error):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
        signal.signal(signal.SIGXFSZ, self.handler)


def test_undefined_numbers_are_null_in_the_file_and_nan_when_read(tmp_path):
    append_metrics(tmp_path, {"step": 1, "outcome/truncated/tokens_mean": math.nan, "grad/norm": math.inf, "a/b": 0.1})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line) == {"step": 1, "outcome/truncated/tokens_mean": None, "grad/norm": None, "a/b": 0.1}
    row = read_metrics(tmp_path)[0]
    assert math.isnan(row["grad/norm"]) and row["a/b"] == 0.1 and row["step"] == 1


def test_a_half_written_last_line_is_forgotten_and_damage_elsewhere_is_named(tmp_path):
    append_metrics(tmp_path, {"step": 1})
    with open(tmp_path / "metrics.jsonl", "a") as handle:
        handle.write('{"step": 2, "reward/me')
    assert [row["step"] for row in read_metrics(tmp_path)] == [1]
    truncate_after(tmp_path, 1)
    append_metrics(tmp_path, {"step": 2})
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2]
    with open(tmp_path / "metrics.jsonl", "a") as handle:
        handle.write("not json\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 3"):
        read_metrics(tmp_path)
    with pytest.raises(ValueError, match=r"no metrics\.jsonl"):
        read_metrics(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="integer `step`"):
        append_metrics(tmp_path, {"reward/mean": 1.0})


def test_resuming_forgets_every_trace_of_later_steps_and_nothing_else(tmp_path):
    write_config(tmp_path, {"config": {"seed": 3}})
    for step in range(5):
        append_metrics(tmp_path, {"step": step, "reward/mean": step / 10})
        store(tmp_path, "train", step)
        if step % 2 == 0:
            store(tmp_path, "eval", step)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "rollouts" / ".step-000005.parquet.77.part").write_bytes(b"PAR1")
    truncate_after(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == lines[:3]
    assert part_steps(tmp_path, "train") == [0, 1, 2] and part_steps(tmp_path, "eval") == [0, 2]
    assert [p.name for p in tmp_path.rglob("*.part")] == []
    assert read_config(tmp_path)["config"] == {"seed": 3}
    truncate_after(tmp_path, 2)
    assert part_steps(tmp_path, "train") == [0, 1, 2]
    truncate_after(tmp_path / "a-run-that-never-started", 0)


def test_a_missing_or_damaged_config_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not readable JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no `config` section"):
        read_config(tmp_path)
