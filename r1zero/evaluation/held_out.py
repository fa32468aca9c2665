"""How good a model is on held-out problems, with its own decoding settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from r1zero.analysis.statistics import clustered_interval, wilson_interval
from r1zero.config import EvaluationConfig, RewardConfig, SamplingConfig
from r1zero.engines import Engine
from r1zero.evaluation.ask import ask
from r1zero.models.load import Policy
from r1zero.records import OUTCOMES, Problem, Rollout
from r1zero.tasks.templates import Template


@dataclass(frozen=True)
class Evaluation:
    """Rollouts of one evaluation, and what they say."""

    name: str  # the suite: the task's name
    rollouts: list[Rollout]
    dropped: tuple[str, ...]
    seconds: float

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Share of correct responses with its 95 % interval (estimate, low, high).

        Wilson's interval where each problem was answered once, else a bootstrap over problems.
        """
        by_problem: dict[str, list[float]] = {}
        for rollout in self.rollouts:
            by_problem.setdefault(rollout.prompt.problem.id, []).append(float(rollout.grade.correct))
        successes = sum(map(sum, by_problem.values()))
        if all(len(values) == 1 for values in by_problem.values()):
            low, high = wilson_interval(int(successes), len(self.rollouts))
        else:
            low, high = clustered_interval(list(by_problem.values()))
        return successes / len(self.rollouts), low, high

    @property
    def metrics(self) -> dict[str, float]:
        estimate, low, high = self.accuracy
        lengths = [rollout.response.num_tokens for rollout in self.rollouts]
        numbers = {"accuracy": estimate, "accuracy_low": low, "accuracy_high": high, "tokens_mean": _mean(lengths)}
        for outcome in OUTCOMES:
            of_outcome = [r.response.num_tokens for r in self.rollouts if r.outcome == outcome]
            numbers[f"outcome/{outcome}/share"] = len(of_outcome) / len(self.rollouts)
            numbers[f"outcome/{outcome}/tokens_mean"] = _mean(of_outcome)
        return {f"eval/{self.name}/{name}": value for name, value in numbers.items()}


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
    asked = ask(
        engine,
        policy,
        template,
        problems,
        samples=config.samples,
        sampling=sampling,
        rewards=rewards,
        address=(seed, "evaluation"),
        step=step,
        on_tokens=on_tokens,
    )
    seconds = asked.sampling_seconds + asked.grading_seconds
    return Evaluation(problems[0].task, asked.rollouts, asked.dropped, seconds)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
