"""One contrast over seeds: its mean and interval, its tests, what it could have seen, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from r1zero.statistics.intervals import (
    Interval,
    holm,
    mean_interval,
    minimum_detectable_effect,
    sign_flip_test,
    t_test,
)

SHARE, CHANGE, LENGTH = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)  # where a share, a difference of two, tokens can lie


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value a seed, and what they say together."""

    by_seed: tuple[float, ...]  # seeds where it is undefined are left out
    interval: Interval  # Student's t over seeds
    p_value: float  # of the t-test
    sign_flip_p: float
    detectable: float  # the effect found with 80 % probability, were it there
    holm_p: float = math.nan  # corrected over the family; NaN outside the family

    @property
    def found(self) -> bool:
        return self.holm_p < 0.05

    @property
    def hinted(self) -> bool:
        """Whether the interval alone leaves 0 out."""
        return not self.found and (self.interval.low > 0 or self.interval.high < 0)


Some = TypeVar("Some", bound=Estimate)


def estimated(by_seed: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """The fields of an Estimate, not yet corrected for others."""
    values = np.asarray(by_seed, float)
    values = values[np.isfinite(values)]
    spread = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return {
        "by_seed": tuple(values.tolist()),
        "interval": mean_interval(values),
        "p_value": t_test(values),
        "sign_flip_p": sign_flip_test(values) if values.size else math.nan,
        "detectable": minimum_detectable_effect(spread, values.size),
    }


def corrected(estimates: Sequence[Some], inside: Callable[[Some], bool]) -> tuple[Some, ...]:
    """The estimates with Holm's correction over those that are inside the family; the others as they were."""
    family = [index for index, one in enumerate(estimates) if inside(one)]
    holm_p = dict(zip(family, holm([estimates[index].p_value for index in family]), strict=True))
    return tuple(replace(one, holm_p=holm_p[index]) if index in holm_p else one for index, one in enumerate(estimates))


def over_seeds(values: Sequence[float] | np.ndarray, possible: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """Student's t interval over the seeds where the value is defined, cut where nothing possible lies beyond.

    >>> over_seeds([0.9, 1.0], SHARE).high, over_seeds([0.9, 1.0]).high > 1
    (1.0, True)
    """
    return within(mean_interval([value for value in values if math.isfinite(value)]), possible)


def within(interval: Interval, possible: tuple[float, float]) -> Interval:
    """The interval without what is impossible, which costs it no coverage; NaN stays NaN."""
    low, high = (float(np.clip(bound, *possible)) for bound in (interval.low, interval.high))
    return replace(interval, low=low, high=high)
