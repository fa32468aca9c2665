"""The thinking test: whose thinking stands before which answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1zero.config import SamplingConfig
from r1zero.probe.thinking import ARMS, read_thinking, thinking_test
from r1zero.probe.wording import thinking_ends

GREEDY = SamplingConfig(temperature=0.0, max_tokens=200)


def run(organism: Any, out: Path | None, **changes: Any) -> Any:
    settings = {"responses": 20, "sampling": GREEDY, "seed": 0} | changes
    rollouts = settings.pop("rollouts", organism.rollouts)
    return thinking_test(organism.policy, organism.engine, organism.template, rollouts, out=out, **settings)


def test_each_arm_has_the_thinking_it_says(organism: Any, tmp_path: Path) -> None:
    result = run(organism, tmp_path)
    rows = pl.read_parquet(tmp_path / "thinking.parquet")
    assert result.responses == 20
    assert rows.height == 60
    thinking = {
        row["response"][: thinking_ends(row["response"], "native")]: row["problem_id"]
        for row in organism.rollouts.filter("formatted").iter_rows(named=True)
    }
    spans = {}
    for prefix, arm, problem, text in rows.select("prefix", "arm", "problem_id", "response").iter_rows():
        assert text.count("\n") == text[: text.rindex("Answer:")].count("\n") + text.endswith("\n")
        spans[prefix, arm] = text[: text.rindex("Answer:")]
        if arm == "deleted":
            assert spans[prefix, arm] == ""
        else:
            assert (thinking[spans[prefix, arm]] == problem) == (arm == "own")
    swapped = [span for (_, arm), span in spans.items() if arm == "swapped"]
    assert len(set(swapped)) > 10


def test_numbers_are_those_of_the_records(organism: Any, tmp_path: Path) -> None:
    result = run(organism, tmp_path)
    rows = pl.read_parquet(tmp_path / "thinking.parquet")
    shares = {arm: rows.filter(arm=arm)["correct"].mean() for arm in ARMS}
    assert {one.arm: one.accuracy.estimate for one in result.arms} == pytest.approx(shares)
    assert result.effects[0].accuracy.estimate == pytest.approx(shares["own"] - shares["deleted"])
    assert result.arms[0].unchanged.estimate == 1.0
    assert result.arms[1].unchanged.estimate < 1.0
    assert result.tokens == rows["tokens"].sum()
    assert rows["tokens"].max() < 40  # an answer, and no second thoughts behind it
    assert repr(read_thinking(tmp_path)) == repr(result)
    assert read_thinking(tmp_path / "elsewhere") is None


def test_an_answer_between_tags_may_begin_on_its_own_line(organism: Any, tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    class Watched:
        def generate(self, *args: Any, **settings: Any) -> Any:
            asked.append(tuple(settings["stop"]))
            return organism.engine.generate(*args, **settings)

    tagged = organism.rollouts.with_columns(response=organism.rollouts["response"], formatted=pl.lit(True))
    for answer_format, stop in (("r1", "</answer>"), ("native", "\n")):
        template = replace(organism.template, answer_format=answer_format)
        thinking_test(organism.policy, Watched(), template, tagged, responses=2, sampling=GREEDY, seed=0, out=None)
        assert not asked or asked[-1] == (stop,)
    assert asked


def test_the_same_question_gives_the_same_answer(organism: Any) -> None:
    assert repr(run(organism, None)) == repr(run(organism, None))


def test_responses_without_answer_or_thinking_are_counted_and_left_out(organism: Any) -> None:
    at_once = organism.rollouts["response"].str.starts_with("Answer:")
    assert at_once.any()
    result = run(organism, None, responses=500)
    answered = organism.rollouts.filter("formatted")
    with_thinking = [thinking_ends(text, "native") != 0 for text in answered["response"]]
    assert result.responses == sum(with_thinking)
    assert result.without_answer == organism.rollouts.height - answered.height
    assert result.without_thinking.estimate == pytest.approx(1 - sum(with_thinking) / len(with_thinking))


def test_few_answers_among_many_responses_are_found(organism: Any) -> None:
    answered = organism.rollouts.filter("formatted").unique("problem_id", maintain_order=True).head(4)
    rows = pl.concat([organism.rollouts.with_columns(formatted=pl.lit(False)), answered])
    result = run(organism, None, rollouts=rows, responses=4)
    assert result.without_answer == organism.rollouts.height
    assert result.responses + round(4 * result.without_thinking.estimate) == 4


def test_one_problem_alone_has_no_others_thinking(organism: Any) -> None:
    one = organism.rollouts.filter(pl.col("problem_id") == organism.rollouts["problem_id"][0])
    result = run(organism, None, rollouts=one)
    assert result.responses == 0
    assert len(result.effects) == 3


def test_what_leaves_no_room_is_counted(organism: Any) -> None:
    result = run(organism, None, sampling=replace(GREEDY, max_tokens=20))
    assert result.dropped > 0
