"""What the runs of a study on pictures show: sub-tasks, behaviour over training, and whether thinking matters.

The statistic, fixed before the runs: held-out accuracy of the final model, paired by seed (all runs answer the same
questions, those of a seed with the same random numbers), Student's t over seeds.  Three families of tests are each
corrected by Holm over a study's comparisons: accuracy in total; the sub-tasks; behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from r1zero.experiments.studies.estimate import Estimate
from r1zero.statistics.intervals import Interval

START = ""  # in the place of an arm to compare with: the arm's own first evaluation
ACCURACY, SUBTASKS, BEHAVIOUR = "accuracy", "sub-tasks", "behaviour"  # the families


@dataclass(frozen=True)
class Comparison:
    """Two things whose difference answers a part of the question."""

    says: str  # how a sentence calls it
    arm: str
    against: str  # an arm, or START


@dataclass(frozen=True)
class ArmSubtask:
    """One sub-task of an arm; fractions, means over seeds with Student's t intervals."""

    arm: str
    kind: str
    before: Interval
    after: Interval
    change: Interval
    chance: float
    prior: float
    blank: float  # of the final model before pictures with nothing in them
    read: float  # of its responses, those that name exactly one choice
    by_seed: tuple[float, ...]  # accuracy of the final models


@dataclass(frozen=True)
class ArmBehaviour:
    """One of BEHAVIOURS in an arm; means over seeds."""

    arm: str
    what: str
    first: Interval
    last: Interval


@dataclass(frozen=True)
class ArmThinking:
    """What becomes of an arm's right answers when the thinking before them is deleted or another question's."""

    arm: str
    seeds: int  # with such responses; the others are left out of all that follows but the first
    without_thinking: Interval  # share of held-out responses with nothing before the answer
    own: Interval  # accuracy, of the others
    deleted: Interval
    swapped: Interval
    own_minus_deleted: Interval
    own_minus_swapped: Interval
    deleted_p: float  # that own - deleted is 0: t-test over seeds, after Holm's correction over the arms


@dataclass(frozen=True)
class ArmRepetition:
    """Responses that repeat themselves beyond the bar of the run's own first ones."""

    arm: str
    first: Interval  # share, first steps; NaN where no seed has a bar
    last: Interval
    sounded: int  # seeds in which the alarm sounded
    seeds: int  # in which the first responses were enough to set a bar


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """One comparison in one outcome."""

    comparison: Comparison
    family: str
    outcome: str  # a sub-task, TOTAL, or one of BEHAVIOURS


@dataclass(frozen=True)
class PictureStudy:
    """What a study on pictures found."""

    study: str
    home: str
    seeds: tuple[int, ...]
    steps: Mapping[str, int]  # by arm
    starts: Mapping[str, str]  # models that arms begin from -> what is built into them
    verdicts: tuple[str, ...]
    subtasks: tuple[ArmSubtask, ...]
    differences: tuple[Difference, ...]
    behaviour: tuple[ArmBehaviour, ...]
    thinking: tuple[ArmThinking, ...]
    repetition: tuple[ArmRepetition, ...]
    notes: tuple[str, ...]

    def subtask(self, arm: str, kind: str) -> ArmSubtask:
        return next(one for one in self.subtasks if (one.arm, one.kind) == (arm, kind))
