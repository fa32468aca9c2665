"""Foreign values as ours."""

import dataclasses
import math

import pytest

from r1zero.grading import grade
from r1zero.importing.record import COLUMNS, Imported, fill, problem_name
from r1zero.importing.table import NAMES
from r1zero.importing.values import binary, count, finish_reason, gold, ids, level, number, numbers, text, verdict


@pytest.mark.parametrize("value", [math.nan, math.inf, None, ""])
def test_undefined_numbers_are_unknown(value):
    assert number(value) is None
    assert count(value) is None


@pytest.mark.parametrize("value", [1.5, -1, "3.5", 2**63, True, 1e300])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match="not a count"):
        count(value)


def test_counts_may_be_written_as_text_or_as_whole_floats():
    assert (count("00012"), count(7.0), count(0), count(2**62)) == (12, 7, 0, 2**62)


@pytest.mark.parametrize("value", [2, "maybe", 0.5, [True], {}])
def test_what_is_no_verdict_is_refused(value):
    with pytest.raises(ValueError, match="not true, false or null"):
        verdict(value)


def test_a_verdict_may_be_a_word_or_a_number():
    assert [verdict(v) for v in (True, 1, 1.0, "True", "yes")] == [True] * 5
    assert [verdict(v) for v in (False, 0, "0", "FALSE")] == [False] * 4
    assert [verdict(v) for v in (None, "", math.nan, "null")] == [None] * 4


def test_only_zero_and_one_are_binary():
    assert [binary(v) for v in (1, 0.0, True, 0.5, -1, math.nan, "1", None)] == [True, False, True, *[None] * 5]


def test_text_that_no_file_can_hold_is_replaced():
    assert text("a\ud800b") == "a?b"
    assert text("é\ud800") == "é?"


def test_golds_are_read_by_our_graders():
    assert grade("\\boxed{\\frac12}", gold(["0.5", "0.5", "1/2"]), "boxed").correct
    assert grade("\\boxed{1234}", gold("so 1,234\n#### 1,234"), "boxed").correct
    assert grade("<answer>8 * 3</answer>", gold({"target": 24, "numbers": [3, 8]}), "answer_tag").correct
    assert grade("<answer>8 * 3</answer>", gold({"ground_truth": {"target": 24, "nums": [3, 8]}}), "answer_tag").correct


def test_golds_that_are_none_are_unknown():
    assert [gold(v) for v in (None, "", "  ", [], [None], math.nan)] == [None] * 6
    assert (gold(4), gold(0.25), gold(True), gold(["7"])) == ("4", "0.25", "True", "7")


def test_levels_and_finish_reasons_that_mean_nothing_are_unknown():
    assert [level(v) for v in ("Level 5", "3", "hard", None, 2)] == [5.0, 3.0, None, None, 2.0]
    assert [finish_reason(v) for v in ("eos_token", "length", "abort", None, 3)] == ["stop", "length", None, None, None]


def test_tokens_must_be_lists_of_numbers():
    assert (ids([1, 2]), numbers([-0.5, -1])) == ((1, 2), (-0.5, -1.0))
    for wrong in (["a"], [1.5], [True], 3, [2**40]):
        with pytest.raises(ValueError, match="not a list of token ids"):
            ids(wrong)


def test_a_rows_lists_are_spread_over_its_responses_and_golds_are_not():
    row = {"ok": [True, None], "gold": ["1/2", "0.5"], "tokens": [[1], [2, 3]]}
    two = fill([Imported("a"), Imported("b")], row, {"correct": "ok", "gold": "gold", "token_ids": "tokens"})
    assert [one.correct for one in two] == [True, None]
    assert [one.gold for one in two] == ['["1/2", "0.5"]'] * 2
    assert [one.token_ids for one in two] == [(1,), (2, 3)]


def test_every_field_of_the_record_has_a_reader():
    assert set(COLUMNS) == {f.name for f in dataclasses.fields(Imported)}
    assert set(NAMES) <= set(COLUMNS)


def test_a_problems_name_is_its_id_or_a_digest_of_its_text_under_its_data_set():
    assert problem_name(Imported("", problem_id="aime/3", dataset="aime")) == "aime/3"
    assert problem_name(Imported("", problem_id="3", dataset="aime")) == "aime/3"
    assert problem_name(Imported("", problem="p")) == problem_name(Imported("other", problem="p"))
    assert problem_name(Imported("", problem="p")) != problem_name(Imported("", problem="q"))
