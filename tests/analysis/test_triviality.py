"""Triviality on thinking made up to be trivial, and on thinking that is not."""

from __future__ import annotations

import math
import random

import polars as pl
import pytest

from r1zero.analysis.triviality import sample, triviality
from r1zero.facts.think_span import think_span


def rollouts(texts: dict[str, list[str]], template: str = "r1") -> pl.DataFrame:
    rows = [(problem, text) for problem, own in texts.items() for text in own]
    schema = {"problem_id": pl.String, "response": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(task=pl.lit("t"), template=pl.lit(template))


def thinking(rng: random.Random, numbers: list[int]) -> str:
    return " then ".join(f"{a} and {b} make {a + b}" for a, b in (rng.sample(numbers, 2) for _ in range(6)))


@pytest.mark.parametrize(
    ("response", "span"),
    [
        (" <think> 1+1=2 </think> <answer> 2 </answer>", "1+1=2"),
        ("1+1=2 <answer>2</answer>", "1+1=2"),
        ("Answer: 3\nLet me check.\nAnswer: 2", "Answer: 3\nLet me check."),
        ("1+1=2.\nSo the answer is $\\boxed{2}$.", "1+1=2."),
        ("It is \\boxed{3}. No. It is \\boxed{2}. Bye.", "It is \\boxed{3}. No."),
        ("Half of 48 is 24\nA: 24", "Half of 48 is 24"),
        ("48/2 = 24\n#### 24", "48/2 = 24"),
        ("going on and on", "going on and on"),
        ("\\boxed{2}", ""),
        ("", ""),
    ],
)
def test_thinking_ends_where_the_answer_opens(response, span):
    assert think_span(response) == span


def test_the_same_text_for_every_question_is_trivial():
    texts = {f"q{i}": ["let me think step by step about it</think> <answer>1</answer>"] * 2 for i in range(20)}
    (found,) = triviality(rollouts(texts)).templates
    assert found.similar.across.estimate == found.similar.within.estimate == 1
    assert found.similar.excess.interval.estimate == 0 and found.joint.estimate < 0.3
    assert (found.num_questions, found.num_responses, found.none.estimate) == (20, 40, 0)


def test_thinking_with_the_numbers_of_its_question_is_not_and_its_wording_is():
    rng = random.Random(0)
    numbers = {f"q{i}": [rng.randint(1, 10_000) for _ in range(3)] for i in range(20)}
    texts = {q: [thinking(rng, own) + "</think> 1" for _ in range(3)] for q, own in numbers.items()}
    (found,) = triviality(rollouts(texts)).templates
    assert found.similar.across.high < 0.1 < found.similar.excess.interval.low
    assert found.wording.across.estimate == pytest.approx(1) and found.wording.excess.interval.estimate < 0.01


def test_loops_sound_the_alarm_and_answers_at_once_are_counted():
    texts = {f"q{i}": ["and so on " * 50, "Answer: 4"] for i in range(10)}
    (found,) = triviality(rollouts(texts)).templates
    assert found.alarm.estimate == 1 and found.none.estimate == 0.5 and found.compressed.estimate < 0.1


def test_a_sample_does_not_depend_on_the_order_of_rows():
    frame = rollouts({f"q{i:03}": [f"text {i} {j}" for j in range(6)] for i in range(200)})
    chosen = sample(frame)
    assert chosen.height == 600 and chosen["problem_id"].n_unique() == 150
    assert sample(frame.sample(fraction=1, shuffle=True, seed=5)).equals(chosen)


def test_nothing_to_compare_is_nan():
    assert triviality(rollouts({})).templates == ()
    (found,) = triviality(rollouts({"q": [""]})).templates
    assert math.isnan(found.similar.across.estimate) and math.isnan(found.joint.estimate) and found.none.estimate == 1
    (one,) = triviality(rollouts({"q": ["a b c d"]}).with_columns(template=pl.lit(None, pl.String))).templates
    assert one.template == "" and math.isnan(one.similar.within.estimate)
