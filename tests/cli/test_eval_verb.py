"""`r1zero eval` on a random model of a few thousand weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from r1zero.cli.evaluate import config_for
from r1zero.store import read_rollouts

SMALL = ["--num_problems", 5, "--samples", 4, "--sampling.max_tokens", 8]


def test_eval_measures_a_model_and_continues_where_its_rollouts_lie(r1zero, model_dir):
    words = ["eval", model_dir, *SMALL, "--engine.max_concurrent", 2, "--out", "kept", "--json"]
    done = r1zero(*words)
    assert done.code == 0, done.err
    (row,) = done.json["benchmarks"]
    assert (row["suite"], row["problems"]) == ("countdown", 5)
    assert {"avg@4", "pass@2", "pass@4", "maj@4", "tokens_correct", "ended"} <= set(row)
    assert row["avg@4"]["low"] <= row["avg@4"]["estimate"] <= row["avg@4"]["high"]
    assert row["tokens_correct"]["estimate"] is None or row["correct"]["estimate"] > 0

    parts = sorted(Path("kept/eval").glob("*.parquet"))
    whole = read_rollouts("kept", split="eval").collect()
    assert whole.height == 20 and len(parts) > 1
    parts[1].unlink()
    again = r1zero(*words)
    assert again.code == 0 and again.out == done.out
    assert f"{len(parts) - 1} chunks were answered before" in again.err
    assert read_rollouts("kept", split="eval").collect().equals(whole)

    other = r1zero(*words[:-1], "--seed", 4)
    assert other.code == 2
    assert "kept holds another evaluation (seed was 0, is 4)" in other.err
    Path("filled").mkdir()
    Path("filled/something").write_text("")
    assert "filled is not empty" in r1zero("eval", model_dir, *SMALL, "--out", "filled").err


def test_an_evaluation_is_not_continued_with_other_weights_at_the_same_path(r1zero, model_dir):
    shutil.copytree(model_dir, "moving")
    words = ["eval", "moving", *SMALL, "--out", "kept"]
    assert r1zero(*words).code == 0
    assert r1zero(*words).code == 0
    weights = load_file("moving/model.safetensors")
    save_file({name: weight + 0.01 for name, weight in weights.items()}, "moving/model.safetensors", {"format": "pt"})
    changed = r1zero(*words)
    assert changed.code == 2
    assert "the model at this path has other weights now" in changed.err


def test_a_users_files_are_suites_and_their_mean_is_taken(r1zero, model_dir):
    for name, target in (("easy", 3), ("hard", 4)):
        Path(f"{name}.jsonl").write_text(json.dumps({"nums": [1, target - 1], "target": target}) + "\n")
    done = r1zero("eval", model_dir, "--suite", "easy.jsonl,hard.jsonl", "--sampling.max_tokens", 8)
    assert done.code == 0, done.err
    assert "easy" in done.out and "hard" in done.out and "mean of all" in done.out
    twice = r1zero("eval", model_dir, "--suite", "easy.jsonl,./easy.jsonl")
    assert twice.code == 2 and "two suites are called 'easy'" in twice.err


def test_chance_and_contamination_are_shown_on_request(r1zero, model_dir):
    row = {"nums": [8, 3, 5], "target": 16}
    Path("some.jsonl").write_text("".join(json.dumps(row | {"target": n}) + "\n" for n in (0, 6, 10, 16)))
    words = ["eval", model_dir, "--suite", "some.jsonl", "--samples", 2, "--sampling.max_tokens", 4]
    words += ["--subset-check", "--contamination"]
    shown = r1zero(*words)
    assert shown.code == 0, shown.err
    assert "questions" in shown.out and "≥ 16.7 %" in shown.out and "completed exactly" in shown.out
    done = r1zero(*words, "--json")
    assert done.code == 0, done.err
    assert [luck["drawn"] for luck in done.json["luck"]] == ["questions", "responses"]
    (probe,) = done.json["contamination"]
    assert probe["questions"] + probe["left_out"] == 4


def test_mathematics_is_asked_as_papers_do_unless_told_otherwise():
    paper = config_for("Qwen/Qwen2.5-Math-1.5B", {}, mathematical=True)
    assert (paper.template.name, paper.sampling.temperature, paper.sampling.max_tokens) == ("qwen_math", 0.0, 3000)
    own = config_for("m", {"samples": "16", "template.name": "none"}, mathematical=True)
    assert (own.template.name, own.sampling.temperature) == ("none", 1.0)
    baseline = config_for("m", {"sampling.max_tokens": "9"}, baseline="base-r1", mathematical=True)
    assert (baseline.template.name, baseline.answer_format, baseline.sampling.max_tokens) == ("r1", "r1", 9)
    with pytest.raises(ValueError, match="samples=4 with sampling"):
        config_for("m", {"samples": "4", "sampling.temperature": "0"})


def test_a_run_of_countdown_answers_mathematics_by_the_papers_budget(fake_run):
    run_dir = fake_run("a", {"seed": 9, "evaluation": {"samples": 2, "max_tokens": 77}, "template": {"name": "r1"}})
    (run_dir / "model").mkdir()
    (run_dir / "model" / "config.json").write_text("{}")
    config = config_for(str(run_dir), {}, mathematical=True)
    assert (config.seed, config.samples, config.num_problems) == (9, 1, 0)
    assert (config.template.name, config.sampling.max_tokens) == ("r1", 3000)


def test_what_cannot_be_asked_is_said_before_the_model_is_loaded(r1zero, monkeypatch):
    monkeypatch.delenv("R1ZERO_DATA", raising=False)
    pl.DataFrame({"text": ["a"], "reply": ["b"]}).write_parquet("odd.parquet")
    for words, message in (
        (["--suite", "math500", "--data", "gone"], "no data directory gone"),
        (["--suite", "odd.parquet"], "odd.parquet has no column with the question: it has text, reply"),
        (["--answer_format", "box"], "did you mean boxed"),
        (["--baseline", "oat"], "did you mean oat-zero"),
        (["--num_problems", "-1"], "num_problems=-1"),
    ):
        done = r1zero("eval", "nowhere", *words)
        assert done.code == 2
        assert message in done.err


@pytest.mark.slow
def test_a_killed_evaluation_ends_as_if_nothing_had_happened(tmp_path, model_dir):
    words = [sys.executable, "-m", "r1zero", "eval", str(model_dir), "--num_problems", "32", "--samples", "4"]
    words += ["--engine.max_concurrent", "4", "--sampling.max_tokens", "60", "--threads", "1", "--json", "--out"]
    settings = {"cwd": tmp_path, "env": os.environ | {"OMP_NUM_THREADS": "1"}, "stderr": subprocess.DEVNULL}
    whole = subprocess.run([*words, "whole"], stdout=subprocess.PIPE, text=True, check=True, **settings)
    parts = len(list((tmp_path / "whole/eval").glob("*.parquet")))

    killed = subprocess.Popen([*words, "killed"], stdout=subprocess.DEVNULL, **settings)
    while killed.poll() is None and len(list((tmp_path / "killed/eval").glob("*.parquet"))) < 2:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = {file.name: file.read_bytes() for file in (tmp_path / "killed/eval").glob("*.parquet")}
    assert 2 <= len(kept) < parts

    continued = subprocess.run([*words, "killed"], stdout=subprocess.PIPE, text=True, check=True, **settings)
    assert continued.stdout == whole.stdout
    assert all((tmp_path / "killed/eval" / name).read_bytes() == content for name, content in kept.items())
    frames = [read_rollouts(tmp_path / name, split="eval").collect().drop("run") for name in ("whole", "killed")]
    assert frames[0].equals(frames[1])
