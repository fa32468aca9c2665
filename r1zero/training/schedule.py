"""The learning rate as a function of the optimizer step."""

from __future__ import annotations

import math

from r1zero.config import LearnerConfig


def learning_rate(config: LearnerConfig, update: int, num_updates: int) -> float:
    """The rate of the `update`-th optimizer step (0, 1, ...) out of `num_updates`.

    Rises linearly over `warmup_steps`, then stays, or falls to lr * lr_min_ratio at the last step.

    >>> [learning_rate(LearnerConfig(lr=1.0, schedule="linear", warmup_steps=2), u, 6) for u in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if update < config.warmup_steps:
        return config.lr * (update + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    progress = (update - config.warmup_steps) / max(1, num_updates - config.warmup_steps)
    shape = 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return config.lr * (config.lr_min_ratio + (1 - config.lr_min_ratio) * shape)
