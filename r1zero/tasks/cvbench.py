"""CV-Bench (Cambrian-1, arXiv:2406.16860; `nyu-visionx/CV-Bench` on the Hub): counts, relations, depth, distance.

2,638 questions on photos with two to six lettered choices.  Count (788) and Relation (650) are about the picture (2D),
Depth (600) and Distance (600) about the scene (3D).
"""

from __future__ import annotations

import re

from r1zero.config import TaskConfig
from r1zero.grading.choices import choice_gold
from r1zero.records import Problem
from r1zero.tasks.visual_rows import BadRowError, Row, VisualRows, read_visual

HUB = "nyu-visionx/CV-Bench"
SIZE = 2638
SUBTASKS = ("Count", "Relation", "Depth", "Distance")
_LETTER = re.compile(r"\s*\(?([A-Z])\)?\.?\s*")


def read_cvbench(config: TaskConfig, *, seed: int, whole_file: bool) -> VisualRows:
    """CV-Bench as a task: a file, a folder with its two files, or a Hub id; `:2D` and `:3D` name its halves."""
    return read_visual(config, config.path or HUB, make_problem, name="cvbench", seed=seed, whole_file=whole_file)


def make_problem(row: Row, number: int, images: tuple[str, ...]) -> Problem:
    """A row as a problem, asked in the words of its own prompt.  Raises BadRowError saying what is wrong with it."""
    question, choices, answer = row.get("question"), row.get("choices"), row.get("answer")
    if not isinstance(question, str) or not question.strip():
        raise BadRowError("no question", f"question={question!r}")
    if not isinstance(choices, list | tuple) or not choices:
        raise BadRowError("choices", f"choices={choices!r} must be a list with at least one")
    if row.get("task") not in SUBTASKS:
        raise BadRowError("sub-task", f"task={row.get('task')!r} is none of {', '.join(SUBTASKS)}")
    if len(images) != 1:
        raise BadRowError("picture is missing", f"there are {len(images)} and there must be one")
    letter = _LETTER.fullmatch(answer) if isinstance(answer, str) else None
    place = ord(letter[1]) - ord("A") if letter else -1
    if not 0 <= place < len(choices):
        raise BadRowError("choices", f"the answer {answer!r} is not among the {len(choices)} choices")
    try:
        gold = choice_gold(choices[place], choices)
    except ValueError as error:
        raise BadRowError("choices", str(error)) from None
    name = row.get("idx")
    prompt = row.get("prompt")
    return Problem(
        id=f"cvbench/{number if name is None else name}",
        task="choices",
        text=prompt if isinstance(prompt, str) and prompt.strip() else f"{question} {lettered(list(choices))}",
        gold=gold,
        fields={
            "question": question,
            "choices": list(choices),
            "subtask": row["task"],
            "dimension": row.get("type"),
            "source": row.get("source"),
        },
        images=images,
    )


def lettered(choices: list[str]) -> str:
    """Choices as CV-Bench's prompts show them.

    >>> lettered(["3", "2"])
    'Select from the following choices.\\n(A) 3\\n(B) 2'
    """
    lines = [f"({chr(ord('A') + place)}) {choice}" for place, choice in enumerate(choices)]
    return "\n".join(["Select from the following choices.", *lines])
