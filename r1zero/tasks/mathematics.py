"""Questions with a mathematical answer, from any parquet or jsonl file or Hub data set: columns are found by name.

A gold is text: the answer itself, or a JSON object where the answer has parts

    {"answers": ["6630.65", "6630"], "ordered": false, "tolerance": 0.005, "unit": "km", "type": "Numerical"}

`answers` are alternatives of which the best counts; `tolerance` is absolute; keys that say nothing are left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1zero.grading.extract import extract
from r1zero.records import Problem
from r1zero.tasks.countdown import HELD_OUT, Split
from r1zero.tasks.datafiles import read_table, rows_at

Row = Mapping[str, Any]

# columns in the order of preference; upper and lower case are alike
QUESTIONS = ("problem", "question_concat", "question", "prompt", "input")
ANSWERS = ("answers", "answer", "final_answer", "expected_answer", "ground_truth", "gold", "solution")
NAMES = ("id", "unique_id", "problem_id")
SUBJECTS = ("subject", "subfield", "type")


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what; None where there is none.

    Example: Columns(question="problem", answer="answers", name="id", level="level", subject="subject")
    """

    question: str
    answer: str
    name: str | None
    level: str | None
    subject: str | None


def find_columns(names: Sequence[str], path: str) -> Columns:
    """Raises ValueError naming the columns there are and those that would do.

    >>> find_columns(["Question", "answer", "Level"], "a.jsonl")
    Columns(question='Question', answer='answer', name=None, level='Level', subject=None)
    """
    by_name = {name.lower(): name for name in reversed(names)}

    def first(wanted: Sequence[str]) -> str | None:
        return next((by_name[name] for name in wanted if name in by_name), None)

    question, answer = first(QUESTIONS), first(ANSWERS)
    for what, found, wanted in (("question", question, QUESTIONS), ("answer", answer, ANSWERS)):
        if found is None:
            raise ValueError(
                f"{path} has no column with the {what}: it has {', '.join(names) or 'none'}; "
                f"name one of them {', '.join(wanted[:-1])} or {wanted[-1]}"
            )
    return Columns(str(question), str(answer), first(NAMES), first(("level", "difficulty")), first(SUBJECTS))


# ---------------------------------------------------------------------------------------------------------------------
# Golds


def accepted(value: Any) -> list[str]:
    """Every accepted answer of a cell: text, a number, or a list of alternatives.

    What follows `####` (GSM8K) or stands in the last box (MATH's solutions) is the answer of a longer text.

    >>> accepted("3 + 4 = 7, in all.\\n#### 1,007"), accepted(142.0), accepted(["0.5", " 1/2 "])
    (['1007'], ['142'], ['0.5', '1/2'])
    """
    if isinstance(value, list | tuple):
        return [text for item in value for text in accepted(item)]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    text = str(value).strip() if value is not None and not isinstance(value, bool) else ""
    if "####" in text:
        text = text[text.rfind("####") + 4 :].strip().replace(",", "")
    elif "\\boxed" in text:
        text = extract(text, "boxed") or ""
    return [text] if text else []


def plain_gold(answers: Sequence[str], row: Row) -> str:
    """The answer, or its alternatives as JSON."""
    return gold_text(answers)


def gold_text(answers: Sequence[str], **facts: Any) -> str:
    """A gold: text where there is one answer and nothing more to say, else JSON.

    >>> gold_text(["3"]), gold_text(["0.5", "1/2"]), gold_text(["4.2"], tolerance=0.1, unit=None)
    ('3', '{"answers": ["0.5", "1/2"]}', '{"answers": ["4.2"], "tolerance": 0.1}')
    """
    distinct = list(dict.fromkeys(answers))
    stated = {name: value for name, value in facts.items() if value is not None}
    if len(distinct) == 1 and not stated and not distinct[0].startswith("{"):
        return distinct[0]
    return json.dumps({"answers": distinct} | stated, ensure_ascii=False)


# ---------------------------------------------------------------------------------------------------------------------
# Problems


def make_problems(
    table: Sequence[Row],
    columns: Columns,
    *,
    source: str,
    prefix: str,
    make_gold: Callable[[Sequence[str], Row], str] = plain_gold,
) -> list[Problem]:
    """One problem a row, with ids PREFIX/NAME that are unique.  Raises ValueError naming a row without an answer."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for number, row in enumerate(table):
        question = row[columns.question]
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"{source}, row {number}: {columns.question}={question!r} is no question")
        answers = accepted(row[columns.answer])
        if not answers:
            raise ValueError(f"{source}, row {number}: {columns.answer}={row[columns.answer]!r} holds no answer")
        name = str(row[columns.name]) if columns.name and row[columns.name] is not None else f"{number:05d}"
        name = name if name not in seen else f"{name}#{number}"
        seen.add(name)
        subject = row[columns.subject] if columns.subject else None
        problems.append(
            Problem(
                id=f"{prefix}/{name}",
                task="math",
                text=question,
                gold=make_gold(answers, row),
                fields={"subject": subject} if isinstance(subject, str) else {},
                level=_level(row[columns.level]) if columns.level else None,
            )
        )
    return problems


def _level(value: Any) -> float | None:
    """3 of 3, "3" and "Level 3"; None of anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    digits = re.search(r"\d+(?:\.\d+)?", value) if isinstance(value, str) else None
    return float(digits.group()) if digits else None


def read_problems(
    path: str, split: str, *, prefix: str, make_gold: Callable[[Sequence[str], Row], str] = plain_gold
) -> list[Problem]:
    """Every problem of a file or Hub split, in order.  Raises ValueError naming file, column or row at fault."""
    table = read_table(path, split)
    columns = find_columns(table.columns, path)
    if table.is_empty():
        raise ValueError(f"{path} holds no rows: give a data set with at least one problem")
    return make_problems(table.to_dicts(), columns, source=path, prefix=prefix, make_gold=make_gold)


def is_held_out(text: str) -> bool:
    """Whether a question belongs to evaluation: one in ten, by its letters and digits alone."""
    key = "".join(c for c in text.lower() if c.isalnum())
    return hashlib.sha256(key.encode()).digest()[0] % HELD_OUT == 0


@dataclass(frozen=True)
class FileMathematics:
    """Problems of a file.  `train` is shuffled anew each epoch by (seed, epoch); `eval` keeps the file's order."""

    path: str
    seed: int
    rows: dict[Split, list[Problem]] = field(repr=False)
    name: str = "math"

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start, ..., start + count - 1.  Raises ValueError when the split has too few."""
        return rows_at(self.path, self.rows[split], split, self.seed, start, count)


def read_mathematics(path: str, split: str, *, name: str, seed: int, whole_file: bool) -> FileMathematics:
    """The problems of a file or Hub split as a task; a tenth of them, by text, is held out unless `whole_file`."""
    rows = read_problems(path, split, prefix=name)
    if whole_file:
        return FileMathematics(path, seed, {"train": rows, "eval": rows}, name)
    held_out: dict[Split, list[Problem]] = {"train": [], "eval": []}
    for row in rows:
        held_out["eval" if is_held_out(row.text) else "train"].append(row)
    return FileMathematics(path, seed, held_out, name)
