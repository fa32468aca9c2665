"""What flows through the laboratory: Problem -> Prompt -> Response -> Grade -> Rollout.

Frozen records of plain Python values, so that they can be built, compared and printed without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FinishReason = Literal["stop", "length"]
Outcome = Literal["correct", "wrong", "unformatted", "truncated"]
OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "unformatted", "truncated")


@dataclass(frozen=True)
class Problem:
    """A question with its gold answer.

    Example: Problem(id="countdown-3-8-5:23", task="countdown", text="Using the numbers 3, 8, 5, make 23.",
                     gold='{"nums": [3, 8, 5], "target": 23}', fields={"nums": [3, 8, 5], "target": 23})
    """

    id: str  # unique in its task and stable between runs: sampling is addressed by it
    task: str
    text: str  # the question, no template around it
    gold: str  # what the task's grader compares with; JSON where it has parts
    fields: Mapping[str, Any] = field(default_factory=dict)  # what templates may use besides `text`
    level: float | None = None  # difficulty, where the task has one
    images: tuple[str, ...] = ()  # references that r1zero.tasks.pictures opens: a path, sha256:HEX, scene:...


@dataclass(frozen=True)
class Prompt:
    """A problem seen through a template: what the model reads.

    Example: Prompt(problem=..., template="native", text="Numbers: 3 8 5\\nTarget: 23\\n", token_ids=(7, 1, 4))
    """

    problem: Problem
    template: str
    text: str  # `<image>` where a picture goes; without any, pictures come first
    token_ids: tuple[int, ...]  # each picture as the placeholders that stand for its features
    images: tuple[str, ...] = ()  # references, in the order of the text


@dataclass(frozen=True)
class Response:
    """One sampled answer to one prompt.

    Example: Response(text="3+8=11 ...", token_ids=(9, 4, 2), logprobs=(-0.1, -0.7, -0.2), finish_reason="stop")
    """

    text: str  # decoded; a stop string is kept or dropped as the template says
    token_ids: tuple[int, ...]  # [T] sampled tokens only, the end token included
    logprobs: tuple[float, ...]  # [T] nats, under the distribution that was sampled from
    finish_reason: FinishReason  # "length" when cut at max_tokens
    weights_version: int | None = None  # updates of the learner behind the weights; None where it does not learn

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class Grade:
    """Facts about one response; a reward is a function of them.

    Example: Grade(correct=False, formatted=True, extracted="3+8", reason="number 5 is not used")
    """

    correct: bool
    formatted: bool  # an answer was found where the template wants it
    extracted: str | None  # that answer
    reason: str  # why it is wrong, in a few words; "" when correct


@dataclass(frozen=True)
class Rollout:
    """Problem, prompt, response and grade of one sample, as trained on and as stored."""

    step: int
    sample: int  # position in the group, 0..G-1
    prompt: Prompt
    response: Response
    grade: Grade
    reward: float
    advantage: float | None = None  # null where nothing was trained on it (evaluation)

    @property
    def outcome(self) -> Outcome:
        return outcome(self.grade.correct, self.grade.formatted, self.response.finish_reason)


def outcome(correct: bool, formatted: bool, finish_reason: str) -> Outcome:
    """Which row of the outcome ledger a response falls in: each response falls in exactly one.

    A response cut at the token limit is "truncated" unless it had already answered correctly.

    >>> outcome(False, False, "length"), outcome(True, True, "length"), outcome(False, True, "stop")
    ('truncated', 'correct', 'wrong')
    """
    if correct:
        return "correct"
    if finish_reason == "length":
        return "truncated"
    return "wrong" if formatted else "unformatted"
