"""Rollout workers as one engine: whatever is asked is cut into tasks, and whoever is free takes the next.

Synchronous and exact: how tasks are cut follows from the config alone, randomness is addressed, and a task names its
weights, so which worker answers, and whether another one died over it, changes nothing in the answer.

P problems, G responses each.
"""

from __future__ import annotations

import itertools
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from torch import Tensor

from r1zero.cluster.worker import Ask, Done, Generate, Weights, plain_weights
from r1zero.config import SamplingConfig
from r1zero.evaluation.ask import Asked
from r1zero.records import Problem, Prompt, Response
from r1zero.tasks.templates import Template

log = logging.getLogger("r1zero")

REMEDY = "look for why (memory, most often), or allow more cluster.restarts; the same command continues the run"
LAST = math.inf  # the number of the task that tells a worker's thread to end


class ClusterError(RuntimeError):
    """The cluster cannot go on; the message says why."""


@dataclass(order=True)
class Task:
    """Something for one worker; lower numbers first, so what was lost is done again before anything new."""

    number: float
    work: Any = field(compare=False, default=None)
    responses: int = field(compare=False, default=0)
    weights: Weights | None = field(compare=False, default=None)
    begun_at: float = field(compare=False, default=math.nan)
    done_at: float = field(compare=False, default=math.nan)
    done: Future[Done] = field(compare=False, default_factory=Future)


@dataclass
class Tally:
    """What happened since it was last looked at."""

    since: float = field(default_factory=time.perf_counter)
    deaths: int = 0
    lost_responses: int = 0
    lost_seconds: float = 0.0
    busy_seconds: float = 0.0  # of all workers together, until `busy_until`
    busy_until: float = field(default_factory=time.perf_counter)
    loading_seconds: float = 0.0
    publishing_seconds: float = 0.0
    waited_seconds: float = 0.0


class Workers:
    """An engine whose `generate` and `ask` are done by workers; see `Engine`, `AsksElsewhere` and `HoldsWeights`."""

    def __init__(
        self,
        actors: Sequence[Any],
        *,
        responses_per_task: int = 0,
        timeout_s: float = 120.0,
        learner_restarts: int = 0,
        lost_steps: int = 0,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.actors = list(actors)
        self.responses_per_task, self.timeout_s = responses_per_task, timeout_s
        self.learner_restarts, self.lost_steps = learner_restarts, lost_steps
        self.on_close = on_close
        self.weights: Weights | None = None
        self.tally = Tally()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._tasks: queue.PriorityQueue[Task] = queue.PriorityQueue()
        self._alive = set(range(len(self.actors)))
        self._at_work = 0
        self._alive_at, self._last_death = time.monotonic(), ""
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), daemon=True, name=f"worker-{number}")
            for number in range(len(self.actors))
        ]
        for thread in self._threads:
            thread.start()

    # -- as an engine --------------------------------------------------------------------------------------------------

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        samples: int,
        on_tokens: Callable[[int], None] | None = None,
        **how: Any,
    ) -> list[list[Response]]:
        """`samples` responses to each prompt; see `Engine.generate`."""
        parts = self._cut(prompts, samples)
        tasks = [self.send(Generate(part, {**how, "samples": samples}), len(part) * samples) for part in parts]
        answers: list[list[Response]] = []
        for done in self.collect(tasks):
            if on_tokens is not None:
                on_tokens(sum(response.num_tokens for group in done.value for response in group))
            answers += done.value
        return answers

    def begin(
        self, template: Template, problems: Sequence[Problem], on_tokens: Callable[[int], None] | None, **how: Any
    ) -> Callable[[], Asked]:
        """Send the problems out now; the call of what is returned waits for them.  Raises as `ask` does."""
        samples, sampling = how["samples"], how["sampling"]
        parts = self._cut(problems, samples)
        tasks = [self.send(Ask(template, part, how), len(part) * samples) for part in parts]

        def answers() -> Asked:
            parts = [done.value for done in self.collect(tasks)]
            begun, ended = min(task.begun_at for task in tasks), max(task.done_at for task in tasks)
            asked = joined(parts, ended - begun)
            if not asked.rollouts_PG and not how.get("may_drop_all"):
                raise ValueError(_none_fits(template, asked, sampling))
            if on_tokens is not None:
                on_tokens(sum(rollout.response.num_tokens for rollout in asked.rollouts))
            return asked

        return answers

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Tasks sent from now on are done with these weights; each node fetches them once."""
        started = time.perf_counter()
        self.weights = Weights(version, (ray.put(plain_weights(iter(named_tensors))),))
        self.tally.publishing_seconds += time.perf_counter() - started

    def metrics(self) -> dict[str, float]:
        """cluster/...: since this was last asked."""
        self._busy(0)
        with self._lock:
            tally, self.tally = self.tally, Tally()
        elapsed = max(time.perf_counter() - tally.since, 1e-9)
        lost_steps, self.lost_steps = self.lost_steps, 0
        return {
            "cluster/workers": len(self._alive),
            "cluster/worker_restarts": tally.deaths,
            "cluster/lost_responses": tally.lost_responses,
            "cluster/lost_s": tally.lost_seconds,
            "cluster/learner_restarts": self.learner_restarts,
            "cluster/lost_steps": lost_steps,
            "cluster/worker_busy_share": tally.busy_seconds / (elapsed * len(self.actors)),
            "cluster/learner_busy_share": max(0.0, 1 - tally.waited_seconds / elapsed),
            "cluster/publish_s": tally.publishing_seconds,
            "cluster/load_s": tally.loading_seconds / len(self.actors),
        }

    def close(self) -> None:
        """Send no more tasks; the actors live on with whoever made them, unless `on_close` ends them."""
        for _ in self._threads:
            self._tasks.put(Task(LAST))
        if self.on_close is not None:
            self.on_close()
            self.on_close = None

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _cut(self, items: Sequence[Any], samples: int) -> list[tuple[Any, ...]]:
        """Whole groups, as many as a task holds, or an equal share for each worker."""
        size = self.responses_per_task // samples or 1
        if not self.responses_per_task:
            size = max(1, math.ceil(len(items) / len(self.actors)))
        return [tuple(items[at : at + size]) for at in range(0, len(items), size)]

    def send(self, work: Any, responses: int) -> Task:
        task = Task(next(self._numbers), work, responses, self.weights)
        self._tasks.put(task)
        return task

    def collect(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """What they came to, in order.  Waits in short turns: a lock waited for without an end may outwait Ctrl-C.

        Raises ClusterError when no worker has been there for `timeout_s`, or none will be again.
        """
        for task in tasks:
            started = time.perf_counter()
            while not task.done.done():
                wait([task.done], timeout=0.2)
                self._check_alive()
            self.tally.waited_seconds += time.perf_counter() - started
            yield task.done.result()

    def _check_alive(self) -> None:
        if self._alive:
            self._alive_at = time.monotonic()
        elif not any(thread.is_alive() for thread in self._threads):
            raise ClusterError(f"every rollout worker died too often (the last: {self._last_death}); {REMEDY}")
        elif time.monotonic() - self._alive_at > self.timeout_s:
            raise ClusterError(f"no rollout worker for {self.timeout_s:g} s (the last: {self._last_death}); {REMEDY}")

    def _serve(self, number: int) -> None:
        """A worker's thread: one task after another, until none is left or the worker cannot be started again."""
        while (task := self._tasks.get()).number != LAST:
            task.begun_at = time.perf_counter()
            try:
                done = self._answer(self.actors[number], task)
            except RayTaskError as error:
                task.done.set_exception(cause(error))
            except RayActorError as error:
                self._lost(number, task, error)
                if not self._restarted(number):
                    return
            except Exception as error:  # whatever it is, who waits for the task must hear of it
                task.done.set_exception(error)
            else:
                task.done_at = time.perf_counter()
                task.done.set_result(done)

    def _answer(self, actor: Any, task: Task) -> Done:
        self._busy(+1)
        try:
            done: Done = ray.get(actor.answer.remote(task.work, task.weights))
        finally:
            self._busy(-1)
        with self._lock:
            self.tally.loading_seconds += done.loading_seconds
        return done

    def _busy(self, change: int) -> None:
        """A worker begins or ends a task; the seconds until now go to those at work until now."""
        now = time.perf_counter()
        with self._lock:
            self.tally.busy_seconds += self._at_work * (now - self.tally.busy_until)
            self.tally.busy_until = now
            self._at_work += change

    def _lost(self, number: int, task: Task, error: RayActorError) -> None:
        """The worker died over the task: another one takes it."""
        reason = str(error).splitlines()[0]
        log.warning("worker %d died with %d responses, which are sampled again: %s", number, task.responses, reason)
        with self._lock:
            self._alive.discard(number)
            self.tally.deaths += 1
            self.tally.lost_responses += task.responses
            self.tally.lost_seconds += time.perf_counter() - task.begun_at
        self._last_death = reason
        self._tasks.put(task)

    def _restarted(self, number: int) -> bool:
        """Wait until Ray has started the worker again; False where it will not."""
        try:
            who = ray.get(self.actors[number].ready.remote())
        except (RayActorError, RayTaskError) as error:
            log.warning("worker %d is gone for good: %s", number, str(error).splitlines()[0])
            return False
        with self._lock:
            self._alive.add(number)
        log.info("worker %d is back: %s", number, shown(who))
        return True


def shown(who: Mapping[str, str]) -> str:
    """ "process 4242 on node 95ab41e0" """
    return f"process {who['process']} on node {who['node'][:8]}"


def cause(error: RayTaskError) -> Exception:
    """What the worker's own code raised."""
    raised = getattr(error, "cause", None)
    return raised if isinstance(raised, Exception) else ClusterError(str(error).strip().splitlines()[-1])


def joined(parts: Sequence[Asked], seconds: float) -> Asked:
    """The parts as one, in order; the time that passed is shared between sampling and grading as the workers' was."""
    sampling, grading = sum(part.sampling_seconds for part in parts), sum(part.grading_seconds for part in parts)
    graded = seconds * grading / (sampling + grading) if sampling + grading else 0.0
    return Asked(
        [group for part in parts for group in part.rollouts_PG],
        tuple(name for part in parts for name in part.dropped),
        seconds - graded,
        graded,
    )


def _none_fits(template: Template, asked: Asked, sampling: SamplingConfig) -> str:
    return (
        f"none of {len(asked.dropped)} prompts leaves room in the model's context for a response of up to "
        f"{sampling.max_tokens} tokens: use a shorter template than {template.name!r} or a model with a longer context"
    )
