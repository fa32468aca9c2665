"""What a grade is worth."""

from __future__ import annotations

from r1zero.config import RewardConfig
from r1zero.records import FinishReason, Grade


def reward(grade: Grade, finish_reason: FinishReason, config: RewardConfig) -> float:
    """The number an objective sees.  Without `reward.truncated` a cut response is graded as it stands.

    For unformatted / wrong / correct, oat-zero and TinyZero give 0 / 0.1 / 1; understand-r1-zero 0 / 0 / 1, 0 when cut.

    >>> wrong = Grade(correct=False, formatted=True, extracted="3+8", reason="number 5 is not used")
    >>> reward(wrong, "stop", RewardConfig(wrong_answer=0.1)), reward(wrong, "length", RewardConfig(truncated=-1.0))
    (0.1, -1.0)
    """
    if finish_reason == "length" and config.truncated is not None:
        return config.truncated
    if grade.correct:
        return config.correct
    return config.wrong_answer if grade.formatted else config.unformatted
