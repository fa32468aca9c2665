"""How far the weights that sampled a response are behind those that learn from it, and what is done about it.

A response says how many updates of the learner its weights had seen.  Learning from one that older weights wrote is
right in expectation only under importance weights pi_old / beta, beta being the policy that sampled
(r1zero.objectives.correction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from r1zero.config import TrainConfig
from r1zero.objectives import Objective
from r1zero.objectives.correction import Correction
from r1zero.records import Rollout

CORRECTION: Correction = "token_truncate"  # of an objective that has none; oat, verl


class StaleError(RuntimeError):
    """Responses come from older weights than the run allows."""


def corrected(objective: Objective, config: TrainConfig) -> Objective:
    """The objective, with importance weights where responses may be stale.

    Raises ValueError where the config asks for what cannot be asked ahead: problems that are chosen by the answers of
    the step before.
    """
    behind = config.max_staleness
    if behind == 0:
        return objective
    for key, value in (("choice.by", config.choice.by), ("groups.degenerate", config.groups.degenerate)):
        if value in ("target_accuracy", "curriculum", "refill"):
            raise ValueError(
                f"{key}={value} waits for the answers of a step before the next is asked, and engine.max_staleness="
                f"{behind} asks ahead: set one of them otherwise"
            )
    return objective if objective.correction != "none" else replace(objective, correction=CORRECTION)


def staleness(rollouts: Sequence[Rollout], updates_done: int, updates_per_step: int) -> list[float]:
    """For each response, the steps by which its weights are behind; 0 where it does not say."""
    versions = [rollout.response.weights_version for rollout in rollouts]
    return [0.0 if v is None else (updates_done - v) / updates_per_step for v in versions]


def check_staleness(behind: Sequence[float], allowed: int) -> dict[str, float]:
    """policy/staleness_...: raises StaleError where the oldest is older than allowed."""
    if behind and max(behind) > allowed:
        raise StaleError(
            f"a response comes from weights {max(behind):g} steps behind the learner, and engine.max_staleness allows "
            f"{allowed}: the engine did not take an update; start it again, or allow more"
        )
    if not behind or not allowed:
        return {}
    return {"policy/staleness_mean": sum(behind) / len(behind), "policy/staleness_max": max(behind)}


def stamped(rollouts_PG: Sequence[Sequence[Rollout]], version: int) -> list[list[Rollout]]:
    """The rollouts, `version` being that of responses that say none: the learner's own weights sampled them."""
    return [[_with_version(rollout, version) for rollout in group] for group in rollouts_PG]


def _with_version(rollout: Rollout, version: int) -> Rollout:
    if rollout.response.weights_version is not None:
        return rollout
    return replace(rollout, response=replace(rollout.response, weights_version=version))
