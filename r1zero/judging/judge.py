"""Verdicts of a language model on many responses: asked at once, kept on disk, counted, and never guessed."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import takewhile
from pathlib import Path

import polars as pl

from r1zero.config import JudgeConfig
from r1zero.judging import client
from r1zero.judging.cache import FILE, Cache, Kept, cache_key
from r1zero.judging.client import Client, UnansweredError
from r1zero.judging.instructions import Instruction, load_instruction, render
from r1zero.judging.parse import parse_verdict

Question = tuple[int, str, str]  # digest, problem, response
BOTH = ("answering", "reflection")
SCHEMA = {"digest": pl.UInt64, "judge_answers": pl.Boolean, "judge_category": pl.Int8}
UNASKED = "not asked"  # how the fault begins that is nobody's answer
DEAD = 10  # failures in a row, beyond those in flight, before no more is asked
NEVER = 2  # the same where nothing has succeeded yet: a wrong port is found out soon


@dataclass(frozen=True)
class Counts:
    """What became of the texts that one instruction was asked about; each is in one of the first three."""

    asked: int = 0  # replied to in this run
    cached: int = 0  # replied to in an earlier one
    failed: int = 0  # without a reply
    unparseable: int = 0  # of the replies, old and new, those without a verdict
    shortened: int = 0  # texts of which the judge saw only beginning and end
    tokens_in: int = 0  # of this run's replies, as the endpoint counts them
    tokens_out: int = 0
    cached_in: int = 0  # the same of earlier runs' replies
    cached_out: int = 0
    unmetered: int = 0  # of the replies, old and new, those without token counts

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))


@dataclass(frozen=True)
class Verdicts:
    """What a judge said about responses."""

    frame: pl.DataFrame  # digest, judge_answers, judge_category: null where unparseable, failed or not asked about
    counts: Mapping[str, Counts]  # by instruction: "answering-1", "reflection-1"
    cost: float  # of this run, in the currency of the prices; NaN without prices
    faults: Mapping[str, int]  # why requests failed, the most frequent reason first
    retried: int  # requests that were repeated
    structured: bool | None  # the endpoint took a response_format, if only to ignore it; None: nothing asked

    @property
    def total(self) -> Counts:
        return sum(self.counts.values(), Counts())


def judge(
    questions: Iterable[Question],
    which: Sequence[str] = BOTH,
    config: JudgeConfig | None = None,
    on_progress: Callable[[Counts], None] | None = None,
    *,
    directory: Path | None = None,
    backoff_s: float = client.BACKOFF_S,
) -> Verdicts:
    """One row for each distinct digest of `questions`, with the verdicts asked for.

    `which`: "answering" (judge_answers: it tries to answer), "reflection" (judge_category: 0 off-topic, 1 answers,
    2 looks back, 3 program code only).  Replies are kept in `config.cache`, else in `directory`, else nowhere; those
    found there are not asked for again.  A request that fails is a null and is counted; when nothing succeeds any more
    the rest is counted as failed, unasked.  Raises ValueError where every request must fail: a wrong key, model or URL.
    """
    config = config or JudgeConfig()
    where = Path(config.cache) if config.cache else directory
    instructions = [load_instruction(name) for name in which]

    def run() -> Verdicts:
        with Cache(where / FILE if where else None) as cache:
            return asyncio.run(_Run(config, cache, instructions, on_progress, backoff_s).all_of(questions, stop))

    stop = threading.Event()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with ThreadPoolExecutor(1) as pool:  # this thread already runs an event loop: a notebook's does
        try:
            return pool.submit(run).result()
        finally:
            stop.set()  # after an interrupt, no further requests


class _Run:
    """One call of `judge`: workers that share an iterator of questions, and what they found."""

    def __init__(
        self,
        config: JudgeConfig,
        cache: Cache,
        instructions: Sequence[Instruction],
        on_progress: Callable[[Counts], None] | None,
        backoff_s: float,
    ) -> None:
        self._config, self._cache, self._instructions = config, cache, instructions
        self._on_progress, self._backoff_s = on_progress, backoff_s
        self._counts = {instruction.label: Counts() for instruction in instructions}
        self._verdicts: dict[int, dict[str, int | None]] = {}
        self._faults: Counter[str] = Counter()
        self._failed_in_a_row = 0
        self._answered = False  # at least one request of this run

    async def all_of(self, questions: Iterable[Question], stop: threading.Event) -> Verdicts:
        """Everything judged; once `stop` is set, nothing more is asked."""
        endpoint = Client(self._config, backoff_s=self._backoff_s)
        jobs = takewhile(lambda _: not stop.is_set(), self._jobs(questions))
        workers = [asyncio.create_task(self._work(jobs, endpoint)) for _ in range(self._config.concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await endpoint.close()
        return Verdicts(
            _frame(self._verdicts),
            dict(self._counts),
            cost_of(sum(self._counts.values(), Counts()), self._config),
            dict(self._faults.most_common()),
            endpoint.retried,
            endpoint.structured,
        )

    def _jobs(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Instruction]]:
        """Every instruction for every distinct question."""
        for question in questions:
            if question[0] not in self._verdicts:
                self._verdicts[question[0]] = {}
                for instruction in self._instructions:
                    yield question, instruction

    async def _work(self, jobs: Iterator[tuple[Question, Instruction]], endpoint: Client) -> None:
        for (digest, problem, response), instruction in jobs:
            rendered = render(instruction, problem, response, self._config.max_chars)
            key = cache_key(
                str(self._config.model),
                instruction.label,
                rendered.text,
                self._config.temperature,
                self._config.max_tokens,
            )
            kept = self._cache.get(key)
            if kept is not None:
                counts = _counted(kept, cached=True)
                await asyncio.sleep(0)  # a long run of cached replies lets the others breathe
            else:
                kept = await self._asked(endpoint, rendered.text, instruction)
                counts = _counted(kept, cached=False)
                if kept is not None:
                    self._cache.put(key, instruction.label, str(self._config.model), kept)
            category = kept.category if kept else None
            self._verdicts[digest][instruction.name] = category
            counts += Counts(unparseable=int(kept is not None and category is None), shortened=int(rendered.shortened))
            self._counts[instruction.label] += counts
            if self._on_progress is not None:
                self._on_progress(sum(self._counts.values(), Counts()))

    async def _asked(self, endpoint: Client, text: str, instruction: Instruction) -> Kept | None:
        """A new reply, or None where there is none."""
        limit = self._config.concurrency + (DEAD if self._answered else NEVER)
        if self._failed_in_a_row >= limit:
            self._faults[f"{UNASKED}, after {limit} failures in a row"] += 1
            await asyncio.sleep(0)
            return None
        try:
            reply = await endpoint.ask(text, instruction)
        except UnansweredError as error:
            self._failed_in_a_row += 1
            self._faults[str(error)] += 1
            return None
        self._failed_in_a_row, self._answered = 0, True
        category = parse_verdict(reply.text, instruction.categories, finished=reply.finished)
        return Kept(reply.text, reply.finished, category, reply.tokens_in, reply.tokens_out)


def _counted(kept: Kept | None, *, cached: bool) -> Counts:
    if kept is None:
        return Counts(failed=1)
    unmetered = int(kept.tokens_in is None or kept.tokens_out is None)
    tokens = (0, 0) if unmetered else (kept.tokens_in or 0, kept.tokens_out or 0)
    if cached:
        return Counts(cached=1, cached_in=tokens[0], cached_out=tokens[1], unmetered=unmetered)
    return Counts(asked=1, tokens_in=tokens[0], tokens_out=tokens[1], unmetered=unmetered)


def _frame(verdicts: Mapping[int, Mapping[str, int | None]]) -> pl.DataFrame:
    answers = [found.get("answering") for found in verdicts.values()]
    columns = {
        "digest": list(verdicts),
        "judge_answers": [None if category is None else category == 1 for category in answers],
        "judge_category": [found.get("reflection") for found in verdicts.values()],
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def cost_of(counts: Counts, config: JudgeConfig) -> float:
    """What the counted tokens cost, in the currency of the prices; NaN without both prices."""
    if config.price_in is None or config.price_out is None:
        return float("nan")
    return (counts.tokens_in * config.price_in + counts.tokens_out * config.price_out) / 1e6
