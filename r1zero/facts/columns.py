"""The columns of facts: one small row a response, from which every section of a probe is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from r1zero.facts.cues import POOLS, CuePool
from r1zero.facts.profile import FEATURES
from r1zero.facts.trajectory import TRANSITIONS
from r1zero.records import OUTCOMES

FACT_POOLS = (POOLS["extended"], POOLS["oat-zero"], POOLS["understand-r1-zero"])  # the first is the chosen one

# What is read off a stored row, off its text, and what labels and judges say about it.  Unknown is null throughout.
_STORED: dict[str, Any] = {
    "model": pl.String,  # checkpoint, else run, else source file
    "run": pl.String,
    "step": pl.Int64,
    "task": pl.String,
    "template": pl.String,
    "temperature": pl.Float64,
    "problem_id": pl.String,
    "sample": pl.Int64,
    "level": pl.Float64,  # difficulty of the problem
    "digest": pl.UInt64,  # of problem and response: what verdicts are joined by
    "correct": pl.Boolean,
    "formatted": pl.Boolean,
    "truncated": pl.Boolean,  # cut at the token limit
    "outcome": pl.Enum(OUTCOMES),  # null where correct is
    "num_tokens": pl.Int32,
    "num_chars": pl.Int32,
}
_READ: dict[str, Any] = {
    "answered": pl.Boolean,  # tries to answer, rather than continue the text
    "cues": pl.Int32,  # of the chosen pool; cues_NAME follow for the others
    "first_cue": pl.Int32,  # the character where it starts
    "keywords": pl.List(pl.Int16),  # places in the chosen pool's list, in the order of the text
    "candidates": pl.Int16,  # answers stated on the way
    "transition": pl.Enum(TRANSITIONS),  # from the first stated answer to the graded one
    "first_answer_end": pl.Int32,  # the character where the first stated answer ends
    "answer": pl.UInt64,  # digest of the final answer to vote with; 0 is right
    **dict.fromkeys(FEATURES, pl.Float32),  # of the sampled tokens' negative log-probabilities, in nats
}
VERDICTS: dict[str, Any] = {
    "judge_answers": pl.Boolean,
    "judge_category": pl.Int8,
    "label_answers": pl.Boolean,
    "label_reflects": pl.Boolean,
    "label_correct": pl.Boolean,
}


def pool_column(pool: CuePool) -> str:
    """The column that counts the cues of a further pool.

    >>> pool_column(POOLS["oat-zero"])
    'cues_oat_zero'
    """
    return "cues_" + pool.name.replace("-", "_")


def fact_schema(pools: Sequence[CuePool] = FACT_POOLS) -> pl.Schema:
    """Columns and types of facts.  Raises ValueError when two further pools bear one name."""
    further = [pool_column(pool) for pool in pools[1:]]
    if not pools or len(set(further)) < len(further):
        names = ", ".join(pool.name for pool in pools)
        raise ValueError(f"cue pools [{names}]: give at least one, and each a name of its own")
    return pl.Schema({**_STORED, **_READ, **dict.fromkeys(further, pl.Int32), **VERDICTS})


def facts_frame(rows: Sequence[Mapping[str, Any]], pools: Sequence[CuePool] = FACT_POOLS) -> pl.DataFrame:
    """Facts made by hand: what a row does not say is null.  Raises ValueError for a column that facts do not have.

    >>> facts_frame([{"model": "m", "problem_id": "p", "correct": True}])["correct"].to_list()
    [True]
    """
    schema = fact_schema(pools)
    unknown = {name for row in rows for name in row} - set(schema)
    if unknown:
        raise ValueError(f"facts have no column {', '.join(sorted(unknown))}: the columns are {', '.join(schema)}")
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=schema)


def digest(problem: str, response: str) -> int:
    """A number for a response to a problem, by which verdicts find it: 8 bytes of BLAKE2b over "problem NUL response".

    Equal responses to one problem have one digest, and share their verdicts.

    >>> digest("1+1?", "2") == digest("1+1?", "2") != digest("1+1?2", "")
    True
    """
    return text_digest(f"{problem}\0{response}")


def text_digest(text: str) -> int:
    """8 bytes of BLAKE2b as a number; never 0, which means something else in facts."""
    content = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(content, "little") or 1
