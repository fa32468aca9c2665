"""Metrics of a step: hand-computed values, and a documentation entry for every name."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from r1zero.analysis.ledger import length_reference
from r1zero.analysis.metrics import evaluation_metrics, reward_metrics, rollout_metrics
from r1zero.config import RewardConfig
from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.statistics.intervals import wilson_interval

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def rollout(problem: str, sample: int, correct: bool, tokens: int, text: str = "3+8", finish: str = "stop") -> Rollout:
    prompt = Prompt(Problem(problem, "countdown", "?", "!"), "native", "?", (1,))
    response = Response(text, tuple(range(tokens)), (-1.0,) * tokens, finish)  # type: ignore[arg-type]
    return Rollout(1, sample, prompt, response, Grade(correct, True, "3+8", ""), float(correct))


BATCH = [
    rollout("a", 0, True, 10),
    rollout("a", 1, False, 30, "wait, hmm"),
    rollout("b", 0, False, 20),
    rollout("b", 1, False, 60, "wait", finish="length"),
]


def test_a_batch_of_four_by_hand():
    metrics = rollout_metrics(BATCH, group_size=2)
    expected = {
        "reward/mean": 0.25,
        "reward/std": math.sqrt(3) / 4,
        "outcome/correct/share": 0.25,
        "outcome/wrong/share": 0.5,
        "outcome/truncated/share": 0.25,
        "outcome/unformatted/share": 0.0,
        "outcome/correct/tokens_mean": 10,
        "outcome/wrong/tokens_mean": 25,
        "outcome/truncated/tokens_mean": 60,
        "response/tokens_mean": 30,
        "response/tokens_max": 60,
        "group/degenerate_share": 0.5,
        "group/degenerate_predicted": 0.25**2 + 0.75**2,
        "group/all_correct_share": 0.0,
        "group/all_wrong_share": 0.5,
        "reflection/cue_share": 0.5,
        "reflection/cue_share_correct": 0.0,
        "reflection/cue_share_incorrect": 2 / 3,
        "reflection/cues_per_response": 0.75,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_copies_are_a_mean_over_responses_that_say_anything():
    """20 of 40 words, 0 of 3; the empty one is left out."""
    words = " ".join("abcdefghijklmnopqrst")
    batch = [rollout("a", 0, True, 9, f"{words} {words}"), rollout("a", 1, True, 9), rollout("a", 2, True, 9, "")]
    assert rollout_metrics(batch, group_size=3)["response/copied_share"] == pytest.approx((0.5 + 0) / 2)


def test_answers_that_could_not_be_graded_are_counted_by_cause():
    reasons = ["timed out", "out of memory", "not graded: RecursionError", "value 3 instead of 4"]
    batch = [replace(r, grade=replace(r.grade, reason=why)) for r, why in zip(BATCH, reasons, strict=True)]
    metrics = rollout_metrics(batch, group_size=2)
    assert (metrics["grading/timeouts"], metrics["grading/failures"]) == (0.25, 0.5)


def test_undefined_metrics_are_nan_and_not_zero():
    metrics = rollout_metrics(BATCH, group_size=2)
    undefined = {name for name, value in metrics.items() if math.isnan(value)}
    changes = {"response/change", "response/change_within", "response/change_mix"}
    assert undefined == {"outcome/unformatted/tokens_mean"} | changes
    assert all(math.isnan(value) for name, value in rollout_metrics([], group_size=2).items())


def test_change_against_the_reference_is_the_sum_of_its_parts():
    reference = length_reference(BATCH[:2])
    metrics = rollout_metrics(BATCH, group_size=2, reference=reference)
    assert metrics["response/change"] == pytest.approx(30 - 20)
    assert metrics["response/change_within"] + metrics["response/change_mix"] == pytest.approx(
        metrics["response/change"]
    )
    same = rollout_metrics(BATCH, group_size=2, reference=length_reference(BATCH))
    assert same["response/change_within"] == same["response/change_mix"] == 0


def test_rows_that_are_not_groups_are_refused():
    with pytest.raises(ValueError, match="4 rollouts are not groups of 3"):
        rollout_metrics(BATCH, group_size=3)
    with pytest.raises(ValueError, match="mixes the problems a, b"):
        rollout_metrics(BATCH, group_size=4)


def test_evaluation_reports_accuracy_with_its_interval():
    metrics = evaluation_metrics([rollout(f"p{i}", 0, i < 13, 10 + i) for i in range(30)], "aime")
    assert metrics["eval/aime/accuracy"] == pytest.approx(13 / 30)
    assert metrics["eval/aime/accuracy_low"] == pytest.approx(wilson_interval(13, 30).low)
    assert metrics["eval/aime/accuracy_high"] == pytest.approx(wilson_interval(13, 30).high)
    assert metrics["eval/aime/tokens_mean"] == pytest.approx(24.5)


def test_every_metric_is_explained_in_the_documentation():
    text = DOCS.read_text(encoding="utf-8")
    rewarded = reward_metrics(BATCH, RewardConfig(form=1.0, per_token=0.1), overlong="soft", max_tokens=60)
    names = [
        *rollout_metrics(BATCH, 2),
        *rewarded,
        *(n.replace("/s/", "/SUITE/") for n in evaluation_metrics(BATCH, "s")),
    ]
    missing = [name for name in names if f"`{name}`" not in text]
    assert missing == []


def test_the_parts_of_a_reward_add_up_to_its_mean_and_one_part_alone_is_not_repeated():
    config = RewardConfig(form=1.0, per_token=0.1)
    tagged = rollout("c", 0, True, 10, "<think>a</think> <answer>b</answer>")
    parts = reward_metrics([*BATCH, tagged], config, overlong="soft", max_tokens=60)
    # 3 of 5 wrong; one in form; 10 + 30 + 20 + 60 + 10 tokens; one cut
    assert parts == pytest.approx(
        {"reward/part/answer": 0.4, "reward/part/form": 0.2, "reward/part/tokens": 2.6, "reward/part/overlong": -0.2}
    )
    assert reward_metrics(BATCH, RewardConfig(), overlong="keep", max_tokens=60) == {}
