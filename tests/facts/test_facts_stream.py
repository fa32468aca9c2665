"""Facts streamed from files: the same whatever the slices and the workers, and honest about files that are broken."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from r1zero.facts import stream as facts_stream
from r1zero.facts.read import FACT_POOLS, fact_schema, read_facts
from r1zero.facts.response import response_facts
from r1zero.facts.stream import LOOKED_AT, Slice, facts_from, reply, slices_of, stream_facts
from r1zero.grading.process import Reply
from r1zero.store import SCHEMA, read_rollouts, write_frame

NUMS = '{"nums": [3, 8, 5], "target": 29}'


def rollout(i: int) -> dict:
    """Every fourth knows neither grade nor tokens, as an imported one may."""
    right, known = i % 3 == 0, i % 4 != 3
    last = "3 * 8 + 5" if right else f"3 + 8 + {i}"
    text = f"3 + 8 = {i} vs 29, no.\n" + ("Wait, é. " * (i % 5)) + f"Answer: {last}"
    row = {"run": "r", "task": "countdown", "problem_id": f"p{i // 4}", "sample": i % 4, "problem": "make 29"}
    row |= {"gold": NUMS, "response": text, "finish_reason": "stop"}
    graded = {"correct": right, "formatted": True, "extracted": last, "temperature": 0.7, "num_tokens": i}
    return row | (graded | {"logprobs": [-0.1 * (1 + j % 3) for j in range(i)]} if known else {})


def frame_of(rows) -> pl.DataFrame:
    rows = [rollout(i) for i in rows]
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in SCHEMA}, schema=SCHEMA)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three parts, of which the middle one has row groups of seven."""
    folder = tmp_path / "parts"
    for name, rows in (("a", range(50)), ("c", range(190, 200))):
        write_frame(folder / f"{name}.parquet", frame_of(rows))
    frame_of(range(50, 190)).write_parquet(folder / "b.parquet", row_group_size=7)
    return sorted(folder.iterdir())


def test_streamed_facts_are_those_of_the_whole_table_at_once(files, monkeypatch):
    whole = response_facts(read_rollouts(files).collect())
    assert_frame_equal(read_facts(files[0].parent), whole)
    assert_frame_equal(read_facts(read_rollouts(files)), whole)
    for size in (1, 7, 64):
        cut = [Slice(str(f), f.stem, at, size) for f in files for at in range(0, pl.read_parquet(f).height, size)]
        assert_frame_equal(pl.concat(stream_facts(cut)), whole)
    monkeypatch.setattr(facts_stream, "SLICE_BYTES", 1)
    assert len(slices_of(files)) == 2 + 5 + 1  # of LOOKED_AT = 32 rows: 50, 140 and 10
    assert_frame_equal(read_facts(files), whole)


def test_workers_find_what_one_process_finds_in_the_same_order(files):
    cut = [Slice(str(f), f.stem, at, 40) for f in files for at in range(0, pl.read_parquet(f).height, 40)]
    alone, together = (pl.concat(stream_facts(cut, workers=workers)) for workers in (1, 2))
    assert_frame_equal(together, alone)
    assert alone["transition"].null_count() == 50 and alone["nll_mean"].null_count() == 51  # p0's first has no tokens
    assert alone.schema == fact_schema()


def test_long_rows_come_in_smaller_slices(tmp_path):
    long = frame_of(range(200)).with_columns(response=pl.lit("x" * 1_000_000))
    long.write_parquet(tmp_path / "long.parquet")
    counts = [part.count for part in slices_of([tmp_path / "long.parquet"])]
    assert sum(counts) == 200 and max(counts) == max(LOOKED_AT, facts_stream.SLICE_BYTES // 1_000_200)


def test_an_empty_file_has_no_facts_and_all_columns(tmp_path):
    write_frame(tmp_path / "none.parquet", frame_of([]))
    assert read_facts(tmp_path / "none.parquet").schema == fact_schema()
    with pytest.raises(ValueError, match="no rollouts to read"):
        read_facts([])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_is_corrupt_in_the_middle_is_named(files, workers):
    content = bytearray(files[1].read_bytes())
    middle = len(content) // 2  # beyond the rows that are looked at first
    content[middle : middle + 4000] = bytes(4000)
    files[1].write_bytes(content)
    with pytest.raises(ValueError, match=r"b\.parquet is not a readable parquet file"):
        read_facts(files, workers=workers)


def test_a_file_of_another_form_is_named(tmp_path):
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"torn\.parquet is not a readable parquet file"):
        read_facts(tmp_path / "torn.parquet")
    pl.DataFrame({"response": ["x"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet lacks the columns run"):
        read_facts(tmp_path / "other.parquet")


class Fragile:
    """A pool whose worker dies of one row; what it answers passes through JSON, as over a pipe."""

    def __init__(self, culprit: int, *, of_text: bool = True):
        self.culprit, self.of_text, self.calls = culprit, of_text, 0

    def call(self, *asked):
        self.calls += 1
        _, _, start, count, reads_texts, _ = asked
        if start <= self.culprit < start + count and (reads_texts or not self.of_text):
            return Reply(None, "timed out")
        return Reply(json.loads(json.dumps(reply(*json.loads(json.dumps(asked))))))


def test_a_row_that_a_worker_dies_of_loses_what_its_text_says_and_no_other_row_does(files, caplog):
    part, whole = Slice(str(files[1]), "b", 0, 140), response_facts(read_rollouts(files[1]).collect())
    with caplog.at_level(logging.WARNING, logger="r1zero"):
        facts = facts_from(Fragile(culprit=77), part, FACT_POOLS)
    others = pl.int_range(pl.len()) != 77
    assert_frame_equal(facts.filter(others), whole.filter(others))
    lost = facts.row(77, named=True)
    assert (lost["cues"], lost["transition"], lost["answered"]) == (None, None, None)
    assert lost["digest"] == whole["digest"][77] and lost["outcome"] == whole["outcome"][77]
    assert "row 78: its text is left out of the analysis (timed out)" in caplog.text


def test_a_row_that_cannot_be_had_at_all_is_named(files):
    with pytest.raises(ValueError, match=r"a\.parquet, row 4 could not be read \(timed out\)"):
        facts_from(Fragile(culprit=3, of_text=False), Slice(str(files[0]), "a", 0, 50), FACT_POOLS)


def test_of_a_run_the_evaluations_are_read_unless_asked_otherwise(fake_run):
    run = fake_run(steps=2, every=2, problems=3)
    assert read_facts(run)["problem_id"].str.starts_with("h").all()
    assert read_facts(run, split="train").height == 2 * 6 * 4
    bare = fake_run("bare", steps=1, evaluates=False)
    assert read_facts([run, bare])["model"].unique().sort().to_list() == ["bare", "run"]
