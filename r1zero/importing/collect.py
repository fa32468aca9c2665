"""Foreign files into a directory that reads like an evaluation's: DIR/config.json and DIR/eval/part-000000.parquet.

Rows are read, graded and written a part at a time, into a folder beside DIR that takes its name only when everything is
there: whatever stops an import, no half of it is left to be read.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from r1zero.config import nearest
from r1zero.grading import EXTRACTORS, VERIFIERS, extract, task_of
from r1zero.grading.batch import grade_many
from r1zero.importing.formats import FORMATS, Format, files_at, guess
from r1zero.importing.record import COLUMNS, Imported, Source, fill, problem_name
from r1zero.importing.rows import READERS, RowError
from r1zero.importing.verdicts import (
    FAULTY,
    IMPORTED,
    WHY_NOT,
    Choices,
    ScoresVaryError,
    judged,
    rule_of,
    submission,
)
from r1zero.records import Grade
from r1zero.store import SCHEMA, jsonable, read_config, write_config, write_frame

PART_ROWS, PART_CHARACTERS = 4096, 1 << 25  # of responses and prompts, that are in memory at once
MAPPED = tuple(name for name in COLUMNS if name != "rated")
_FROM_SOURCE = ("run", "dataset", "model", "template", "temperature", "top_p", "seed", "step")


@dataclass
class Counts:
    """What became of an import; fractions are for readers to make."""

    responses: int = 0
    problems: int = 0
    imported: Counter[str] = field(default_factory=Counter)  # verdicts that came along: right, wrong
    graded: Counter[str] = field(default_factory=Counter)  # ours: right, wrong
    ungraded: Counter[str] = field(default_factory=Counter)  # no verdict, and why
    scores: bool = True  # whether scores count as verdicts
    others: Counter[str] = field(default_factory=Counter)  # rows left out, by the filter that made them


def import_rollouts(
    paths: Sequence[Path], out: Path, choices: Choices, on_rows: Callable[[int], None] = lambda count: None
) -> Counts:
    """Bring files into `out`; what they came to is returned, and stored in its config.json.

    `on_rows` is called with the number of responses so far.  Raises ValueError naming a wrong file, its first bad row
    and what was expected, or what `out` holds.
    """
    check(choices)
    files = opened(paths, choices)
    sources = [{"path": str(file), "bytes": file.stat().st_size, "sha256": sha256(file)} for file, _ in files]
    check_out(out, sources)
    place = out.resolve()
    staging = place.with_name(f".{place.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        try:
            counts = write(files, staging, choices, on_rows, scores=True)
        except ScoresVaryError:
            shutil.rmtree(staging, ignore_errors=True)
            counts = write(files, staging, choices, on_rows, scores=False)
        if not counts.responses:
            raise ValueError(f"{', '.join(map(str, paths))}: no responses")
        write_config(staging, saved_config(paths, files, sources, choices, counts))
        publish(staging, place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return counts


def check(choices: Choices) -> None:
    """Raises ValueError for a choice that is none."""
    for name, value, known in (
        ("from", choices.format, ("auto", *FORMATS)),
        ("rule", choices.rule, EXTRACTORS),
        ("task", choices.task, VERIFIERS),
        *(("map", column, MAPPED) for column in choices.map),
    ):
        if value is not None and value not in known:
            raise ValueError(f"--{name} {value}: {nearest(value, known)}")
    if "response" in choices.map and not (choices.format in FORMATS and FORMATS[choices.format].is_table):
        raise ValueError("--map response=...: only with --from jsonl or --from csv; other formats say where it stands")


# ---------------------------------------------------------------------------------------------------------------------
# Files and directories


def opened(paths: Sequence[Path], choices: Choices) -> list[tuple[Path, str]]:
    """(file, format) of everything that is to be read; a file that is named twice counts once."""
    found: dict[Path, tuple[Path, str]] = {}
    for path in paths:
        suffixes = FORMATS[choices.format].suffixes if choices.format != "auto" else tuple(READERS)
        for file in files_at(path, suffixes):
            if file.stat().st_size == 0:
                raise ValueError(f"{file} is empty")
            kind = guess(file) if choices.format == "auto" else choices.format
            found.setdefault(file.resolve(), (file, kind))
    return list(found.values())


def sha256(file: Path) -> str:
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_out(out: Path, sources: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError where `out` holds something else than an import of the same files."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / "config.json").is_file():
        raise ValueError(f"{out} is not empty and holds no import: choose another directory with -o")
    there = read_config(out)
    if there.get("verb") != "import":
        raise ValueError(f"{out} holds a {there.get('verb')} run, not an import: choose another directory with -o")
    before = [source.get("sha256") for source in there.get("sources") or []]
    if sorted(map(str, before)) != sorted(source["sha256"] for source in sources):
        raise ValueError(f"{out} holds an import of other files: choose another directory with -o, or remove it")


def publish(staging: Path, out: Path) -> None:
    """Put what is whole in its place; of an import that stands there only its rollouts and config change."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        staging.rename(out)
        return
    if (out / "eval").exists():
        (out / "eval").rename(staging / "before")
    (staging / "eval").rename(out / "eval")
    (staging / "config.json").replace(out / "config.json")


def saved_config(
    paths: Sequence[Path],
    files: Sequence[tuple[Path, str]],
    sources: Sequence[Mapping[str, Any]],
    choices: Choices,
    counts: Counts,
) -> dict[str, Any]:
    """What config.json says: where everything came from, and what became of it."""
    named = [{**source, "format": kind} for source, (_, kind) in zip(sources, files, strict=True)]
    return {
        "verb": "import",
        "config": {"paths": [str(path) for path in paths], **jsonable(choices)},
        "sources": named,
        "counts": jsonable(counts),
        "versions": {"r1zero": version("r1zero"), "polars": pl.__version__},
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def write(
    files: Sequence[tuple[Path, str]],
    folder: Path,
    choices: Choices,
    on_rows: Callable[[int], None],
    *,
    scores: bool,
) -> Counts:
    """Write every response as parts in `folder`/eval.  Raises ScoresVaryError where `scores` cannot be verdicts."""
    counts, seen, problems = Counts(scores=scores), Counter[int](), set[int]()
    rows: list[dict[str, Any]] = []
    parts = characters = 0

    def flush() -> None:
        frame = pl.DataFrame({name: [row.get(name) for row in rows] for name in SCHEMA}, schema=SCHEMA)
        write_frame(folder / "eval" / f"part-{parts:06d}.parquet", frame)

    responses = judged(read_all(files, choices, counts), choices, scores=scores)
    for one, grade in grade_many(responses, partial(submission, choices=choices), workers=choices.workers):
        row = store_row(one, grade, choices, counts)
        key = hash(tuple(row[name] for name in ("run", "step", "checkpoint", "template", "temperature", "problem_id")))
        row["sample"] = seen[key] if one.sample is None else one.sample
        seen[key] += 1
        problems.add(hash(row["problem_id"]))
        rows.append(row)
        characters += len(one.response) + len(one.prompt or "")
        counts.responses, counts.problems = counts.responses + 1, len(problems)
        if len(rows) == PART_ROWS or characters >= PART_CHARACTERS:
            flush()
            on_rows(counts.responses)
            rows, characters, parts = [], 0, parts + 1
    if rows:
        flush()
        on_rows(counts.responses)
    return counts


def read_all(files: Sequence[tuple[Path, str]], choices: Choices, counts: Counts) -> Iterator[Imported]:
    """Every response of the files, with what their names say where the rows say nothing."""
    for file, kind in files:
        form = FORMATS[kind]
        source = form.source(file)
        wanted, first = choices.filter, True
        rows = form.rows(file)
        while True:
            place, there = "", ""
            try:
                row = next(rows, None)
                if row is None:
                    break
                place, there = f"{row.place}: ", fields_of(row.fields)
                if form.variant is not None:
                    variant = form.variant(row.fields)
                    if first and wanted is None:
                        wanted = variant
                    if variant != wanted:
                        counts.others[str(variant)] += 1
                        continue
                responses = read_row(form, row.fields, source, choices)
            except RowError as error:
                raise ValueError(f"{file}, {error}. Expected {form.expected}") from None
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file}, {place}{error}{there}. Expected {form.expected}") from None
            first = False
            for one in responses:
                known = {name: getattr(source, name) for name in _FROM_SOURCE if getattr(one, name) is None}
                yield replace(one, **known) if any(value is not None for value in known.values()) else one


def read_row(form: Format, fields: Mapping[str, Any], source: Source, choices: Choices) -> list[Imported]:
    """The responses of a row, `--map` over what the format finds."""
    missing = next((key for key in choices.map.values() if key not in fields), None)
    if missing is not None:
        column = next(column for column, key in choices.map.items() if key == missing)
        raise ValueError(f"no `{missing}` (from --map {column}={missing})")
    if form.is_table:
        return form.read(fields, source, choices.map)
    return fill(form.read(fields, source), fields, choices.map)


def fields_of(fields: Mapping[str, Any]) -> str:
    return f"; the row has {', '.join(map(repr, list(fields)[:20])) or 'nothing'}"


def store_row(one: Imported, grade: Grade | ValueError, choices: Choices, counts: Counts) -> dict[str, Any]:
    """A response as a row of the store, and counted.

    Where a verdict came along and the source does not say what answer it found, our rule says; a right answer counts as
    formatted whatever it says.
    """
    row = {name: getattr(one, name) for name in SCHEMA if hasattr(one, name)}
    model = choices.model or one.model
    if one.num_tokens is None and one.token_ids is not None:
        row["num_tokens"] = len(one.token_ids)
    row |= {
        "run": model or one.run,
        "checkpoint": model if one.step is None else None,
        "task": choices.task or (task_of(one.gold) if one.gold is not None else None),
        "problem_id": problem_name(one),
        "problem": one.problem if one.problem is not None else one.prompt,
    }
    if isinstance(grade, Grade):
        counts.graded["right" if grade.correct else "wrong"] += 1
        return row | vars(grade)
    if one.correct is None:
        counts.ungraded[str(grade) if str(grade) in WHY_NOT else FAULTY] += 1
        return row | {"reason": f"ungraded: {grade}"}
    counts.imported["right" if one.correct else "wrong"] += 1
    answer = one.extracted if one.extracted is not None else extract(one.response, rule_of(one, choices))
    formatted = one.formatted if one.formatted is not None else answer is not None
    return row | {"extracted": answer, "formatted": formatted or one.correct, "reason": IMPORTED}
