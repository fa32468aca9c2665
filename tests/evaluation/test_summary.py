import math

import polars as pl
import pytest

from r1zero.evaluation.suites import Entry, expand
from r1zero.evaluation.summary import macro, macros, summarise, summarise_all
from r1zero.evaluation.tables import as_object, incomplete
from r1zero.records import Problem
from r1zero.statistics.intervals import Interval, wilson_interval
from r1zero.tasks.templates import TEMPLATES


def rollouts(*rows):
    """Rows of (problem, sample, outcome, answer, tokens)."""
    columns = {
        "problem_id": [row[0] for row in rows],
        "sample": [row[1] for row in rows],
        "correct": [row[2] == "correct" for row in rows],
        "formatted": [row[2] in ("correct", "wrong") for row in rows],
        "extracted": [row[3] for row in rows],
        "reason": ["" if row[2] == "correct" else "timed out" if row[3] == "9^9^9" else "other" for row in rows],
        "finish_reason": ["length" if row[2] == "truncated" else "stop" for row in rows],
        "num_tokens": [row[4] for row in rows],
    }
    return pl.DataFrame(columns, schema_overrides={"extracted": pl.String, "num_tokens": pl.Int64})


TWO = rollouts(
    ("a", 0, "correct", "1", 10), ("a", 1, "correct", "1", 20), ("a", 2, "wrong", "2", 30), ("a", 3, "wrong", "3", 40),
    ("b", 0, "wrong", "5", 50), ("b", 1, "wrong", "5", 60),
    ("b", 2, "unformatted", None, 70), ("b", 3, "truncated", None, 80),
)  # fmt: skip


def test_one_benchmark_by_hand():
    summary = summarise("two", TWO, samples=4)
    assert summary.accuracy.estimate == pytest.approx((0.5 + 0) / 2)
    assert summary.pass_at[2].estimate == pytest.approx((1 - 1 / 6) / 2)  # of 6 pairs of a's, one holds no right one
    assert summary.pass_at[4].estimate == pytest.approx(0.5)
    assert summary.majority_at[4].estimate == pytest.approx(0.5)  # a: 1 has two of four votes; b: never
    shares = {row.outcome: row.share.estimate for row in summary.ledger}
    assert shares == pytest.approx({"correct": 2 / 8, "wrong": 4 / 8, "unformatted": 1 / 8, "truncated": 1 / 8})
    assert summary.tokens_of("correct").estimate == 15
    assert summary.tokens_of("wrong").estimate == 45
    assert summary.tokens.estimate == 45
    assert summary.format_failures.estimate == 2 / 8
    assert summary.ended.estimate == 7 / 8


def test_one_greedy_response_each_has_wilsons_interval_and_no_pass_at_k():
    greedy = rollouts(*((f"p{n}", 0, "correct" if n < 13 else "wrong", "1", 5) for n in range(30)))
    summary = summarise("aime24", greedy, samples=1)
    assert summary.accuracy == wilson_interval(13, 30)
    assert not summary.pass_at and not summary.majority_at
    row = as_object(summary)
    assert math.isnan(row["tokens_truncated"].estimate)  # nobody was cut: undefined, not 0


def test_responses_to_one_question_are_not_independent():
    """Ten questions always right, ten never: as many responses as one likes say no more than one each."""
    rows = [(f"p{n}", s, "correct" if n < 10 else "wrong", "1", 5) for n in range(20) for s in range(8)]
    eight = summarise("x", rollouts(*rows), samples=8).accuracy
    one = wilson_interval(10, 20)
    assert (eight.low, eight.high) == pytest.approx((one.low, one.high))


def test_the_macro_average_weighs_benchmarks_alike_and_is_only_taken_of_whole_suites():
    # independent intervals of half width .3 and .4 give half of .5
    assert macro([Interval(0.5, 0.2, 0.8), Interval(0.5, 0.1, 0.9)]).low == pytest.approx(0.25)
    assert math.isnan(macro([Interval(0.5, 0.2, 0.8), Interval(math.nan, math.nan, math.nan)]).estimate)
    names = expand(["math"])
    summaries = [summarise(name, TWO, samples=4) for name in names]
    assert set(macros(summaries)) == {"math"}
    assert macros(summaries)["math"].estimate == pytest.approx(0.25)
    assert set(macros(summaries[:4])) == {"all"}
    assert set(macros([*summaries, summarise("gsm8k", TWO, samples=4)])) == {"math", "all"}
    assert macros(summaries[:1]) == {}


def test_a_benchmark_of_which_nothing_fits_is_undefined_and_says_what_was_left_out():
    problems = tuple(Problem(i, "math", i, "1") for i in "abc")
    entries = [Entry("two", problems[:2], TEMPLATES["none"]), Entry("aime24", problems[2:], TEMPLATES["none"])]
    two, nothing = summarise_all(entries, TWO, samples=4, dropped=["c"])
    assert (two.problems, two.dropped, nothing.problems, nothing.dropped) == (2, 0, 0, 1)
    assert math.isnan(nothing.accuracy.estimate) and math.isnan(nothing.tokens.estimate)
    assert math.isnan(nothing.majority_at[4].estimate)
    assert incomplete([two, nothing]) == {"aime24": "0 of 30 questions"}


def test_a_name_that_is_no_suite_is_answered_with_the_nearest():
    assert expand(["gsm8k", "math", "aime24"])[:2] == ["gsm8k", "aime24"]
    assert expand(["data/own.jsonl", "openai/gsm8k"]) == ["data/own.jsonl", "openai/gsm8k"]
    with pytest.raises(ValueError, match="did you mean olympiad_bench"):
        expand(["olympiadbench"])


def test_a_question_missing_of_six_hundred_is_still_the_benchmark_but_not_many():
    almost = summarise("olympiad_bench", rollouts(*((f"p{n}", 0, "wrong", "1", 5) for n in range(674))), samples=1)
    fewer = summarise("math500", rollouts(*((f"p{n}", 0, "wrong", "1", 5) for n in range(490))), samples=1)
    assert incomplete([almost, fewer]) == {"math500": "490 of 500 questions"}


def test_answers_that_ran_out_of_time_are_counted_and_wrong():
    summary = summarise("x", rollouts(("a", 0, "correct", "1", 5), ("b", 0, "wrong", "9^9^9", 5)), samples=1)
    assert (summary.grading_timeouts, summary.grading_failures) == (1, 0)
    assert summary.accuracy.estimate == 0.5
