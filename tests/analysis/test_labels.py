"""The sample that is labelled, and the file that labels are kept in."""

from __future__ import annotations

import json

import polars as pl
import pytest

from r1zero.analysis.labels import Label, append_label, label_lines, latest, read_labels, sample_candidates
from r1zero.facts.columns import digest, facts_frame
from r1zero.facts.cues import POOLS, load_pool, pool_text
from r1zero.facts.read import with_verdicts

POOL = POOLS["extended"]


def rollouts(num: int = 200, every: int = 20) -> pl.LazyFrame:
    """Responses of which one in twenty holds a cue."""
    texts = [("Wait, " if i % every == 0 else "") + f"it is {i}" for i in range(num)]
    rows = [
        {"problem": f"{i} + 1?", "gold": str(i + 1), "response": text, "formatted": True, "correct": i % 2 == 0}
        for i, text in enumerate(texts)
    ]
    return pl.LazyFrame(rows)


def test_rare_finds_are_half_of_the_sample_and_their_number_is_kept():
    chosen = sample_candidates(rollouts(), "reflects", POOL, num=16)
    sizes = {candidate.stratum: candidate.stratum_size for candidate in chosen}
    assert sizes == {"cue": 10, "no cue": 190}
    assert [sum(c.stratum == stratum for c in chosen) for stratum in ("cue", "no cue")] == [8, 8]
    few = sample_candidates(rollouts(every=100), "reflects", POOL, num=16)
    assert [sum(c.stratum == stratum for c in few) for stratum in ("cue", "no cue")] == [2, 14]


def test_a_larger_sample_continues_a_smaller_one_whatever_the_order_of_the_rows():
    small = {c.digest for c in sample_candidates(rollouts(), "reflects", POOL, num=10)}
    turned = rollouts().reverse()
    large = {c.digest for c in sample_candidates(turned, "reflects", POOL, num=40)}
    assert len(small) == 10 and small < large
    assert small != {c.digest for c in sample_candidates(rollouts(), "reflects", POOL, num=10, seed=1)}


def test_a_response_that_is_there_twice_is_asked_once():
    twice = pl.concat([rollouts(10), rollouts(10)])
    chosen = sample_candidates(twice, "reflects", POOL, num=100)
    assert len(chosen) == 10 and {c.stratum_size for c in chosen} == {1, 9}


def test_strata_are_what_the_question_is_about():
    def strata(question: str) -> set[str]:
        return {c.stratum for c in sample_candidates(rollouts(), question, POOL, num=20)}

    assert strata("correct") == {"graded right", "graded wrong"} and strata("answers") == {"tries"}


def test_the_last_line_counts_skips_say_nothing_and_undone_lines_are_asked_again(tmp_path):
    path = tmp_path / "labels.jsonl"
    for label in (
        Label(1, "reflects", True), Label(1, "reflects", False), Label(2, "reflects", None), Label(3, "reflects", True),
        Label(3, "reflects", None, undone=True), Label(1, "correct", True), Label(2**64 - 1, "answers", True),
    ):  # fmt: skip
        append_label(path, label)
    assert set(latest(label_lines(path))) == {("reflects", 1), ("reflects", 2), ("correct", 1), ("answers", 2**64 - 1)}
    frame = read_labels(path).sort("digest")
    assert frame.rows() == [(1, None, False, True), (2**64 - 1, True, None, None)]


def test_labels_join_facts_by_digest(tmp_path):
    path, number = tmp_path / "labels.jsonl", digest("1+1?", "2, wait")
    append_label(path, Label(number, "reflects", True, "ann", "cue", 5, 0, "extended"))
    facts = with_verdicts(facts_frame([{"digest": number}, {"digest": 7}]), read_labels(path))
    assert facts["label_reflects"].to_list() == [True, None]
    assert json.loads(path.read_text())["digest"] == f"{number:016x}"


def test_a_half_written_line_is_passed_over_and_cut_off_by_the_next_label(tmp_path):
    path = tmp_path / "labels.jsonl"
    append_label(path, Label(1, "reflects", True))
    with open(path, "ab") as handle:
        handle.write(b'{"digest": "00')
    assert len(label_lines(path)) == 1
    append_label(path, Label(2, "reflects", True))
    assert [label.digest for label in label_lines(path)] == [1, 2]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", "not a JSON object"),
        ('{"digest": "01", "question": "reflects"}', "lacks label"),
        ('{"digest": "01", "question": "reflect", "label": true}', "did you mean reflects"),
        ('{"digest": "01", "question": "reflects", "label": 1}', "label 1 is not true"),
        ('{"digest": "xyz", "question": "reflects", "label": true}', "not 16 hexadecimal digits"),
        ('{"digest": "11112222333344445", "question": "reflects", "label": true}', "not 16 hexadecimal digits"),
    ],
)
def test_a_line_that_is_no_label_is_named(tmp_path, line, why):
    path = tmp_path / "labels.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match="line 1") as raised:
        read_labels(path)
    assert why in str(raised.value)


def test_no_file_names_the_verb_that_makes_one(tmp_path):
    with pytest.raises(ValueError, match="r1zero label"):
        read_labels(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_printed_as_a_file_is_read_back_as_it_was(tmp_path, name):
    path = tmp_path / f"{name}.txt"
    path.write_text(pool_text(POOLS[name]))
    assert load_pool(str(path)) == POOLS[name]
