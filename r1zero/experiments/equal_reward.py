"""How long arms' responses are when their training rewards are equal: less reward is not an excuse for fewer tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.experiments.arms import Arm

SMOOTHING = 5  # steps in the running mean of training curves


@dataclass(frozen=True)
class EqualReward:
    """When each arm's training reward (running mean) first reached a level all reach, and its length then."""

    level: float
    steps: Mapping[str, int]
    tokens: Mapping[str, float]


def equal_reward(arms: Sequence[Arm]) -> EqualReward | None:
    """Tokens per response when the running mean of training reward first reaches the best level that all arms reach.

    Running means over fewer than SMOOTHING steps do not count, unless the run is that short: one lucky first step is no
    level reached.
    """
    curves = {arm.label: (_smooth_mean(arm, "reward/mean"), _smooth_mean(arm, "response/tokens_mean")) for arm in arms}
    if any(reward.size == 0 or tokens.size != reward.size for reward, tokens in curves.values()):
        return None
    start = min(SMOOTHING, *(reward.size for reward, _ in curves.values())) - 1
    level = min(float(reward[start:].max()) for reward, _ in curves.values())
    reached = {label: start + int(np.argmax(reward[start:] >= level)) for label, (reward, _) in curves.items()}
    tokens = {label: float(curves[label][1][index]) for label, index in reached.items()}
    return EqualReward(level, {label: index + 1 for label, index in reached.items()}, tokens)


def _smooth_mean(arm: Arm, name: str) -> np.ndarray:
    """The metric's mean over the arm's seeds, then over the last SMOOTHING steps; as long as the shortest run."""
    rows = [[value for value in run.series(name)[1] if math.isfinite(value)] for run in arm.runs]
    length = min(map(len, rows))
    mean = np.mean([row[:length] for row in rows], axis=0) if length else np.empty(0)
    return np.array([mean[max(0, i + 1 - SMOOTHING) : i + 1].mean() for i in range(length)])
