"""How good a model is on held-out problems, with its own decoding settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from r1zero.analysis.metrics import evaluation_metrics
from r1zero.config import EvaluationConfig, RewardConfig, SamplingConfig
from r1zero.engines import Engine
from r1zero.evaluation.ask import ask
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

    @property
    def metrics(self) -> dict[str, float]:
        """eval/SUITE/accuracy with its 95 % interval, lengths and outcomes."""
        return evaluation_metrics(self.rollouts, self.suite)

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
    return Evaluation(
        suite_of(problems[0]), asked.rollouts, asked.dropped, asked.sampling_seconds + asked.grading_seconds
    )


def suite_of(problem: Problem) -> str:
    """The name under which a problem's metrics stand: the prefix of its id where it has one, else its task.

    >>> suite_of(Problem("gsm8k/7", "math", "", "")), suite_of(Problem("countdown-1-2:3", "countdown", "", ""))
    ('gsm8k', 'countdown')
    """
    prefix, slash, _ = problem.id.partition("/")
    return prefix if slash else problem.task
