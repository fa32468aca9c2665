"""Dynamic sampling: which of a step's groups are learned from, and asking on until there are enough of them.

A group whose responses all earn the same has no advantage and no gradient.  It may be kept (it counts in the
normaliser), dropped (it does not), or replaced by asking further problems: DAPO (arXiv:2503.14476, section 3.2).

P problems, G responses each.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from r1zero.config import GroupsConfig
from r1zero.evaluation.ask import Asked
from r1zero.records import Rollout

log = logging.getLogger("r1zero")

AskRound = Callable[[int, int], Asked]  # (round, number of problems) -> what came back


@dataclass(frozen=True)
class Gathered:
    """Everything that a step asked, parted into what is learned and what is set aside."""

    asked: Asked  # of all rounds
    learned_PG: list[list[Rollout]]
    set_aside_PG: list[list[Rollout]]
    rounds: int

    @property
    def set_aside(self) -> list[Rollout]:
        return [rollout for group in self.set_aside_PG for rollout in group]

    @property
    def metrics(self) -> dict[str, float]:
        """group/...: what the choice of groups cost."""
        return {
            "group/rounds": self.rounds,
            "group/asked": len(self.asked.rollouts_PG),
            "group/dropped": len(self.set_aside_PG),
            "group/dropped_tokens": _tokens(self.set_aside_PG),
        }


def gather(ask_round: AskRound, wanted: int, config: GroupsConfig, *, step: int) -> Gathered:
    """Ask `wanted` problems, and with degenerate "refill" further ones until as many groups are mixed.

    The first `wanted` mixed groups are learned, in the order asked.  After `max_rounds` rounds the step goes on with
    those there are, and says so in the log.
    """
    rounds = [ask_round(0, wanted)]
    while config.degenerate == "refill" and len(rounds) < config.max_rounds:
        groups = merged(rounds).rollouts_PG
        found = sum(is_mixed(group, config.agree_in) for group in groups)
        if found >= wanted:
            break
        rounds.append(ask_round(len(rounds), further(found, len(groups), wanted)))
    asked = merged(rounds)
    if config.degenerate == "keep":
        return Gathered(asked, asked.rollouts_PG, [], len(rounds))
    mixed = [p for p, group in enumerate(asked.rollouts_PG) if is_mixed(group, config.agree_in)][:wanted]
    if config.degenerate == "refill" and len(mixed) < wanted:
        log.warning(
            "step %d: %d of %d groups are mixed after %d rounds (%d groups, %d tokens): learning from those",
            step,
            len(mixed),
            wanted,
            len(rounds),
            len(asked.rollouts_PG),
            _tokens(asked.rollouts_PG),
        )
    elif len(rounds) > 1 or len(mixed) < len(asked.rollouts_PG):
        log.info(
            "step %d: learning from %d of %d groups asked in %d rounds; %d of %d tokens set aside",
            step,
            len(mixed),
            len(asked.rollouts_PG),
            len(rounds),
            _tokens(asked.rollouts_PG) - _tokens([asked.rollouts_PG[p] for p in mixed]),
            _tokens(asked.rollouts_PG),
        )
    chosen = set(mixed)
    learned = [group for p, group in enumerate(asked.rollouts_PG) if p in chosen]
    set_aside = [group for p, group in enumerate(asked.rollouts_PG) if p not in chosen]
    return Gathered(asked, learned, set_aside, len(rounds))


def is_mixed(group: Sequence[Rollout], agree_in: str) -> bool:
    """Whether the responses of a group differ in their reward, or (agree_in "correct") in being correct."""
    return len({rollout.grade.correct if agree_in == "correct" else rollout.reward for rollout in group}) > 1


def further(found: int, asked: int, wanted: int) -> int:
    """How many problems to ask for the mixed groups that are missing, at the rate so far; at most `wanted`.

    >>> further(found=12, asked=16, wanted=16), further(found=2, asked=16, wanted=16), further(0, 16, 16)
    (6, 16, 16)
    """
    return min(wanted, math.ceil((wanted - found) * asked / found)) if found else wanted


def merged(rounds: Sequence[Asked]) -> Asked:
    """Several rounds of asking as one."""
    return Asked(
        [group for asked in rounds for group in asked.rollouts_PG],
        tuple(name for asked in rounds for name in asked.dropped),
        sum(asked.sampling_seconds for asked in rounds),
        sum(asked.grading_seconds for asked in rounds),
    )


def _tokens(rollouts_PG: Sequence[Sequence[Rollout]]) -> int:
    return sum(rollout.response.num_tokens for group in rollouts_PG for rollout in group)
