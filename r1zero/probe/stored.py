"""Stored responses read back as tokens, ready to be broken off."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from r1zero.models.load import Policy
from r1zero.models.vision_prompt import encode_prompt
from r1zero.probe.positions import TokenText
from r1zero.records import Problem, Prompt
from r1zero.store import write_atomically
from r1zero.tasks.templates import Template

NEEDED = ("response", "prompt", "gold", "correct", "problem_id")  # columns, besides the token ids
ORIGIN = ("run", "step", "checkpoint", "level")  # columns that continuations inherit


@dataclass(frozen=True)
class Stored:
    """A stored response with its tokens."""

    key: str  # unique among the responses that were read together
    prompt: Prompt
    tokens: TokenText  # without the end token
    ended: bool  # by an end token
    correct: bool
    origin: Mapping[str, Any]
    entropy_T: np.ndarray = field(default_factory=lambda: np.zeros(0))  # nats before each token, where it was read


def usable(rollouts: pl.DataFrame, template: Template) -> pl.DataFrame:
    """Rows to this template with everything that is needed, each under a `key` of its own."""
    rows = rollouts.filter(
        pl.col("token_ids").list.len() > 0,
        *(pl.col(name).is_not_null() for name in NEEDED),
        pl.col("template").is_null() | (pl.col("template") == template.name),
    )
    if rows.is_empty():
        raise ValueError(
            f"none of {rollouts.height} responses can be broken off: they need token ids, a grade and template "
            f"{template.name!r}; imported responses have no token ids: ask the model itself"
        )
    rows = rows.sort("problem_id", "temperature", "step", "sample", maintain_order=True)
    return rows.with_columns(key=pl.format("{}/{}", "problem_id", pl.int_range(pl.len()).over("problem_id")))


def spread(rows: pl.DataFrame, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """So many rows at random, one of each problem before the second of any."""
    order = list(range(rows.height))
    rng.shuffle(order)
    shuffled = rows[order].with_columns(turn=pl.int_range(pl.len()).over("problem_id"))
    return shuffled.sort("turn", maintain_order=True).head(count).to_dicts()


def read_rows(rows: Sequence[Mapping[str, Any]], policy: Policy, template: Template) -> tuple[list[Stored], int]:
    """The responses, and how many were left out since their tokens do not decode to their text."""
    read = [_stored(row, policy, template) for row in rows]
    kept = [one for one in read if one is not None]
    return kept, len(read) - len(kept)


def _stored(row: Mapping[str, Any], policy: Policy, template: Template) -> Stored | None:
    ids = tuple(row["token_ids"])
    ended = ids[-1] in policy.end_ids
    tokens = TokenText.of(policy.tokenizer, ids[:-1] if ended else ids)
    if not tokens.ids or not tokens.text.startswith(row["response"]):
        return None
    images = tuple(row.get("images") or ())
    problem = Problem(
        row["problem_id"], row["task"], row["problem"] or "", row["gold"], level=row.get("level"), images=images
    )
    prompt_ids = encode_prompt(policy, row["prompt"], images)
    prompt = Prompt(problem, template.name, row["prompt"], prompt_ids, images)
    origin = {name: row.get(name) for name in ORIGIN}
    return Stored(row["key"], prompt, tokens, ended, bool(row["correct"]), origin)


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a parquet file: all of it or nothing."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())
