"""How good a model is on held-out problems, with its own decoding settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from r1zero.analysis.metrics import evaluation_metrics
from r1zero.config import EvaluationConfig, RewardConfig, SamplingConfig
from r1zero.engines import Engine
from r1zero.evaluation.ask import ask
from r1zero.evaluation.subtasks import SubtaskRow, subtask_rows
from r1zero.evaluation.visual_controls import without_objects
from r1zero.models.load import Policy
from r1zero.records import Problem, Rollout
from r1zero.tasks.templates import Template


@dataclass(frozen=True)
class Evaluation:
    """Rollouts of one evaluation, and what they say."""

    suite: str
    rollouts: list[Rollout]
    dropped: tuple[str, ...]  # ids of problems whose prompt leaves no room for a response
    seconds: float
    blank: tuple[Rollout, ...] = ()  # the same problems before pictures with nothing in them

    @property
    def metrics(self) -> dict[str, float]:
        """eval/SUITE/accuracy with its 95 % interval, lengths and outcomes, and its sub-tasks where it has some."""
        return evaluation_metrics(self.rollouts, self.suite) | subtask_metrics(self.rollouts, self.blank, self.suite)

    @property
    def verdict(self) -> str:
        """ "held-out accuracy on countdown 0.178 [0.147, 0.213]" """
        numbers = self.metrics
        estimate, low, high = (numbers[f"eval/{self.suite}/accuracy{end}"] for end in ("", "_low", "_high"))
        return f"held-out accuracy on {self.suite} {estimate:.3f} [{low:.3f}, {high:.3f}]"


def evaluate(
    engine: Engine,
    policy: Policy,
    template: Template,
    problems: Sequence[Problem],
    config: EvaluationConfig,
    *,
    seed: int,
    step: int,
    rewards: RewardConfig,
    on_tokens: Callable[[int], None] | None = None,
) -> Evaluation:
    """Answer held-out problems.  The same seed gives every checkpoint the same random numbers."""
    sampling = SamplingConfig(temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens)
    asked, *blank = (
        ask(
            engine,
            policy,
            template,
            shown,
            samples=config.samples,
            sampling=sampling,
            rewards=rewards,
            address=(seed, "evaluation"),
            step=step,
            on_tokens=on_tokens,
        )
        for shown in [problems, *([[without_objects(problem) for problem in problems]] if config.blank else [])]
    )
    seconds = sum(one.sampling_seconds + one.grading_seconds for one in (asked, *blank))
    unseen = tuple(rollout for one in blank for rollout in one.rollouts)
    return Evaluation(suite_of(problems[0]), asked.rollouts, asked.dropped, seconds, unseen)


def subtask_metrics(rollouts: Sequence[Rollout], blank: Sequence[Rollout], suite: str) -> dict[str, float]:
    """Of multiple choices with sub-tasks, eval/SUITE/{subtask,chance,prior,read,blank}/NAME, fractions.

    eval/SUITE/problems/NAME says how many problems they are shares of.
    `blank` are responses to the same problems before pictures with nothing in them; NAME is in small letters, and
    `total` is all of them.
    """
    metrics: dict[str, float] = {}
    for row in _subtasks(rollouts):
        name = row.name.lower()
        accuracy = row.accuracy
        metrics |= {
            f"eval/{suite}/subtask/{name}": accuracy.estimate,
            f"eval/{suite}/subtask/{name}_low": accuracy.low,
            f"eval/{suite}/subtask/{name}_high": accuracy.high,
            f"eval/{suite}/problems/{name}": row.problems,
            f"eval/{suite}/chance/{name}": row.chance,
            f"eval/{suite}/prior/{name}": row.prior,
            f"eval/{suite}/read/{name}": row.read.estimate,
        }
    return metrics | {f"eval/{suite}/blank/{row.name.lower()}": row.accuracy.estimate for row in _subtasks(blank)}


def _subtasks(rollouts: Sequence[Rollout]) -> list[SubtaskRow]:
    problems = list({rollout.prompt.problem.id: rollout.prompt.problem for rollout in rollouts}.values())
    if not any("subtask" in problem.fields for problem in problems):
        return []
    facts = [(r.prompt.problem.id, r.grade.correct, r.grade.extracted, r.response.text) for r in rollouts]
    schema = {"problem_id": pl.String, "correct": pl.Boolean, "extracted": pl.String, "response": pl.String}
    return subtask_rows(problems, pl.DataFrame(facts, schema=schema, orient="row"))


def suite_of(problem: Problem) -> str:
    """The name under which a problem's metrics stand: the prefix of its id where it has one, else its task.

    >>> suite_of(Problem("gsm8k/7", "math", "", "")), suite_of(Problem("countdown-1-2:3", "countdown", "", ""))
    ('gsm8k', 'countdown')
    """
    prefix, slash, _ = problem.id.partition("/")
    return prefix if slash else problem.task
