"""Hand labels of responses: a sample by the detector's verdict, a jsonl file that grows by a line a label.

A line: {"digest": "00c1...", "question": "reflects", "label": true, "labeller": "ann", "stratum": "cue",
"stratum_size": 812, "seed": 0, "pool": "extended"}.  `label` is null where the response was skipped, and `undone` true
where an earlier label is taken back.  Of several lines on one response the last counts.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import polars as pl

from r1zero.config import nearest
from r1zero.facts.columns import digest
from r1zero.facts.cues import CuePool, has_cue
from r1zero.facts.trying import answers

QUESTIONS = {
    "answers": "Does it try to answer the question?",
    "reflects": "Does it question, check or revise its own work?",
    "correct": "Is its final answer right?",
}
ROWS = 4096  # of a table that are in memory at once


@dataclass(frozen=True)
class Candidate:
    """A response to be labelled."""

    digest: int
    problem: str
    gold: str
    response: str
    stratum: str  # what the detector says of it: "cue", "no cue", ...
    stratum_size: int = 0  # distinct responses of that stratum


@dataclass(frozen=True)
class Label:
    """One line of the file."""

    digest: int
    question: str
    label: bool | None  # None: skipped
    labeller: str = ""
    stratum: str = ""
    stratum_size: int = 0
    seed: int = 0
    pool: str = ""
    undone: bool = False


# ---------------------------------------------------------------------------------------------------------------------
# The sample


def sample_candidates(
    rollouts: pl.LazyFrame, question: str, pool: CuePool, *, num: int, seed: int = 0
) -> list[Candidate]:
    """`num` distinct responses, as many from each stratum as there are, in an order that depends on seed and texts.

    A larger `num` continues a smaller one.  The table streams past: what is kept are the chosen texts and a number for
    each distinct response.
    """
    sizes: dict[str, int] = {}
    kept: dict[str, list[tuple[int, int, Candidate]]] = {}  # heaps: the largest key on top, negated
    seen: set[int] = set()
    for row in _rows(rollouts):
        problem, response = row["problem"] or "", row["response"] or ""
        number = digest(problem, response)
        if number in seen:
            continue
        seen.add(number)
        stratum = stratum_of(question, row, pool)
        sizes[stratum] = sizes.get(stratum, 0) + 1
        heap, key = kept.setdefault(stratum, []), _key(seed, question, number)
        if len(heap) < num or -key > heap[0][0]:
            heapq.heappush(heap, (-key, number, Candidate(number, problem, row["gold"] or "", response, stratum)))
            if len(heap) > num:
                heapq.heappop(heap)
    shares = _shares({stratum: len(heap) for stratum, heap in kept.items()}, num)
    chosen = []
    for stratum, heap in kept.items():
        for negated, _, candidate in sorted(heap, key=lambda item: (-item[0], item[1]))[: shares[stratum]]:
            chosen.append((-negated, replace(candidate, stratum_size=sizes[stratum])))
    return [candidate for _, candidate in sorted(chosen, key=lambda item: (item[0], item[1].digest))]


def stratum_of(question: str, row: Mapping[str, Any], pool: CuePool) -> str:
    """What is known of a response before anybody looks at it."""
    response = row["response"] or ""
    if question == "reflects":
        return "cue" if has_cue(response, pool) else "no cue"
    if question == "answers":
        tries = answers(row["problem"] or "", response, formatted=bool(row["formatted"]))
        return "tries" if tries else "continues"
    return {True: "graded right", False: "graded wrong", None: "not graded"}[row["correct"]]


def _rows(rollouts: pl.LazyFrame) -> Iterator[dict[str, Any]]:
    frame = rollouts.select("problem", "gold", "response", "formatted", "correct")
    start = 0
    while True:
        part = frame.slice(start, ROWS).collect()
        yield from part.iter_rows(named=True)
        start += part.height
        if part.height < ROWS:
            return


def _key(seed: int, question: str, number: int) -> int:
    content = hashlib.blake2b(f"{seed} {question} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(content, "little")


def _shares(there: Mapping[str, int], num: int) -> dict[str, int]:
    """As equal as the strata's sizes allow: small ones are taken whole, and the others share what is left."""
    shares, left = {}, num
    for place, (stratum, size) in enumerate(sorted(there.items(), key=lambda item: item[1])):
        shares[stratum] = min(size, left // (len(there) - place))
        left -= shares[stratum]
    return shares


# ---------------------------------------------------------------------------------------------------------------------
# The file


def append_label(path: Path, label: Label) -> None:
    """Add one line; a line that a killed session left half-written is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {key: value for key, value in asdict(label).items() if key != "undone" or value}
    line = json.dumps(row | {"digest": f"{label.digest:016x}"}, ensure_ascii=False) + "\n"
    with open(path, "a+b") as handle:
        handle.seek(0)
        content = handle.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            handle.truncate(whole)
        handle.write(line.encode())


def label_lines(path: Path) -> list[Label]:
    """Every line of a file of labels.  Raises ValueError naming the first that is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"no labels at {path}: make some with `r1zero label`") from None
    lines = content.split(b"\n")
    return [_parse(path, number, line) for number, line in enumerate(lines[:-1], start=1) if line.strip()]


def _parse(path: Path, number: int, line: bytes) -> Label:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} is not JSON ({error}): remove it") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where} is not a JSON object: remove it")
    missing = [key for key in ("digest", "question", "label") if key not in row]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}: a label has digest, question and label")
    if row["question"] not in QUESTIONS:
        raise ValueError(f"{where}: question {row['question']!r}: {nearest(str(row['question']), QUESTIONS)}")
    if row["label"] is not None and not isinstance(row["label"], bool):
        raise ValueError(f"{where}: label {row['label']!r} is not true, false or null")
    try:
        number_of = int(str(row["digest"]), 16)
    except ValueError:
        number_of = -1
    if not 0 <= number_of < 1 << 64:
        raise ValueError(f"{where}: digest {row['digest']!r} is not 16 hexadecimal digits")
    known = {field.name: row[field.name] for field in fields(Label) if row.get(field.name) is not None}
    return Label(**{**known, "digest": number_of, "label": row["label"]})


def latest(labels: Iterable[Label]) -> dict[tuple[str, int], Label]:
    """What counts for each question and response: the last line, unless it was undone."""
    found: dict[tuple[str, int], Label] = {}
    for label in labels:
        found.pop((label.question, label.digest), None)
        if not label.undone:
            found[label.question, label.digest] = label
    return found


def read_labels(path: str | Path) -> pl.DataFrame:
    """Labels as verdicts: `digest` and label_answers, label_reflects, label_correct; null where nothing was said.

    What `facts.with_verdicts` joins.  Raises ValueError naming a line that is no label.
    """
    rows: dict[int, dict[str, Any]] = {}
    for (question, number), label in latest(label_lines(Path(path))).items():
        if label.label is not None:
            rows.setdefault(number, {"digest": number})[f"label_{question}"] = label.label
    schema = {"digest": pl.UInt64, **dict.fromkeys((f"label_{question}" for question in QUESTIONS), pl.Boolean)}
    return pl.DataFrame(list(rows.values()), schema=schema)
