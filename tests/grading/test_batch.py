"""Many answers as they stream past: in order, the same on one process or several, and no more read than needed."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path

import pytest

from r1zero.grading import batch
from r1zero.grading.batch import Submission, chunks, grade_in, grade_many, grade_submission, grade_together, in_order
from r1zero.grading.pool import Pool
from r1zero.records import Grade

GOLD = json.dumps({"nums": [3, 8, 5], "target": 29})
RIGHT = Grade(correct=True, formatted=True, extracted="3 * 8 + 5", reason="")


def submission(number: int) -> Submission:
    """Every third is right, every third wrong, every third has no answer; each 50th cannot be graded."""
    if number % 50 == 7:
        raise ValueError(f"row {number} is bad")
    gold = "no gold" if number % 50 == 9 else GOLD
    text = ("so\nAnswer: 3 * 8 + 5", f"Answer: 3 * 8 + {number}", "hm")[number % 3]
    return Submission(text, (gold,), "native", "countdown")


def comparable(graded: list) -> list:
    return [(row, str(verdict) if isinstance(verdict, ValueError) else verdict) for row, verdict in graded]


@pytest.fixture
def elsewhere(monkeypatch):
    """Rows after the first are graded by other processes, however fast they are."""
    monkeypatch.setattr(batch, "WINDOW", 0)
    monkeypatch.setattr(batch, "SLOW", 0)


def test_several_processes_give_what_one_gives_in_order_with_faulty_rows_in_their_places(elsewhere):
    one = comparable(list(grade_many(range(600), submission)))
    two = comparable(list(grade_many(range(600), submission, workers=2)))
    assert two == one
    assert [row for row, _ in one] == list(range(600))
    assert one[0] == (0, RIGHT)
    assert one[57] == (57, "row 57 is bad")
    assert one[109][1].startswith("gold 'no gold' is not JSON")


def test_no_more_rows_are_read_than_two_chunks_a_worker_ahead(elsewhere):
    read = itertools.count()

    def endless():
        for number in itertools.count():
            next(read)
            yield number

    graded = grade_many(endless(), submission, workers=2)
    for expected in range(1000):
        assert next(graded)[0] == expected
    graded.close()
    assert next(read) <= 1000 + (2 * 2 + 1) * batch.CHUNK_ROWS


def test_one_worker_reads_no_row_ahead():
    rows = iter(range(10))
    graded = grade_many(rows, submission)
    assert next(graded) == (0, RIGHT)
    assert next(rows) == 1


def test_rows_that_are_graded_fast_start_no_process(monkeypatch):
    monkeypatch.setattr(batch, "Pool", None)  # could not be called
    monkeypatch.setattr(batch, "WINDOW", 0)
    monkeypatch.setattr(batch, "SLOW", 1000)
    assert len(list(grade_many(range(600), submission, workers=8))) == 600


@pytest.mark.parametrize(
    ("hostile", "reason"), [("crash", "not graded: the process died (SIGSEGV)"), ("spin", "timed out")]
)
def test_a_response_that_ends_its_process_spoils_no_other_row_of_its_chunk(monkeypatch, hostile, reason):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    right = Submission("3 * 8 + 5", (GOLD,), None, "countdown")
    chunk = [(0, right), (1, ValueError("bad")), (2, Submission(hostile, (GOLD,), None, "countdown")), (3, right)]
    pool = Pool("stand_in:grade_chunk", seconds=0.2, spare=False)
    graded = grade_in(pool, chunk)
    pool.close()
    assert graded[0] == (0, RIGHT) and graded[3] == (3, RIGHT)
    assert str(graded[1][1]) == "bad"
    assert graded[2] == (2, Grade(correct=False, formatted=False, extracted=None, reason=reason))


def test_a_chunk_ends_at_its_number_of_rows_or_of_characters(monkeypatch):
    monkeypatch.setattr(batch, "CHUNK_CHARACTERS", 10)
    monkeypatch.setattr(batch, "CHUNK_ROWS", 3)
    texts = ["a", "bb", "c", "d" * 12, "e", "ffffffffff", "g"]
    rows = [(text, Submission(text, (), None, "math")) for text in texts]
    assert [[row for row, _ in chunk] for chunk in chunks(rows)] == [
        ["a", "bb", "c"], ["d" * 12], ["e", "ffffffffff"], ["g"],
    ]  # fmt: skip


def test_the_best_of_several_golds_counts_and_the_first_gives_the_reason():
    golds = (json.dumps({"nums": [3, 8], "target": 5}), GOLD)
    assert grade_submission(Submission("3 * 8 + 5", golds, None, "countdown")) == RIGHT
    assert grade_submission(Submission("3 + 8", golds, None, "countdown")).reason == "value 11 instead of 5"
    assert grade_submission(Submission(None, golds, None, "countdown")) == Grade(
        correct=False, formatted=False, extracted=None, reason="no prediction"
    )


def test_a_batch_is_graded_in_order_and_refused_as_one_answer_is():
    right, wrong = (Submission(text, (GOLD,), None, "countdown") for text in ("3 * 8 + 5", "3 + 8"))
    assert [grade.correct for grade in grade_together([right, wrong, wrong, right])] == [True, False, False, True]
    with pytest.raises(ValueError, match="not JSON"):
        grade_together([right, Submission("3", ("no gold",), None, "countdown")])


def test_in_order_keeps_the_order_and_passes_on_what_is_raised():
    first_may_end = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert first_may_end.wait(30)
        first_may_end.set()
        if item == 3:
            raise ValueError("three")
        return item

    results = in_order(range(9), work, workers=2)
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
