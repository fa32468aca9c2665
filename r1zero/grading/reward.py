"""What a grade is worth."""

from __future__ import annotations

from typing import Literal

from r1zero.config import RewardConfig
from r1zero.records import FinishReason, Grade

Overlong = Literal["keep", "zero", "soft", "mask"]


def reward(
    grade: Grade,
    finish_reason: FinishReason,
    config: RewardConfig,
    *,
    overlong: Overlong = "keep",
    num_tokens: int | None = None,
    max_tokens: int | None = None,
) -> float:
    """The number an objective sees.  Without `reward.truncated` a cut response is graded as it stands.

    For unformatted / wrong / correct, oat-zero and TinyZero give 0 / 0.1 / 1; understand-r1-zero 0 / 0 / 1, 0 when cut.
    `overlong` "zero" makes a cut response worth 0, "soft" adds `length_penalty` to what it is otherwise worth and needs
    the lengths in tokens; "keep" and "mask" (the objective leaves a cut response out) change nothing here.

    >>> wrong = Grade(correct=False, formatted=True, extracted="3+8", reason="number 5 is not used")
    >>> reward(wrong, "stop", RewardConfig(wrong_answer=0.1)), reward(wrong, "length", RewardConfig(truncated=-1.0))
    (0.1, -1.0)
    >>> reward(wrong, "stop", RewardConfig(), overlong="soft", num_tokens=90, max_tokens=100)
    -0.5
    """
    cut = finish_reason == "length"
    if cut and overlong == "zero":
        return 0.0
    worth = _worth(grade, cut, config)
    if overlong != "soft":
        return worth
    if num_tokens is None or max_tokens is None:
        raise ValueError("overlong 'soft' needs num_tokens and max_tokens")
    return worth + (-1.0 if cut else length_penalty(num_tokens, max_tokens, config.overlong_buffer))


def length_penalty(num_tokens: int, max_tokens: int, buffer: int = 0) -> float:
    """0 up to max_tokens - buffer, from there linear to -1 at max_tokens: DAPO (arXiv:2503.14476, equation 13).

    A buffer of 0 is a fifth of max_tokens, as DAPO's 4096 of 20480.

    >>> [length_penalty(tokens, 20480) for tokens in (16384, 18432, 20480)]
    [0.0, -0.5, -1.0]
    """
    width = buffer or max_tokens / 5
    return max(-1.0, min(0.0, ((max_tokens - width) - num_tokens) / width))


def _worth(grade: Grade, cut: bool, config: RewardConfig) -> float:
    if cut and config.truncated is not None:
        return config.truncated
    if grade.correct:
        return config.correct
    return config.wrong_answer if grade.formatted else config.unformatted
