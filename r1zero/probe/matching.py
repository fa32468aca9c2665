"""Placebo places for real ones: as deep in the response, and where the policy was as undecided."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

OTHER_PROBLEM = 0.5  # what another problem costs, in standard deviations
MOST_CANDIDATES = 5000


@dataclass(frozen=True)
class Spot:
    """What a place is matched on."""

    problem_id: str
    depth: int  # tokens before it
    entropy: float  # nats, of the distribution of the token that follows


def match(wanted: Sequence[Spot], candidates: Sequence[Spot], *, seed: int) -> list[int]:
    """For each wanted spot the index of a candidate of its own, so that all are as alike as possible together.

    The cost of a pair is the difference of log(1 + depth) and of entropy, each in standard deviations of the wanted
    spots, and OTHER_PROBLEM where the problems differ; the sum is the least there is (Hungarian method).  With fewer
    candidates than spots some spots have none: -1.
    """
    if not wanted or not candidates:
        return [-1] * len(wanted)
    pool = list(range(len(candidates)))
    if len(pool) > MOST_CANDIDATES:
        pool = sorted(random.Random(seed).sample(pool, MOST_CANDIDATES))
    own, other = _features(wanted), _features([candidates[index] for index in pool])
    scale = own.std(axis=0)
    scale[scale < 1e-9] = 1.0
    cost = np.abs((own[:, None] - other[None]) / scale).sum(axis=-1)
    problems = np.array([candidates[index].problem_id for index in pool])
    cost += OTHER_PROBLEM * (np.array([spot.problem_id for spot in wanted])[:, None] != problems[None])
    rows, columns = linear_sum_assignment(cost)
    found = [-1] * len(wanted)
    for row, column in zip(rows, columns, strict=True):
        found[row] = pool[column]
    return found


def _features(spots: Sequence[Spot]) -> np.ndarray:
    return np.array([[np.log1p(spot.depth), spot.entropy] for spot in spots], dtype=float)
