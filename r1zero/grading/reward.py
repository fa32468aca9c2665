"""What a grade is worth."""

from __future__ import annotations

import re
from typing import Literal

from r1zero.config import RewardConfig
from r1zero.records import FinishReason, Grade

Overlong = Literal["keep", "zero", "soft", "mask"]
_TURN = re.compile(r"</think>\s*<answer>")


def reward(
    grade: Grade,
    finish_reason: FinishReason,
    config: RewardConfig,
    *,
    overlong: Overlong = "keep",
    num_tokens: int | None = None,
    max_tokens: int | None = None,
    in_form: bool = False,
) -> float:
    """The number an objective sees: the sum of `reward_parts`.

    >>> wrong = Grade(correct=False, formatted=True, extracted="3+8", reason="number 5 is not used")
    >>> reward(wrong, "stop", RewardConfig(wrong_answer=0.1)), reward(wrong, "length", RewardConfig(truncated=-1.0))
    (0.1, -1.0)
    >>> reward(wrong, "stop", RewardConfig(), overlong="soft", num_tokens=90, max_tokens=100)
    -0.5
    """
    parts = reward_parts(
        grade,
        finish_reason,
        config,
        overlong=overlong,
        num_tokens=num_tokens,
        max_tokens=max_tokens,
        in_form=in_form,
    )
    return sum(parts.values())


def reward_parts(
    grade: Grade,
    finish_reason: FinishReason,
    config: RewardConfig,
    *,
    overlong: Overlong = "keep",
    num_tokens: int | None = None,
    max_tokens: int | None = None,
    in_form: bool = False,
) -> dict[str, float]:
    """What a response is worth, by cause: its answer, its form, its tokens and the penalty of `overlong` "soft".

    Without `reward.truncated` a cut response is graded as it stands; with it, it is worth that and nothing more.
    For unformatted / wrong / correct, oat-zero and TinyZero give 0 / 0.1 / 1; understand-r1-zero 0 / 0 / 1, 0 when cut;
    VisualThinker-R1-Zero 0 / 0 / 1 and 1 for a response that keeps the form of tags (`in_form`, see `keeps_form`).
    `overlong` "zero" makes a cut response worth 0, "soft" adds `length_penalty` to what it is otherwise worth and needs
    the lengths in tokens; "keep" and "mask" (the objective leaves a cut response out) change nothing here.

    >>> right = Grade(correct=True, formatted=True, extracted="left", reason="")
    >>> reward_parts(right, "stop", RewardConfig(form=1.0, per_token=0.001), num_tokens=50, in_form=True)
    {'answer': 1.0, 'form': 1.0, 'tokens': 0.05}
    """
    cut = finish_reason == "length"
    if cut and overlong == "zero":
        return {"answer": 0.0}
    if cut and config.truncated is not None:
        parts = {"answer": config.truncated}
    else:
        parts = {"answer": _worth(grade, config)}
        if config.form:
            parts["form"] = config.form if in_form else 0.0
        if config.per_token:
            if num_tokens is None:
                raise ValueError(f"reward.per_token={config.per_token} needs num_tokens")
            parts["tokens"] = config.per_token * num_tokens
    if overlong == "soft":
        if num_tokens is None or max_tokens is None:
            raise ValueError("overlong 'soft' needs num_tokens and max_tokens")
        parts["overlong"] = -1.0 if cut else length_penalty(num_tokens, max_tokens, config.overlong_buffer)
    return parts


def keeps_form(response: str, prompt: str = "") -> bool:
    """Whether the whole response is `<think>...</think>`, white space, `<answer>...</answer>` and nothing more.

    Where the prompt ends in `<think>` the response begins behind it.  VisualThinker-R1-Zero's format reward, which a
    line break at the end already forfeits.

    >>> keeps_form("hm</think> <answer>left</answer>", "...<think>"), keeps_form("hm</think><answer>left</answer>")
    (True, False)
    """
    text = "<think>" + response if prompt.endswith("<think>") else response
    if not (text.startswith("<think>") and text.endswith("</answer>")):
        return False
    return _TURN.search(text, len("<think>"), len(text) - len("</answer>")) is not None


def length_penalty(num_tokens: int, max_tokens: int, buffer: int = 0) -> float:
    """0 up to max_tokens - buffer, from there linear to -1 at max_tokens: DAPO (arXiv:2503.14476, equation 13).

    A buffer of 0 is a fifth of max_tokens, as DAPO's 4096 of 20480.

    >>> [length_penalty(tokens, 20480) for tokens in (16384, 18432, 20480)]
    [0.0, -0.5, -1.0]
    """
    width = buffer or max_tokens / 5
    return max(-1.0, min(0.0, ((max_tokens - width) - num_tokens) / width))


def _worth(grade: Grade, config: RewardConfig) -> float:
    if grade.correct:
        return config.correct
    return config.wrong_answer if grade.formatted else config.unformatted
