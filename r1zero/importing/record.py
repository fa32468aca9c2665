"""What every format becomes: one record a response, filled from the fields of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from r1zero.importing.values import (
    count,
    finish_reason,
    gold,
    ids,
    level,
    number,
    numbers,
    text,
    verdict,
)

Fields = Mapping[str, Any]  # a row as its file has it


@dataclass(frozen=True)
class Source:
    """A file, and what its name and folder say about all of its rows.

    Example: Source(Path("Qwen__Qwen2.5-Math-1.5B/samples_gsm8k_2025-01-01T00-00-00.jsonl"), "gsm8k", "Qwen/...")
    """

    path: Path
    dataset: str | None = None
    model: str | None = None
    template: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    step: int | None = None

    @property
    def run(self) -> str:
        """What the responses of a file are called where nobody names their model: its name, or of a step its folder's.

        >>> Source(Path("runs/ppo/completions/completions_00010.parquet")).run, Source(Path("a/base.jsonl")).run
        ('ppo', 'base')
        """
        place = self.path.resolve()
        if not re.fullmatch(r"(?:completions_)?\d+(?:_\w+)?", place.stem):
            return place.stem
        folders = (folder.name for folder in place.parents if folder.name not in ("completions", "eval_results"))
        return next(folders, "") or place.stem


@dataclass(frozen=True)
class Imported:
    """One response, with what its source knows; None is unknown.

    Example: Imported("so \\\\boxed{4}", problem="2 + 2?", gold="4", correct=True, step=10)
    """

    response: str
    problem: str | None = None
    prompt: str | None = None
    gold: str | None = None  # as our graders read golds: text, JSON where there are alternatives or parts
    problem_id: str | None = None  # the source's own, unique in its dataset
    dataset: str | None = None
    run: str | None = None
    model: str | None = None
    template: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    step: int | None = None
    sample: int | None = None
    correct: bool | None = None
    formatted: bool | None = None
    extracted: str | None = None
    reward: float | None = None
    rated: float | None = None  # a score that is a verdict as long as all of its source's are 0 or 1
    advantage: float | None = None
    finish_reason: str | None = None
    num_tokens: int | None = None
    level: float | None = None
    token_ids: tuple[int, ...] | None = field(default=None, repr=False)
    logprobs: tuple[float, ...] | None = field(default=None, repr=False)


COLUMNS: dict[str, Callable[[Any], Any]] = {
    "response": text, "problem": text, "prompt": text, "gold": gold, "problem_id": text, "dataset": text,
    "run": text, "model": text, "template": text, "temperature": number, "top_p": number, "seed": count, "step": count,
    "sample": count, "correct": verdict, "formatted": verdict, "extracted": text, "reward": number, "rated": number,
    "advantage": number, "finish_reason": finish_reason, "num_tokens": count, "level": level, "token_ids": ids,
    "logprobs": numbers,
}  # fmt: skip
# columns that a row with several responses may hold a list of
PER_RESPONSE = frozenset(COLUMNS) - {
    "response", "problem", "prompt", "gold", "problem_id", "dataset", "run", "model", "template", "temperature",
    "top_p", "step", "level",
}  # fmt: skip


def value_of(column: str, key: str, value: Any) -> Any:
    """`value` as the column has it.  Raises ValueError naming the field it stood in."""
    try:
        return COLUMNS[column](value)
    except ValueError as error:
        raise ValueError(f"`{key}` {error}") from None


def needed(row: Fields, *names: str) -> None:
    """Raises ValueError naming the first of these fields that a row lacks."""
    for name in names:
        if name not in row:
            raise ValueError(f"no `{name}`")


def fill(responses: Sequence[Imported], row: Fields, places: Mapping[str, str]) -> list[Imported]:
    """The responses of a row with further columns from its fields: `places` says column -> field.

    A row with several responses may hold a list with one value each.  Raises ValueError naming field and value.
    """
    found: list[dict[str, Any]] = [{} for _ in responses]
    for column, key in places.items():
        values = _spread(row[key], column, len(found))
        if len(values) != len(found):
            raise ValueError(f"`{key}` has {len(values)} values for {len(found)} responses")
        for own, value in zip(found, values, strict=True):
            own[column] = value_of(column, key, value)
    return [replace(one, **own) for one, own in zip(responses, found, strict=True)]


def _spread(value: Any, column: str, num_responses: int) -> list[Any]:
    """A row's value for each of its responses; lists of lists where the column itself holds lists."""
    listed = column in PER_RESPONSE and isinstance(value, list | tuple)
    if listed and column in ("token_ids", "logprobs"):
        listed = any(isinstance(item, list | tuple) for item in value)
    return list(value) if listed else [value] * num_responses


def problem_name(one: Imported) -> str:
    """The problem's stable name, under its dataset where that is known: its id, else a digest of its text.

    >>> problem_name(Imported("", problem="2 + 2?", dataset="math")), problem_name(Imported("", problem_id="7"))
    ('math/485a0cd90586969e', '7')
    """
    name = one.problem_id
    if name is None:
        name = blake2b((one.problem or one.prompt or "").encode(), digest_size=8).hexdigest()
    return f"{one.dataset}/{name}" if one.dataset and not name.startswith(f"{one.dataset}/") else name
