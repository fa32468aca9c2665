"""Problems in, graded rollouts out: the one path by which training, evaluation and probing question a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

from r1zero.config import RewardConfig, SamplingConfig
from r1zero.engines import Engine
from r1zero.grading.batch import Submission, grade_together
from r1zero.grading.pool import warn_of_timeouts
from r1zero.grading.reward import Overlong, keeps_form, reward
from r1zero.models.load import Policy
from r1zero.models.vision_prompt import encode_prompt
from r1zero.records import Problem, Prompt, Rollout
from r1zero.tasks.templates import Template


@dataclass(frozen=True)
class Asked:
    """What came back, one list of rollouts a problem, and what it took."""

    rollouts_PG: list[list[Rollout]]
    dropped: tuple[str, ...]  # ids of problems whose prompt leaves no room for a response
    sampling_seconds: float
    grading_seconds: float

    @property
    def rollouts(self) -> list[Rollout]:
        return [rollout for group in self.rollouts_PG for rollout in group]


@runtime_checkable
class AsksElsewhere(Protocol):
    """An engine whose workers sample and grade by themselves, while its caller may do something else."""

    def begin(
        self, template: Template, problems: Sequence[Problem], on_tokens: Callable[[int], None] | None, **how: Any
    ) -> Callable[[], Asked]:
        """Send the problems out; calling what is returned waits for what comes back.  `how` is as in `ask`."""
        ...


def begin(
    engine: Engine,
    policy: Policy,
    template: Template,
    problems: Sequence[Problem],
    *,
    on_tokens: Callable[[int], None] | None = None,
    **how: Any,
) -> Callable[[], Asked]:
    """The same as `ask` in two halves: here, or with an ordinary engine when the answer is called for, it happens."""
    if isinstance(engine, AsksElsewhere):
        return engine.begin(template, problems, on_tokens, **how)
    return partial(ask, engine, policy, template, problems, on_tokens=on_tokens, **how)


def encode(problems: Sequence[Problem], template: Template, policy: Policy) -> list[Prompt]:
    """Problems as the model reads them.  Special tokens are the template's own business: none are added.

    Raises ValueError naming the problem whose pictures cannot be opened, or do not fit its text or the model.
    """
    prompts = []
    for problem in problems:
        text = template.render(problem)
        try:
            ids = encode_prompt(policy, text, problem.images)
        except ValueError as error:
            raise ValueError(f"problem {problem.id!r}: {error}") from error
        prompts.append(Prompt(problem, template.name, text, ids, problem.images))
    return prompts


def ask(
    engine: Engine,
    policy: Policy,
    template: Template,
    problems: Sequence[Problem],
    *,
    samples: int,
    sampling: SamplingConfig,
    rewards: RewardConfig,
    address: tuple[int | str, ...],
    step: int,
    overlong: Overlong = "keep",
    may_drop_all: bool = False,
    on_tokens: Callable[[int], None] | None = None,
) -> Asked:
    """Sample `samples` responses to each problem and grade them.

    Problems whose prompt fills the context are dropped and named, never cut.  Raises ValueError when none is left,
    unless `may_drop_all`.
    """
    if isinstance(engine, AsksElsewhere):
        own = {"samples": samples, "sampling": sampling, "rewards": rewards, "address": address, "step": step}
        how = own | {"overlong": overlong, "may_drop_all": may_drop_all}
        return engine.begin(template, problems, on_tokens, **how)()
    prompts = encode(problems, template, policy)
    fitting = [prompt for prompt in prompts if len(prompt.token_ids) < policy.max_context]
    dropped = tuple(prompt.problem.id for prompt in prompts if len(prompt.token_ids) >= policy.max_context)
    if not fitting and may_drop_all:
        return Asked([], dropped, 0.0, 0.0)
    if not fitting:
        shortest = min(len(prompt.token_ids) for prompt in prompts)
        raise ValueError(
            f"no prompt fits the model's context of {policy.max_context} tokens (the shortest has {shortest}): "
            f"use a shorter template than {template.name!r} or a model with a longer context"
        )
    started = time.perf_counter()
    responses_PG = engine.generate(
        fitting,
        samples=samples,
        sampling=sampling,
        address=address,
        stop=template.stop,
        keep_stop=template.keep_stop,
        on_tokens=on_tokens,
    )
    sampled = time.perf_counter()
    verdicts = iter(
        grade_together(
            Submission(response.text, (prompt.problem.gold,), template.answer_format, prompt.problem.task)
            for prompt, responses in zip(fitting, responses_PG, strict=True)
            for response in responses
        )
    )
    rollouts_PG = []
    for prompt, responses in zip(fitting, responses_PG, strict=True):
        group = []
        for sample, response in enumerate(responses):
            verdict = next(verdicts)
            worth = reward(
                verdict,
                response.finish_reason,
                rewards,
                overlong=overlong,
                num_tokens=response.num_tokens,
                max_tokens=sampling.max_tokens,
                in_form=keeps_form(response.text, prompt.text),
            )
            group.append(Rollout(step, sample, prompt, response, verdict, worth))
        rollouts_PG.append(group)
    reasons = [rollout.grade.reason for group in rollouts_PG for rollout in group]
    warn_of_timeouts(reasons, f"step {step}")
    return Asked(rollouts_PG, dropped, sampled - started, time.perf_counter() - sampled)
