"""Which problems a step asks: the next ones, those of a wanted difficulty, or those of an opened level.

The task is a stream of problems; a place in it, past answers and the opened level are all that is remembered.  Random
choices are addressed by (seed, step, round, problem), so a continued run chooses what it would have chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from r1zero.config import ChoiceConfig
from r1zero.engines.sampling import stream_key, uniforms
from r1zero.records import Problem, Rollout
from r1zero.tasks import Task

Counts = tuple[float, float]  # correct responses, all responses; older ones counting less
PRIOR = 2.0  # responses that a problem's prior is worth: with an accuracy of 1/2 it is Beta(1, 1)


@dataclass(frozen=True)
class Choices:
    """What is known when the next problems are chosen; kept in the checkpoint."""

    place: int = 0  # of the next problem in the task's stream
    problems: Mapping[str, Counts] = field(default_factory=dict)  # by id
    levels: Mapping[str, Counts] = field(default_factory=dict)
    opened: float | None = None  # curriculum: the hardest level that is asked
    known_levels: tuple[float, ...] = ()  # curriculum: of all problems looked at, ascending
    recent: tuple[float, ...] = ()  # curriculum: accuracies at the opened level since it opened, the latest last

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Choices:
        """The inverse of `to_dict`, also after JSON turned tuples into lists."""
        counts = {
            name: {key: (correct, total) for key, (correct, total) in values[name].items()}
            for name in ("problems", "levels")
        }
        lists = {name: tuple(values[name]) for name in ("known_levels", "recent")}
        return cls(**{**values, **counts, **lists})

    def expected(self, problem: Problem) -> float:
        """The posterior mean of the share of correct responses: (correct + 2 m) / (responses + 2).

        m is the accuracy at the problem's level, (correct + 1) / (responses + 2), which is 1/2 while nothing is known.
        """
        correct, total = self.levels.get(str(problem.level), (0.0, 0.0))
        prior = (correct + 1) / (total + 2)
        correct, total = self.problems.get(problem.id, (0.0, 0.0))
        return (correct + PRIOR * prior) / (total + PRIOR)


def choose(
    task: Task, choices: Choices, config: ChoiceConfig, count: int, address: tuple[int | str, ...]
) -> tuple[list[Problem], Choices]:
    """`count` problems in the order of the task, and what is known after looking at them.

    Fewer only where a window holds the same problem more than once.  Raises ValueError where a curriculum meets a
    problem without a level.
    """
    if config.by == "order":
        return _next(task, choices, count)
    window = task.problems("train", choices.place, count * config.candidates)
    if config.by == "curriculum":
        return _up_to_level(task, window, choices, count)
    preferences = [-(((choices.expected(problem) - config.target) / config.width) ** 2) / 2 for problem in window]
    if len(set(preferences)) == 1:
        return _next(task, choices, count)  # nothing to prefer: nothing is passed over
    return drawn(window, preferences, count, address), replace(choices, place=choices.place + len(window))


def drawn(
    window: Sequence[Problem], log_weights: Sequence[float], count: int, address: tuple[int | str, ...]
) -> list[Problem]:
    """`count` different problems, drawn one after the other with probability in proportion to exp(log weight).

    The largest of log weight + Gumbel noise are such a sample (Vieira 2014, "Gumbel-max trick and weighted reservoir
    sampling").  They come in the order of the window.
    """
    first = {problem.id: p for p, problem in reversed(list(enumerate(window)))}  # where each problem first stands
    keys = torch.tensor([stream_key(address, name, 0) for name in first], dtype=torch.int64)
    noise = -(-uniforms(keys, torch.zeros_like(keys)).log()).log()
    scores = {p: log_weights[p] + gumbel for p, gumbel in zip(first.values(), noise.tolist(), strict=True)}
    return [window[p] for p in sorted(sorted(scores, key=scores.__getitem__, reverse=True)[:count])]


def learned(choices: Choices, rollouts_PG: Sequence[Sequence[Rollout]], config: ChoiceConfig) -> Choices:
    """What is known after these groups were asked and graded."""
    if config.by == "target_accuracy":
        return _counted(choices, rollouts_PG, config.decay)
    if config.by == "curriculum":
        return _opened(choices, rollouts_PG, config)
    return choices


def choice_metrics(
    choices: Choices, rollouts_PG: Sequence[Sequence[Rollout]], config: ChoiceConfig
) -> dict[str, float]:
    """choice/...: what was expected of the problems that were asked, before they were; nothing for "order"."""
    if config.by == "order" or not rollouts_PG:
        return {}
    if config.by == "curriculum":
        return {"choice/level": math.nan if choices.opened is None else choices.opened}
    problems = [group[0].prompt.problem for group in rollouts_PG]
    return {
        "choice/expected_accuracy": sum(map(choices.expected, problems)) / len(problems),
        "choice/known_share": sum(problem.id in choices.problems for problem in problems) / len(problems),
    }


def _next(task: Task, choices: Choices, count: int) -> tuple[list[Problem], Choices]:
    return task.problems("train", choices.place, count), replace(choices, place=choices.place + count)


def _up_to_level(task: Task, window: Sequence[Problem], choices: Choices, count: int) -> tuple[list[Problem], Choices]:
    """The first problems of the window whose level is open; where they are too few, the easiest others too."""
    levels = [_level(problem, task) for problem in window]
    opened = min(levels) if choices.opened is None else choices.opened
    ranks = sorted(range(len(window)), key=lambda p: max(levels[p], opened))  # stable: open ones first, in order
    chosen = sorted(ranks[:count])
    passed = chosen[-1] + 1 if all(levels[p] <= opened for p in chosen) else len(window)
    known = tuple(sorted({*choices.known_levels, *levels}))
    return [window[p] for p in chosen], replace(
        choices, place=choices.place + passed, opened=opened, known_levels=known
    )


def _level(problem: Problem, task: Task) -> float:
    if problem.level is None:
        raise ValueError(
            f"choice.by=curriculum needs problems with a level, and {problem.id} of task {task.name} has none: "
            "use target_accuracy or order"
        )
    return problem.level


def _counted(choices: Choices, rollouts_PG: Sequence[Sequence[Rollout]], decay: float) -> Choices:
    problems, at_level = dict(choices.problems), dict[str, Counts]()
    for group in rollouts_PG:
        problem, correct = group[0].prompt.problem, sum(rollout.grade.correct for rollout in group)
        problems[problem.id] = _after(problems.get(problem.id), correct, len(group), decay)
        at_level[str(problem.level)] = _after(at_level.get(str(problem.level)), correct, len(group), 1.0)
    levels = {name: _after(choices.levels.get(name), *counts, decay) for name, counts in at_level.items()}
    return replace(choices, problems=problems, levels={**choices.levels, **levels})


def _after(counts: Counts | None, correct: float, total: float, decay: float) -> Counts:
    before_correct, before_total = counts or (0.0, 0.0)
    return decay * before_correct + correct, decay * before_total + total


def _opened(choices: Choices, rollouts_PG: Sequence[Sequence[Rollout]], config: ChoiceConfig) -> Choices:
    """Opens the next known level once the last `horizon` problems at the hardest one went well enough."""
    accuracies = [
        sum(rollout.grade.correct for rollout in group) / len(group)
        for group in rollouts_PG
        if group[0].prompt.problem.level == choices.opened
    ]
    recent = (*choices.recent, *accuracies)[-config.horizon :]
    harder = [level for level in choices.known_levels if choices.opened is not None and level > choices.opened]
    if harder and len(recent) == config.horizon and sum(recent) / len(recent) >= config.threshold:
        return replace(choices, opened=harder[0], recent=())
    return replace(choices, recent=recent)
