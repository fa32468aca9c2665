"""What is measured of runs on pictures: a short run of tiny-visual, and runs that were made up."""

from __future__ import annotations

import json
import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("PIL")

from r1zero.analysis.redundancy import set_bar
from r1zero.config import TrainConfig, build, to_dict
from r1zero.experiments.recorded import RecordedRun, load_run
from r1zero.experiments.studies import visual_curves, visual_thinking
from r1zero.experiments.studies.visual_curves import CURVES, RepetitionAlarm, over_training
from r1zero.experiments.studies.visual_measures import measure_run, subtask_accuracies
from r1zero.experiments.studies.visual_thinking import TRIVIALITY, think_triviality
from r1zero.statistics.intervals import Interval
from r1zero.store import SCHEMA, append_metrics, part_path, write_config, write_frame
from r1zero.training import train
from r1zero.training.run import check_directory

KINDS = ["count", "relation", "depth", "distance"]


def config_of(folder: Path, template: str = "visual_think", steps: int = 2) -> TrainConfig:
    settings = {
        "steps": steps,
        "problems_per_step": 4,
        "responses_per_problem": 3,
        "model": {"path": "tiny-visual"},
        "task": {"name": "visual"},
        "template": {"name": template},
        "sampling": {"max_tokens": 64},
        "learner": {"lr": 1e-4, "device": "cpu", "dtype": "float32"},
        "evaluation": {"num_problems": 24, "max_tokens": 64, "temperature": 0.0},
        "run": {"dir": str(folder), "threads": 1},
    }
    return build(TrainConfig, settings)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    return load_run(train(config_of(tmp_path_factory.mktemp("thinking") / "run")).dir)


@pytest.fixture(scope="module")
def direct_run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    return load_run(train(config_of(tmp_path_factory.mktemp("direct") / "run", "visual_direct", steps=0)).dir)


# ---------------------------------------------------------------------------------------------------------------------
# Sub-tasks


def test_subtasks_are_those_of_the_evaluation(short_run: RecordedRun) -> None:
    cells = subtask_accuracies(short_run, 2)
    assert list(cells) == [*KINDS, "total"]
    stored = short_run.evaluation("visual", 2)
    for kind in KINDS:
        own = stored.filter(pl.col("problem_id").str.starts_with(f"visual/{kind}-"))
        assert cells[kind].problems == own.height == 6
        assert cells[kind].accuracy.estimate == pytest.approx(own["correct"].mean())
    assert (cells["count"].chance, cells["depth"].chance, cells["total"].chance) == (0.25, 0.5, 0.4375)
    assert math.isnan(cells["total"].blank) and cells["total"].read > 0.5


def test_a_step_without_evaluation_is_refused(short_run: RecordedRun) -> None:
    with pytest.raises(ValueError, match="not evaluated at step 1, but at 0, 2"):
        subtask_accuracies(short_run, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Over training


def made_up(folder: Path, texts_by_step: dict[int, list[str]]) -> RecordedRun:
    """A run of these responses, four to a problem."""
    write_config(folder, {"config": to_dict(config_of(folder, steps=len(texts_by_step)))})
    append_metrics(folder, {"step": 0})
    for step, texts in texts_by_step.items():
        rows = {name: [None] * len(texts) for name in SCHEMA}
        rows |= {"step": [step] * len(texts), "response": texts, "num_tokens": [len(t.split()) for t in texts]}
        rows |= {"problem_id": [f"p{step}-{i // 4}" for i in range(len(texts))]}
        write_frame(part_path(folder, "train", step), pl.DataFrame(rows, schema=SCHEMA))
        append_metrics(folder, {"step": step, "response/tokens_mean": 10.0 + step, "reward/mean": step / 10})
    return load_run(folder)


def said(rng: random.Random, count: int, looped: float = 0.0) -> list[str]:
    """Responses of 40 words; of a share `looped` the words are said three times."""
    texts = []
    for _ in range(count):
        words = " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(40))
        times = 3 if rng.random() < looped else 1
        texts.append(" ".join([words] * times) + "</think> <answer> left</answer>")
    return texts


def test_the_alarm_sounds_when_last_responses_loop_and_only_then(tmp_path: Path) -> None:
    rng = random.Random(0)
    quiet = over_training(made_up(tmp_path / "quiet", {step: said(rng, 64) for step in range(1, 13)}))
    looping = over_training(
        made_up(tmp_path / "looping", {step: said(rng, 64, 0.6 * (step > 6)) for step in range(1, 13)})
    )
    assert not quiet.alarm.sounded and quiet.alarm.last.estimate < 0.02
    assert looping.alarm.sounded and looping.alarm.first.estimate < 0.02
    assert looping.alarm.last.low < 0.6 < looping.alarm.last.high
    assert looping.alarm.last.estimate == pytest.approx(looping.window("alarm_share", last=True))
    assert looping.window("copied", last=True) == pytest.approx(0.6 * 0.65, abs=0.1)  # 80 of about 130 words
    assert list(looping.curves) == list(CURVES) and all(len(curve) == 12 for curve in looping.curves.values())


@pytest.mark.parametrize(
    ("first_high", "last_low", "sounds"),
    [(0.02, 0.06, True), (0.02, 0.04, False), (0.1, 0.08, False), (0.1, 0.11, True), (math.nan, math.nan, False)],
)
def test_the_alarm_sounds_above_chance_and_above_the_first_steps(first_high, last_low, sounds) -> None:
    first, last = Interval(0.01, 0.0, first_high), Interval(0.3, last_low, 0.5)
    assert RepetitionAlarm(set_bar(()), first, last).sounded == sounds


def test_curves_are_those_of_metrics_and_undefined_where_there_is_none(tmp_path: Path) -> None:
    rng = random.Random(1)
    found = over_training(made_up(tmp_path / "run", {step: said(rng, 8) for step in (1, 2, 3)}))
    assert found.steps == (1, 2, 3)
    assert found.curves["tokens"] == (11, 12, 13) and found.curves["reward"] == (0.1, 0.2, 0.3)
    assert found.window("tokens", last=False) == 11
    assert all(map(math.isnan, found.curves["correct"])) and math.isnan(found.window("correct", last=True))
    assert all(map(math.isnan, found.curves["think_tokens"]))  # no tokenizer
    assert not found.alarm.bar.known and not found.alarm.sounded  # 8 first responses set no bar
    assert math.isnan(found.alarm.last.estimate) and all(map(math.isnan, found.curves["alarm_share"]))


def test_of_many_steps_some_are_read_with_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visual_curves, "MOST_STEPS", 4)
    rng = random.Random(2)
    run = made_up(tmp_path / "run", {step: said(rng, 4) for step in range(1, 11)})
    assert over_training(run).steps == (1, 4, 7, 10)


def test_thinking_is_counted_in_the_models_own_tokens(short_run: RecordedRun) -> None:
    found = over_training(short_run)
    assert found.steps == (1, 2)
    stored = pl.read_parquet(part_path(short_run.dir, "train", 1))
    before = [text.split("</think>")[0].split("<answer>")[0].split() for text in stored["response"]]
    words_mean = sum(map(len, before)) / len(before)  # tiny-visual has a token for each of its words
    assert found.curves["think_tokens"][0] == pytest.approx(words_mean, rel=0.1)
    assert found.curves["think_tokens"][0] < found.curves["tokens"][0]


def test_a_run_of_no_steps_has_no_curves(direct_run: RecordedRun) -> None:
    found = over_training(direct_run)
    assert found.steps == () and not found.alarm.sounded
    assert math.isnan(found.window("tokens", last=False)) and math.isnan(found.window("tokens", last=True))


def test_lengths_and_answers_at_once_are_those_of_the_first_and_the_last_evaluation(
    short_run: RecordedRun, direct_run: RecordedRun
) -> None:
    first = short_run.rows[0] | {"eval/visual/tokens_mean": 99.0}  # as if it had been another
    measured = measure_run(replace(short_run, rows=(first, *short_run.rows[1:])))
    stored = [short_run.evaluation("visual", step) for step in (0, 2)]
    assert measured.tokens == pytest.approx((99.0, stored[1]["num_tokens"].mean()))
    silent = [part["response"].str.contains(r"^\s*(</think>|<answer>)").mean() for part in stored]
    assert measured.at_once == pytest.approx(silent) and measured.at_once[1] < 0.5
    assert measure_run(direct_run).at_once == (1.0, 1.0)


# ---------------------------------------------------------------------------------------------------------------------
# Thinking


def test_after_its_own_thinking_a_greedy_model_answers_as_it_did(short_run: RecordedRun) -> None:
    found = think_triviality(short_run, 24)
    stored = short_run.evaluation("visual", 2)
    answered = stored.filter(pl.col("response").str.contains("<answer>"))
    assert found.step == 2 and found.responses == found.problems == answered.height
    assert found.own.estimate == pytest.approx(answered["correct"].mean())
    assert found.same_deleted.estimate < 1
    assert found.own_minus_deleted.estimate == pytest.approx(found.own.estimate - found.deleted.estimate)
    assert found.own_minus_swapped.low <= found.own.estimate - found.swapped.estimate <= found.own_minus_swapped.high


def test_what_is_kept_is_taken_and_does_not_disturb_the_run(short_run: RecordedRun, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "run"
    shutil.copytree(short_run.dir, folder)
    run = load_run(folder)
    first = think_triviality(run, 8)
    with monkeypatch.context() as patch:
        patch.setattr(visual_thinking, "_answer_anew", None)  # asking would fail
        assert repr(think_triviality(run, 8)) == repr(first)
    assert check_directory(folder, build(TrainConfig, to_dict(config_of(short_run.dir))))  # still this very run
    kept = json.loads((folder / TRIVIALITY).read_text())
    assert think_triviality(run, 8, seed=1).responses == 8
    assert json.loads((folder / TRIVIALITY).read_text())["of"] != kept["of"]
    monkeypatch.setattr(visual_thinking, "METHOD", -1)
    think_triviality(run, 8, seed=1)
    assert json.loads((folder / TRIVIALITY).read_text())["of"]["method"] == -1
    part = part_path(folder, "eval", 2)
    pl.read_parquet(part).head(6).write_parquet(part)  # other responses
    assert think_triviality(run, 8, seed=1).responses <= 6


def test_answers_at_once_have_no_thinking_to_take_away(direct_run: RecordedRun) -> None:
    for _ in range(2):  # asked, then kept
        found = think_triviality(direct_run, 24)
        assert found.responses == 0 and found.without_thinking.estimate == 1
        assert math.isnan(found.own.estimate) and math.isnan(found.own_minus_deleted.low)


def test_a_run_without_its_final_model_is_refused(short_run: RecordedRun, tmp_path: Path) -> None:
    shutil.copytree(short_run.dir, tmp_path / "run", ignore=shutil.ignore_patterns("model"))
    with pytest.raises(ValueError, match="no final model"):
        think_triviality(load_run(tmp_path / "run"), 8)
    with pytest.raises(ValueError, match="count=0"):
        think_triviality(short_run, 0)
