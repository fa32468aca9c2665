"""SAT (arXiv:2412.07755; `array/SAT` on the Hub): what moved, what is where, what would one see, of rendered rooms.

Rows hold one picture (static) or two (before and after a motion), a question, the candidate answers as a list and the
right one.  The wording is VisualThinker-R1-Zero's; its preparation takes the first 15,000 rows, leaves out those with
two pictures (`task.num_rows = 15000`, `task.max_pictures = 1`), shuffles without a seed and splits answers at commas,
which breaks those that contain one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from r1zero.config import TaskConfig
from r1zero.grading.choices import choice_gold
from r1zero.records import Problem
from r1zero.tasks.visual_rows import BadRowError, Row, VisualRows, read_visual

HUB = "array/SAT"


def read_sat(config: TaskConfig, *, seed: int, whole_file: bool) -> VisualRows:
    """SAT as a task; the order of choices follows from the seed and the row."""

    def make(row: Row, number: int, images: tuple[str, ...]) -> Problem:
        return make_problem(row, number, images, seed)

    return read_visual(config, config.path or HUB, make, name="sat", seed=seed, whole_file=whole_file)


def make_problem(row: Row, number: int, images: tuple[str, ...], seed: int) -> Problem:
    """A row as a problem.  Raises BadRowError saying what is wrong with it."""
    question, answers, right = row.get("question"), row.get("answers"), row.get("correct_answer")
    if not isinstance(question, str) or not question.strip():
        raise BadRowError("no question", f"question={question!r}")
    if not isinstance(answers, list | tuple):
        raise BadRowError("choices", f"answers={answers!r:.80} must be a list: text cannot be split at commas safely")
    if not images:
        raise BadRowError("picture is missing", "image_bytes is empty")
    choices = list(dict.fromkeys(answers))
    random.Random(f"sat {seed} {number}").shuffle(choices)
    try:
        gold = choice_gold(right, choices, letters=False)  # type: ignore[arg-type]
    except ValueError as error:
        raise BadRowError("choices", str(error)) from None
    return Problem(
        id=f"sat/{number:06d}",
        task="choices",
        text=f"Answer in natural language. {question.strip()} Choose between the following options: {listed(choices)}",
        gold=gold,
        fields={"question": question, "choices": choices, "subtask": str(row.get("question_type") or "other")},
        images=images,
    )


def listed(choices: Sequence[str]) -> str:
    """Choices in a sentence.

    >>> listed(["left", "right", "up, then left"]), listed(["left"])
    ('left, right or up, then left', 'left')
    """
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
