"""Many answers graded as they stream past: in order, in bounded memory, on several processes where that pays."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from r1zero.grading import ABSENT, extract, fault
from r1zero.grading.pool import Pool, num_cores
from r1zero.records import Grade

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 0.25  # seconds of grading after which a process asks itself whether others should help
SLOW = 2e-4  # seconds for one row, from which on they should
CHUNK_ROWS, CHUNK_CHARACTERS = 64, 1 << 20  # what goes to a process at once: the samples of a problem, mostly
CHUNK_SECONDS = 60.0  # of a grading process's own time; its symbolic comparisons have processes and limits of their own
CHUNK_BYTES = 1 << 30  # of memory, likewise


@dataclass(frozen=True)
class Submission:
    """What is handed in to be graded.

    Example: Submission("... \\\\boxed{0.5}", golds=("1/2",), answer_format="boxed", task="math")
    """

    text: str | None  # a response, or the answer alone; None is no answer
    golds: tuple[str, ...]  # alternatives: the best counts
    answer_format: str | None  # where the answer stands in a response; None when the text is the answer alone
    task: str


def grade_submission(submission: Submission) -> Grade:
    """Its grade; the reason of a wrong answer is the first gold's.  Raises ValueError where `grade` does.

    >>> grade_submission(Submission("3 * 8", ('{"nums": [3, 8], "target": 24}',), None, "countdown")).correct
    True
    """
    answer, rule = submission.text, submission.answer_format
    if answer is not None and rule is not None:
        answer = extract(answer, rule)
    if answer is None:
        return Grade(correct=False, formatted=False, extracted=None, reason=ABSENT[rule] if rule else "no prediction")
    reasons = []
    for gold in submission.golds:
        reasons.append(fault(answer, gold, task=submission.task))
        if not reasons[-1]:
            break
    return Grade(correct="" in reasons, formatted=True, extracted=answer, reason="" if "" in reasons else reasons[0])


def grade_together(submissions: Iterable[Submission]) -> list[Grade]:
    """The grade of each, in order; comparisons that wait for a process wait side by side.  Raises as `grade` does."""
    return list(in_order(submissions, grade_submission, workers=num_cores()))


def grade_many(
    rows: Iterable[T], submission_of: Callable[[T], Submission], *, workers: int = 1
) -> Iterator[tuple[T, Grade | ValueError]]:
    """Each row with its grade, or with what keeps it from being graded, in order.

    Everything but symbolic comparisons happens in this process as long as rows take less than SLOW seconds on average:
    sending them elsewhere costs nearly as much.  From then on, up to `workers` processes grade; about two chunks for
    each are in memory, and no further row is read before one of them is done.
    """
    rows = iter(rows)
    count, seconds = 0, 0.0
    for row in rows:
        begin = time.perf_counter()
        verdict = _graded(row, submission_of)
        count, seconds = count + 1, seconds + time.perf_counter() - begin
        yield row, verdict
        if workers > 1 and seconds >= WINDOW:
            if seconds > SLOW * count:
                yield from _grade_elsewhere(rows, submission_of, workers)
                return
            count, seconds = 0, 0.0


def _grade_elsewhere(
    rows: Iterable[T], submission_of: Callable[[T], Submission], workers: int
) -> Iterator[tuple[T, Grade | ValueError]]:
    """The same, in processes."""
    target = "r1zero.grading.batch:grade_chunk"
    pool = Pool(target, size=workers, seconds=CHUNK_SECONDS, memory=CHUNK_BYTES, spare=False)
    try:
        submitted = ((row, _submitted(row, submission_of)) for row in rows)
        graded = in_order(chunks(submitted), lambda chunk: grade_in(pool, chunk), workers=workers)
        yield from itertools.chain.from_iterable(graded)
    finally:
        pool.close()


def in_order(items: Iterable[T], function: Callable[[T], R], *, workers: int) -> Iterator[R]:
    """`function` of each item, in order, computed by so many threads; no more than two items each are held.

    >>> list(in_order(range(4), lambda x: x * x, workers=2))
    [0, 1, 4, 9]
    """
    threads = ThreadPoolExecutor(workers)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(threads.submit(function, item))
            if len(pending) >= 2 * workers:
                yield _result(pending.popleft())
        while pending:
            yield _result(pending.popleft())
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C nobody waits for what is at work


def _result(future: Future[R]) -> R:
    """What it returns or raises.  Waits in short turns: a lock that is waited for without an end may outwait Ctrl-C."""
    while not future.done():
        wait([future], timeout=0.2)
    return future.result()


def chunks(
    submitted: Iterable[tuple[T, Submission | ValueError]],
) -> Iterator[list[tuple[T, Submission | ValueError]]]:
    """Rows in a row, CHUNK_ROWS or CHUNK_CHARACTERS of them."""
    chunk, size = [], 0
    for row, submission in submitted:
        chunk.append((row, submission))
        size += len(submission.text or "") if isinstance(submission, Submission) else 0
        if len(chunk) == CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def grade_chunk(submissions: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """What a grading process does: submissions as JSON knows them, to grades, or to why there is none."""
    replies: list[dict[str, Any]] = []
    for text, golds, answer_format, task in submissions:
        try:
            replies.append(vars(grade_submission(Submission(text, tuple(golds), answer_format, task))))
        except ValueError as error:
            replies.append({"error": str(error)})
    return replies


def grade_in(pool: Pool, chunk: list[tuple[T, Submission | ValueError]]) -> list[tuple[T, Grade | ValueError]]:
    """A chunk graded by one process; row by row where that one does not survive, so that only the culprit suffers."""
    submissions = [submission for _, submission in chunk if isinstance(submission, Submission)]
    reply = pool.call([astuple(submission) for submission in submissions])
    if reply.fault and len(submissions) > 1:
        alone = (pool.call([astuple(submission)]) for submission in submissions)
        values = [one.value[0] if one.value else {"fault": one.fault} for one in alone]
    else:
        values = reply.value if reply.value is not None else [{"fault": reply.fault}] * len(submissions)
    answers = iter(values)
    return [(row, sub if isinstance(sub, ValueError) else _read(next(answers))) for row, sub in chunk]


def _read(reply: dict[str, Any]) -> Grade | ValueError:
    if "error" in reply:
        return ValueError(reply["error"])
    if "fault" in reply:
        return Grade(correct=False, formatted=False, extracted=None, reason=reply["fault"])
    return Grade(**reply)


def _submitted(row: T, submission_of: Callable[[T], Submission]) -> Submission | ValueError:
    try:
        return submission_of(row)
    except ValueError as error:
        return error


def _graded(row: T, submission_of: Callable[[T], Submission]) -> Grade | ValueError:
    try:
        return grade_submission(submission_of(row))
    except ValueError as error:
        return error
