"""What the theory says a run's lengths will do, from its own rollouts before it has learned much.

The update of a step is the gradient of sum_i f_i log pi(y_i) with f_i = w_i A_i, weight times advantage.  Were every
response's probability free to move by itself (the natural gradient of a table), ascent by eta would change the mean
length of a problem's right answers by eta Cov(L, f | right), and of its wrong ones by eta Cov(L, f | wrong): Price's
equation.  With weights 1 / L the covariance of right answers is negative and that of wrong ones positive; with equal
weights both are exactly zero.  A network shares its weights between responses, so what is predicted is a sign and a
size relative to other objectives, not a number of tokens.

P problems, G responses to each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from r1zero.config import TrainConfig, build
from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.studies.lengths import ANSWERS
from r1zero.objectives import Objective, build_objective
from r1zero.objectives.aggregation import BatchSize
from r1zero.store import read_rollouts


@dataclass(frozen=True)
class Prediction:
    """Of one run, over its first steps."""

    gap: float  # mean over groups of A-weighted mean 1/L, right minus wrong; per 1000 tokens
    drift: Mapping[str, float]  # tokens per unit of push, by "right" and "wrong"; 0 where weights ignore length


def predict(run: RecordedRun, num_steps: int) -> Prediction:
    """From the rollouts of the first `num_steps` steps that are stored."""
    config = build(TrainConfig, run.saved["config"])
    objective = build_objective(config.objective)
    frame = (
        read_rollouts(run.dir)
        .select("step", "problem_id", "sample", "num_tokens", "reward", "correct")
        .filter(pl.col("step") <= num_steps)
        .collect()
    )
    steps = [
        _of_step(part, objective, config.sampling.max_tokens)
        for _, part in frame.sort("step", "problem_id", "sample").group_by("step", maintain_order=True)
    ]
    parts = [part for part in steps if part is not None]
    if not parts:
        return Prediction(math.nan, dict.fromkeys(ANSWERS, math.nan))
    drift = {name: _mean([part.drift[name] for part in parts]) for name in ANSWERS}
    return Prediction(_mean([part.gap for part in parts]), drift)


def _mean(values: Sequence[float]) -> float:
    """The mean of what is defined."""
    defined = [value for value in values if math.isfinite(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _of_step(part: pl.DataFrame, objective: Objective, max_tokens: int) -> Prediction | None:
    """One step's; None where its groups are of different sizes or smaller than two."""
    sizes = set(part.group_by("problem_id").len()["len"].to_list())
    if len(sizes) > 1 or min(sizes) < 2:
        return None
    shape = (-1, sizes.pop())
    rewards_PG, lengths_PG = (part[name].to_numpy().astype(float).reshape(shape) for name in ("reward", "num_tokens"))
    return predict_step(objective, rewards_PG, lengths_PG, part["correct"].to_numpy().reshape(shape), max_tokens)


def predict_step(
    objective: Objective, rewards_PG: np.ndarray, lengths_PG: np.ndarray, correct_PG: np.ndarray, max_tokens: int
) -> Prediction:
    """`gap` = 1000 mean_g mean_i A_i / L_i, whose expectation over groups is identity 4 of the length bias:

        w_G(p) p (1 - p) {E[1/L | right] - E[1/L | wrong]}

    for every objective, whether or not it divides by L; `drift` is what its own weights do, per unit of push, the sum
    over tokens of |f|: gradient clipping and Adam leave little of an objective's scale.
    """
    rewards, lengths = torch.from_numpy(rewards_PG), torch.from_numpy(lengths_PG)
    advantages = objective.advantages(rewards, lengths)
    size = BatchSize(rewards.numel(), int(lengths.sum()), max_tokens)
    if objective.normalizer == "microbatch_tokens":  # as if the step were one micro-batch
        weights = torch.full_like(lengths, 1 / max(size.num_tokens, 1))
    else:
        weights = objective.weights(lengths, advantages, size)
    pushes_PG, advantages_PG = (weights * advantages).numpy(), advantages.numpy()
    total = float((np.abs(pushes_PG) * lengths_PG).sum())
    gap = 1000 * float((advantages_PG / np.maximum(lengths_PG, 1)).mean())
    if total == 0:
        return Prediction(gap, dict.fromkeys(ANSWERS, 0.0))
    scaled_PG = pushes_PG * lengths_PG.size / total
    return Prediction(gap, {name: _drift(lengths_PG, scaled_PG, correct_PG == (name == "right")) for name in ANSWERS})


def _drift(lengths_PG: np.ndarray, pushes_PG: np.ndarray, mask_PG: np.ndarray) -> float:
    """Mean over the masked responses of their group's Cov(L, f), in groups with at least two of them."""
    drift, responses = 0.0, 0
    for lengths, pushes, mask in zip(lengths_PG, pushes_PG, mask_PG, strict=True):
        count = int(mask.sum())
        if count > 1:
            drift += count * float(np.cov(lengths[mask], pushes[mask])[0, 1])
            responses += count
    return drift / responses if responses else math.nan
