"""Does a model see?  Its accuracy on visual questions beside what is reached without looking.

chance    one of the choices at random
prior     always the same choice: the one that is right most often, by its place among the choices
blank     the model itself before pictures with nothing in them
direct    the model asked to answer at once
think     the model asked to think first
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from r1zero.config import EngineConfig, RewardConfig, SamplingConfig
from r1zero.engines import build_engine
from r1zero.evaluation.ask import ask
from r1zero.evaluation.subtasks import SubtaskRow, subtask_rows
from r1zero.models.load import Policy
from r1zero.records import Problem, Rollout
from r1zero.tasks.templates import TEMPLATES
from r1zero.tasks.visual.scene import PREFIX, Scene, parse_scene

MAX_TOKENS = 64  # the longest careful train of thought has about 50
ARMS = {"think": "visual_think", "direct": "visual_direct", "blank": "visual_think"}


@dataclass(frozen=True)
class ControlRow:
    """One sub-task, or the total; fractions."""

    blank: SubtaskRow
    direct: SubtaskRow
    think: SubtaskRow


def measure_controls(policy: Policy, problems: Sequence[Problem], *, samples: int = 1) -> list[ControlRow]:
    """A row for each sub-task and one for all, every response sampled at temperature 1."""
    return control_rows(
        problems,
        {
            arm: ask(
                build_engine(EngineConfig(), policy),
                policy,
                TEMPLATES[template],
                [without_objects(problem) for problem in problems] if arm == "blank" else problems,
                samples=samples,
                sampling=SamplingConfig(max_tokens=MAX_TOKENS),
                rewards=RewardConfig(),
                address=("controls", arm),
                step=0,
            ).rollouts
            for arm, template in ARMS.items()
        },
    )


def control_rows(problems: Sequence[Problem], rollouts: Mapping[str, Sequence[Rollout]]) -> list[ControlRow]:
    """The rows of the arms side by side.  `rollouts` has a key for each of ARMS."""
    rows = {arm: subtask_rows(problems, _table(rollouts[arm])) for arm in ARMS}
    return [ControlRow(**dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)]


def _table(rollouts: Sequence[Rollout]) -> pl.DataFrame:
    facts = [(r.prompt.problem.id, r.grade.correct, r.grade.extracted, r.response.text) for r in rollouts]
    schema = {"problem_id": pl.String, "correct": pl.Boolean, "extracted": pl.String, "response": pl.String}
    return pl.DataFrame(facts, schema=schema, orient="row")


def without_objects(problem: Problem) -> Problem:
    """The same question before empty scenes.  Raises ValueError for pictures that are not rendered."""
    if not all(image.startswith(PREFIX) for image in problem.images):
        raise ValueError(f"problem {problem.id!r}: only rendered pictures ({PREFIX}...) can be emptied")
    return replace(problem, images=tuple(Scene(parse_scene(image).kind, ()).reference for image in problem.images))


def control_lines(rows: Sequence[ControlRow]) -> list[str]:
    """A Markdown table."""
    return [
        "| sub-task | n | chance | prior | blank picture | direct | think | answered |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {r.think.name} | {r.think.problems} | {r.think.chance:.2f} | {r.think.prior:.2f} "
            f"| {r.blank.accuracy} | {r.direct.accuracy} | **{r.think.accuracy}** | {r.think.read.estimate:.2f} |"
            for r in rows
        ),
    ]
