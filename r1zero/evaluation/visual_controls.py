"""Does a model see?  Its accuracy on visual questions beside what is reached without looking.

chance    one of the choices at random
prior     always the same choice: the one that is right most often, by its place among the choices
blank     the model itself before pictures with nothing in them
direct    the model asked to answer at once
think     the model asked to think first
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from r1zero.config import EngineConfig, RewardConfig, SamplingConfig
from r1zero.engines import build_engine
from r1zero.evaluation.ask import ask
from r1zero.grading.choices import read_gold
from r1zero.models.load import Policy
from r1zero.records import Problem, Rollout
from r1zero.statistics.intervals import Interval, accuracy_interval, wilson_interval
from r1zero.tasks.templates import TEMPLATES
from r1zero.tasks.visual.scene import PREFIX, Scene, parse_scene

MAX_TOKENS = 64  # the longest careful train of thought has about 45
ARMS = {"think": "visual_think", "direct": "visual_direct", "blank": "visual_think"}


@dataclass(frozen=True)
class ControlRow:
    """One sub-task, or all of them; fractions."""

    subtask: str
    num_problems: int
    chance: float
    prior: float
    blank: Interval
    direct: Interval
    think: Interval
    think_answered: float  # share of responses with an answer, right or wrong


def measure_controls(policy: Policy, problems: Sequence[Problem], *, samples: int = 1) -> list[ControlRow]:
    """A row for each sub-task and one for all, every response sampled at temperature 1."""
    rollouts = {
        arm: [
            rollout
            for group in ask(
                build_engine(EngineConfig(), policy),
                policy,
                TEMPLATES[template],
                [without_objects(problem) for problem in problems] if arm == "blank" else problems,
                samples=samples,
                sampling=SamplingConfig(max_tokens=MAX_TOKENS),
                rewards=RewardConfig(),
                address=("controls", arm),
                step=0,
            ).rollouts_PG
            for rollout in group
        ]
        for arm, template in ARMS.items()
    }
    subtasks = list(dict.fromkeys(problem.fields["subtask"] for problem in problems))
    return [control_row(name, problems, rollouts) for name in (*subtasks, "all")]


def control_row(subtask: str, problems: Sequence[Problem], rollouts: Mapping[str, Sequence[Rollout]]) -> ControlRow:
    """The row of a sub-task, or of "all"."""

    def belongs(problem: Problem) -> bool:
        return subtask in ("all", problem.fields["subtask"])

    mine = [problem for problem in problems if belongs(problem)]
    of = {arm: [r for r in rows if belongs(r.prompt.problem)] for arm, rows in rollouts.items()}
    shares = {arm: _accuracy(rows) for arm, rows in of.items()}
    return ControlRow(
        subtask,
        len(mine),
        chance=sum(1 / len(read_gold(problem.gold).choices) for problem in mine) / len(mine),
        prior=_prior(mine),
        blank=shares["blank"],
        direct=shares["direct"],
        think=shares["think"],
        think_answered=sum(r.grade.formatted for r in of["think"]) / len(of["think"]),
    )


def without_objects(problem: Problem) -> Problem:
    """The same question before empty scenes.  Raises ValueError for pictures that are not rendered."""
    if not all(image.startswith(PREFIX) for image in problem.images):
        raise ValueError(f"problem {problem.id!r}: only rendered pictures ({PREFIX}...) can be emptied")
    return replace(problem, images=tuple(Scene(parse_scene(image).kind, ()).reference for image in problem.images))


def _prior(problems: Sequence[Problem]) -> float:
    """The accuracy of naming, in each sub-task, the choice at the place that is right most often there."""
    places: dict[str, Counter[int]] = {}
    for problem in problems:
        places.setdefault(problem.fields["subtask"], Counter())[read_gold(problem.gold).answer] += 1
    return sum(max(counter.values()) for counter in places.values()) / len(problems)


def _accuracy(rollouts: Sequence[Rollout]) -> Interval:
    """Clustered by problem where it was asked more than once."""
    ids = [rollout.prompt.problem.id for rollout in rollouts]
    names, place = np.unique(ids, return_inverse=True)
    right = np.bincount(place, weights=[rollout.grade.correct for rollout in rollouts])
    total = np.bincount(place)
    if (total == 1).all():
        return wilson_interval(float(right.sum()), float(len(names)))
    return accuracy_interval(right, total)


def control_lines(rows: Sequence[ControlRow]) -> list[str]:
    """A Markdown table."""
    return [
        "| sub-task | n | chance | prior | blank picture | direct | think | answered |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {r.subtask} | {r.num_problems} | {r.chance:.2f} | {r.prior:.2f} | {_cell(r.blank)} | {_cell(r.direct)} "
            f"| **{_cell(r.think)}** | {r.think_answered:.2f} |"
            for r in rows
        ),
    ]


def _cell(share: Interval) -> str:
    return f"{share:.3f}"
