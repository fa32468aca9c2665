"""Responses to read: a few of each outcome, with reflection cues marked.

Responses are untrusted text; everything that leaves here is escaped.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from markupsafe import Markup, escape

from r1zero.analysis.ledger import with_outcome
from r1zero.facts.cues import POOLS, CuePool, find_cues
from r1zero.records import OUTCOMES, Outcome
from r1zero.reports.pictures import Shown, shown_pictures

SAMPLES = 10  # of each outcome
SHOWN_CHARACTERS = 12_000  # of a longer response the middle is left out, and said to be


@dataclass(frozen=True)
class Sample:
    problem_id: str
    problem: str
    prompt: str
    response: Markup  # escaped, cues in <mark>
    num_tokens: int
    num_cues: int
    extracted: str | None
    reason: str | None
    reward: float | None
    pictures: tuple[Shown, ...] = ()
    num_pictures: int = 0  # of the problem; not all may be shown


def pick_samples(
    evaluation: pl.DataFrame,
    pool: CuePool = POOLS["extended"],
    count: int = SAMPLES,
    folders: tuple[Path, ...] = (),
) -> dict[Outcome, list[Sample]]:
    """Up to `count` responses of each outcome, in an order that depends on the problem alone.

    So two evaluations of the same problems show the same ones as far as their outcomes allow.  `folders` are those of
    kept pictures.
    """
    frame = with_outcome(evaluation)
    picked: dict[Outcome, list[Sample]] = {}
    for outcome in OUTCOMES:
        rows = list(frame.filter(pl.col("outcome") == outcome).iter_rows(named=True))
        rows.sort(key=lambda row: (hashlib.sha256(str(row["problem_id"]).encode()).digest(), row["sample"]))
        picked[outcome] = [_sample(row, pool, folders) for row in rows[:count]]
    return picked


def _sample(row: dict, pool: CuePool, folders: tuple[Path, ...]) -> Sample:
    text = row["response"] or ""
    references = row.get("images") or []
    return Sample(
        problem_id=row["problem_id"] or "",
        problem=row["problem"] or "",
        prompt=row["prompt"] or "",
        response=mark_cues(shorten(text), pool),
        num_tokens=row["num_tokens"] or 0,
        num_cues=len(find_cues(text, pool)),
        extracted=row["extracted"],
        reason=row["reason"],
        reward=row["reward"],
        pictures=shown_pictures(references, folders),
        num_pictures=len(references),
    )


def shorten(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """The text, or its two ends with a note between them.

    >>> shorten("abcdefgh", limit=4)
    'ab\\n[... 4 characters left out ...]\\ngh'
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def mark_cues(text: str, pool: CuePool = POOLS["extended"]) -> Markup:
    """The text as HTML, escaped, with each reflection cue in a <mark>.

    >>> mark_cues("Wait, <b>")
    Markup('<mark>Wait</mark>, &lt;b&gt;')
    """
    pieces, end = [], 0
    for span in find_cues(text, pool):
        pieces += [escape(text[end : span.start]), Markup("<mark>{}</mark>").format(text[span.start : span.end])]
        end = span.end
    return Markup("").join([*pieces, escape(text[end:])])
