"""From SAT to CV-Bench on a random model: trained for two steps on one, evaluated on the other through the verb."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sat_files import write_cvbench, write_sat
from vision_models import fresh

from r1zero.cli.main import main
from r1zero.config import SFTConfig, TrainConfig, build
from r1zero.grading.golds import right_answer
from r1zero.models.load import save_policy
from r1zero.store import read_metrics, read_rollouts
from r1zero.tasks import build_task
from r1zero.training import train
from r1zero.training.sft import answers, sft


def test_two_steps_on_sat_then_cvbench_by_sub_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_policy(fresh("qwen2_vl"), tmp_path / "model")
    write_sat(tmp_path / "sat.parquet")
    (tmp_path / "data").mkdir()
    write_cvbench(tmp_path / "data" / "cvbench.parquet")
    kept = tmp_path / "kept"
    settings = {
        "steps": 2,
        "problems_per_step": 3,
        "responses_per_problem": 2,
        "model": {"path": str(tmp_path / "model")},
        "task": {"name": "sat", "path": str(tmp_path / "sat.parquet"), "kept_images": str(kept)},
        "template": {"name": "visualthinker"},
        "sampling": {"max_tokens": 6},
        "reward": {"form": 1.0, "per_token": 0.1},
        "learner": {"lr": 1e-2, "device": "cpu", "dtype": "float32"},
        "evaluation": {"num_problems": 1, "max_tokens": 6},
        "run": {"dir": str(tmp_path / "run"), "threads": 1},
    }
    run = train(build(TrainConfig, settings))
    assert run.finished
    stored = read_rollouts(run.dir).collect()
    assert set(stored["images"].list.len()) <= {1, 2} and stored["images"].list.first().str.starts_with("sha256:").all()
    assert stored["reward"].to_list() == pytest.approx([0.1 * n for n in stored["num_tokens"]])  # no answer, no form
    metrics = read_metrics(run.dir)[1:]
    assert all(row["policy/sampler_gap_max"] < 1e-5 for row in metrics)
    assert all(row["reward/part/tokens"] == pytest.approx(row["reward/mean"]) for row in metrics)

    arguments = ["eval", str(run.dir / "model"), "--baseline", "visualthinker", "--data", str(tmp_path / "data")]
    capsys.readouterr()
    arguments += ["--sampling.max_tokens", "6", "--task.kept_images", str(kept), "--threads", "1", "--device", "cpu"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["subtasks"]["cvbench"]}
    assert list(rows) == ["Count", "Relation", "Depth", "Distance", "total", "official"]
    assert [row["problems"] for row in rows.values()] == [2, 2, 1, 1, 6, 6]
    assert rows["total"]["accuracy"]["estimate"] == found["benchmarks"][0]["avg@1"]["estimate"]
    assert rows["official"]["chance"] == 0.5 and found["template"] == "visualthinker"
    own = ["--suite", str(tmp_path / "data" / "cvbench.parquet"), "--template.name", "visualthinker_direct"]
    assert main(["eval", str(run.dir / "model"), *own, *arguments[6:], "--json"]) == 0
    assert (
        json.loads(capsys.readouterr().out)["benchmarks"][0]["problems"] == 6
    )  # a file with pictures is known as such
    assert main(arguments) == 0
    page = capsys.readouterr().out
    assert "cvbench, by sub-task" in page and "official" in page


def test_the_supervised_arm_learns_the_answers_to_the_same_questions(tmp_path: Path) -> None:
    policy = replace(fresh("qwen2_vl"), pictures=tmp_path / "kept")
    save_policy(policy, tmp_path / "model")
    write_sat(tmp_path / "sat.parquet")
    settings = {
        "out": str(tmp_path / "out"),
        "source": "task",
        "num_problems": 6,
        "answer_form": "<answer> {answer} </answer>",
        "tokens_per_step": 400,
        "model": {"path": str(tmp_path / "model")},
        "task": {"name": "sat", "path": str(tmp_path / "sat.parquet"), "kept_images": str(tmp_path / "kept")},
        "template": {"name": "qwen2_vl"},
        "learner": {"lr": 1e-2, "device": "cpu", "dtype": "float32"},
    }
    config = build(SFTConfig, settings)
    groups, left_out = answers(config, policy)
    asked = build_task(config.task, 0).problems("train", 0, 6)
    assert left_out == 0 and [group.images for group in groups] == [problem.images for problem in asked]
    for group, problem in zip(groups, asked, strict=True):
        right = policy.tokenizer.encode(f"<answer> {right_answer(problem)} </answer>", add_special_tokens=False)
        assert group.responses == ((*right, policy.end_id),)
    whole, _ = answers(replace(config, num_problems=0), policy)
    assert len(whole) == len(build_task(config.task, 0).rows["train"]) > 60
    fitted = sft(replace(config, epochs=4))
    assert fitted.losses[-1] < fitted.losses[0]
    with pytest.raises(ValueError, match="task visual has no end"):
        answers(replace(config, num_problems=0, task=replace(config.task, name="visual")), policy)
    with pytest.raises(ValueError, match="golds of task 'countdown' hold no answer"):
        answers(build(SFTConfig, settings | {"task": {}, "template": {"name": "native"}}), policy)
