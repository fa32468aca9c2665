"""A user's own questions with pictures, in any of three shapes:

    VLM-R1         {"image": "a.jpg" or [..], "conversations": [{"from": "human", "value": "<image>..."}, {"from": "gpt", ..}]}
    LLaMA-Factory  {"images": ["a.jpg"], "messages": [{"role": "user", "content": "<image>..."}, {"role": "assistant", ..}]}
    EasyR1         {"images": [..], "problem": "<image>...", "answer": "3"}

Rows without pictures may stand among them.  A column `choices` or `options` with a list makes a multiple choice, whose
answer is the text or the letter of one; every other answer is compared as mathematics is, which knows words, too.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1zero.config import TaskConfig
from r1zero.grading.choices import choice_gold
from r1zero.grading.extract import answer_first
from r1zero.records import Problem
from r1zero.tasks.mathematics import accepted, gold_text
from r1zero.tasks.visual_rows import BadRowError, Row, VisualRows, read_visual

_QUESTIONS, _ANSWERS = ("problem", "question", "prompt"), ("answer", "solution", "ground_truth")
_USER, _ASSISTANT = ("user", "human"), ("assistant", "gpt")
_LETTER = re.compile(r"\s*\(?([A-Za-z])\)?\.?\s*")


def read_visual_file(config: TaskConfig, *, seed: int, whole_file: bool) -> VisualRows:
    """The task of a file in one of the three shapes; which one is seen row by row."""
    if config.path is None:
        raise ValueError("task visual_file needs task.path: a parquet, json or jsonl file, or a Hub id")
    return read_visual(config, config.path, make_problem, name="visual_file", seed=seed, whole_file=whole_file)


def make_problem(row: Row, number: int, images: tuple[str, ...]) -> Problem:
    """A row as a problem.  Raises BadRowError saying what is wrong with it."""
    question, answer = _conversation(row) if _turns(row) is not None else _columns(row)
    if not isinstance(question, str) or not question.strip():
        raise BadRowError("no question", f"{question!r:.80}")
    choices = next((row[name] for name in ("choices", "options") if row.get(name) is not None), None)
    answers = accepted(_unwrapped(answer))
    if not answers:
        raise BadRowError("no answer", f"{answer!r:.80}")
    task, gold = ("math", gold_text(answers)) if choices is None else ("choices", _choice(answers[0], choices))
    name = row.get("id")
    return Problem(
        id=f"visual_file/{number:06d}" if name is None else f"visual_file/{number:06d}-{name}",
        task=task,
        text=question,
        gold=gold,
        fields={"choices": list(choices)} if choices is not None else {},
        images=images,
    )


def _turns(row: Row) -> Any:
    return row.get("messages") if row.get("messages") is not None else row.get("conversations")


def _conversation(row: Row) -> tuple[Any, Any]:
    """Question and answer of a conversation of one turn; what the system says is the template's business."""
    said: list[tuple[str, Any]] = []
    turns = _turns(row)
    for turn in turns if isinstance(turns, list) else [turns]:
        if not isinstance(turn, Mapping):
            raise BadRowError("conversation", f"{turn!r:.60} is no message")
        who, what = str(turn.get("role") or turn.get("from")), turn.get("content", turn.get("value"))
        if who in _USER + _ASSISTANT:
            said.append(("user" if who in _USER else "assistant", what))
    if [who for who, _ in said] != ["user", "assistant"]:
        raise BadRowError("conversation", f"{len(said)} messages; there must be one question and one answer")
    return said[0][1], said[1][1]


def _columns(row: Row) -> tuple[Any, Any]:
    found = [next((name for name in names if row.get(name) is not None), None) for names in (_QUESTIONS, _ANSWERS)]
    if found[0] is None or found[1] is None:
        raise BadRowError(
            "shape",
            f"columns {', '.join(row)} hold no `messages`, no `conversations`, and not both a question "
            f"({', '.join(_QUESTIONS)}) and an answer ({', '.join(_ANSWERS)})",
        )
    return row[found[0]], row[found[1]]


def _unwrapped(answer: Any) -> Any:
    """What an answer's tags contain, where it has some."""
    inside = answer_first(answer) if isinstance(answer, str) else None
    return answer if inside is None else inside


def _choice(answer: str, choices: Any) -> str:
    """A gold from the text or the letter of a choice."""
    if not isinstance(choices, list | tuple):
        raise BadRowError("choices", f"{choices!r:.80} must be a list")
    letter = _LETTER.fullmatch(answer)
    place = ord(letter[1].upper()) - ord("A") if letter and answer not in choices else -1
    try:
        return choice_gold(choices[place] if 0 <= place < len(choices) else answer, list(choices))
    except ValueError as error:
        raise BadRowError("choices", str(error)) from None
