"""All prompts of all benchmarks as one queue, cut into chunks: while one is sampled, the one before is graded and kept.

Chunks follow from the questions and the config alone, and randomness is addressed, so an evaluation that is killed and
continued asks the remaining chunks exactly as it would have.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from r1zero.config import RewardConfig, SamplingConfig
from r1zero.engines import Engine
from r1zero.evaluation.ask import encode
from r1zero.evaluation.suites import Entry
from r1zero.grading.batch import Submission, grade_together
from r1zero.grading.pool import warn_of_timeouts
from r1zero.grading.reward import reward
from r1zero.models.load import Policy
from r1zero.records import Prompt, Response, Rollout
from r1zero.tasks.templates import Template

FULL = 4  # a chunk holds so many times the responses that an engine samples at once: little idles at its end
WAITING = 2  # chunks sampled ahead of grading before sampling waits


@dataclass(frozen=True)
class Way:
    """How a chunk is asked where it differs from the rest of its queue.

    Example: Way(temperature=0.7, samples=8, address=("none", 0.7))
    """

    temperature: float
    samples: int
    address: tuple[int | str, ...] = ()  # behind the queue's own
    step: int = 0  # of training, at which the model stood: rollouts say so


@dataclass(frozen=True)
class Chunk:
    """Prompts that go to the engine in one call."""

    index: int
    prompts: tuple[Prompt, ...]
    template: Template
    way: Way | None = None  # without one, as the whole queue


@dataclass(frozen=True)
class Plan:
    """The whole queue."""

    chunks: tuple[Chunk, ...]
    dropped: tuple[str, ...]  # ids of problems whose prompt leaves no room for a response

    @property
    def fingerprint(self) -> str:
        """A digest of every prompt, picture's reference, gold, stop string and answer format.

        Plans with the same one ask the same.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks:
            template = chunk.template
            digest.update(repr((template.stop, template.keep_stop, template.answer_format)).encode())
            if chunk.way is not None:
                digest.update(repr(chunk.way).encode())
            for prompt in chunk.prompts:
                digest.update(f"{prompt.problem.id}\0{prompt.text}\0{prompt.problem.gold}\0".encode())
                digest.update("\0".join(prompt.images).encode())
            digest.update(b"\1")
        return digest.hexdigest()


@dataclass(frozen=True)
class Timing:
    """Seconds of one evaluation, chunks that were there before left out."""

    wall: float = 0.0
    sampling: float = 0.0  # in the engine
    grading: float = 0.0  # in the grading thread, beside the engine
    tokens: int = 0  # sampled


def make_plan(entries: Sequence[Entry], policy: Policy, *, samples: int, concurrent: int) -> Plan:
    """The queue of all entries.  Raises ValueError when no prompt fits the model's context."""
    chunks: list[Chunk] = []
    dropped: list[str] = []
    lengths: list[int] = []
    for template in dict.fromkeys(entry.template for entry in entries):
        problems = [problem for entry in entries if entry.template == template for problem in entry.problems]
        prompts = encode(problems, template, policy)
        lengths += [len(prompt.token_ids) for prompt in prompts]
        fitting = [prompt for prompt in prompts if len(prompt.token_ids) < policy.max_context]
        dropped += [prompt.problem.id for prompt in prompts if len(prompt.token_ids) >= policy.max_context]
        for part in cut(fitting, samples=samples, concurrent=concurrent):
            chunks.append(Chunk(len(chunks), part, template))
    if not chunks:
        raise ValueError(
            f"no prompt fits the model's context of {policy.max_context} tokens (the shortest has "
            f"{min(lengths, default=0)}): use a shorter template than {entries[0].template.name!r} or a model with a "
            "longer context"
        )
    return Plan(tuple(chunks), tuple(dropped))


def cut(prompts: Sequence[Prompt], *, samples: int, concurrent: int) -> list[tuple[Prompt, ...]]:
    """Prompts in portions that keep an engine busy."""
    size = max(1, FULL * concurrent // samples)
    return [tuple(prompts[at : at + size]) for at in range(0, len(prompts), size)]


def run_queue(
    plan: Plan,
    engine: Engine,
    *,
    samples: int,
    sampling: SamplingConfig,
    address: tuple[int | str, ...],
    is_kept: Callable[[int], bool],
    keep: Callable[[int, list[Rollout]], None],
    answer_format: str = "",
    on_tokens: Callable[[int], None] | None = None,
) -> Timing:
    """Answer every chunk that is not kept yet.  `keep` is called from the grading thread, in the order of chunks.

    What grading or keeping raises is raised here, after the chunk that is being sampled.
    """
    started, sampling_seconds, tokens = time.perf_counter(), 0.0, 0
    grading_seconds: list[float] = []
    waiting: deque[Future[float]] = deque()

    def grade_and_keep(chunk: Chunk, responses_PG: list[list[Response]]) -> float:
        began = time.perf_counter()
        keep(chunk.index, grade_chunk(chunk, responses_PG, answer_format))
        return time.perf_counter() - began

    with ThreadPoolExecutor(1, thread_name_prefix="grading") as grading:
        for chunk in plan.chunks:
            if is_kept(chunk.index):
                continue
            began, way = time.perf_counter(), chunk.way
            responses_PG = engine.generate(
                chunk.prompts,
                samples=way.samples if way else samples,
                sampling=replace(sampling, temperature=way.temperature) if way else sampling,
                address=(*address, *way.address) if way else address,
                stop=chunk.template.stop,
                keep_stop=chunk.template.keep_stop,
                on_tokens=on_tokens,
            )
            sampling_seconds += time.perf_counter() - began
            tokens += sum(response.num_tokens for responses in responses_PG for response in responses)
            waiting.append(grading.submit(grade_and_keep, chunk, responses_PG))
            while len(waiting) > WAITING or (waiting and waiting[0].done()):
                grading_seconds.append(waiting.popleft().result())
        grading_seconds += [future.result() for future in waiting]
    return Timing(time.perf_counter() - started, sampling_seconds, sum(grading_seconds), tokens)


def grade_chunk(chunk: Chunk, responses_PG: Sequence[Sequence[Response]], answer_format: str = "") -> list[Rollout]:
    """The rollouts of a chunk; `answer_format` overrides the template's.  Warns when many answers ran out of time."""
    asked = [
        (prompt, sample, response)
        for prompt, responses in zip(chunk.prompts, responses_PG, strict=True)
        for sample, response in enumerate(responses)
    ]
    rule = answer_format or chunk.template.answer_format
    step = chunk.way.step if chunk.way else 0
    grades = grade_together(
        Submission(response.text, (prompt.problem.gold,), rule, prompt.problem.task) for prompt, _, response in asked
    )
    warn_of_timeouts([verdict.reason for verdict in grades], f"chunk {chunk.index}")
    return [
        Rollout(step, sample, prompt, response, verdict, reward(verdict, response.finish_reason, RewardConfig()))
        for (prompt, sample, response), verdict in zip(asked, grades, strict=True)
    ]
