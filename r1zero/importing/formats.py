"""The formats by name, and how to tell which one a file has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from r1zero.importing import lm_eval, oat, simplerl, table, trl, verl
from r1zero.importing.record import Fields, Imported, Source
from r1zero.importing.rows import READERS, Row, RowError, csv_rows, json_rows, rows_of
from r1zero.store import MAY_LACK, SCHEMA


@dataclass(frozen=True)
class Format:
    """How files of one kind are read.

    Example: FORMATS["verl"].read({"input": "...", "output": "...", "score": 1.0}, Source(Path("10.jsonl")))
    """

    expected: str  # what a row must be, for messages
    rows: Callable[[Path], Iterator[Row]]
    suffixes: tuple[str, ...]  # of the files in a folder
    source: Callable[[Path], Source]
    recognises: Callable[[Fields], bool]
    read: Callable[..., list[Imported]]  # (fields, source); of a table also (..., places)
    variant: Callable[[Fields], str | None] | None = None  # several rows for one response: only one variant's count
    is_table: bool = False  # `--map` says where responses stand, too


_JSON = (".jsonl", ".ndjson", ".json")
FORMATS: dict[str, Format] = {
    "oat": Format(oat.EXPECTED, json_rows, (".json", ".jsonl"), oat.source, oat.recognises, oat.read),
    "trl": Format(trl.EXPECTED, rows_of, (".parquet",), trl.source, trl.recognises, trl.read),
    "verl": Format(verl.EXPECTED, json_rows, (".jsonl",), verl.source, verl.recognises, verl.read),
    "simplerl": Format(simplerl.EXPECTED, json_rows, _JSON, simplerl.source, simplerl.recognises, simplerl.read),
    "lm-eval": Format(
        lm_eval.EXPECTED, json_rows, (".jsonl",), lm_eval.source, lm_eval.recognises, lm_eval.read, lm_eval.variant
    ),
    "jsonl": Format(table.EXPECTED, rows_of, _JSON, table.source, table.recognises, table.read, is_table=True),
    "csv": Format(table.EXPECTED, csv_rows, (".csv",), table.source, table.recognises, table.read, is_table=True),
}


def guess(path: Path) -> str:
    """The one format whose fields a file's first row has.  Raises ValueError when there is none, or more than one."""
    try:
        row = next(rows_of(path), None)
    except RowError as error:
        raise ValueError(f"{path}: {error}. Say what it is with --from {'|'.join(FORMATS)}") from None
    if row is None:
        raise ValueError(f"{path} holds no rows")
    if set(SCHEMA) - MAY_LACK <= set(row.fields):
        raise ValueError(f"{path} is a part of our own store already: give it to `r1zero analyze` as it is")
    if path.suffix.lower() == ".csv":
        return "csv"
    foreign = [name for name, kind in FORMATS.items() if name not in ("jsonl", "csv") and kind.recognises(row.fields)]
    if len(foreign) > 1:
        raise ValueError(f"{path} may be {' or '.join(foreign)}: say which with --from")
    if not foreign and not FORMATS["jsonl"].recognises(row.fields):
        there = ", ".join(map(repr, list(row.fields)[:20])) or "nothing"
        raise ValueError(f"{path} has no known format: its first row has {there}. Say which with --from, and --map")
    return foreign[0] if foreign else "jsonl"


def files_at(path: Path, suffixes: tuple[str, ...] | None) -> list[Path]:
    """A file itself, or a folder's files with one of the suffixes (any that can be read), in the order of numbers."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"no file or folder {path}")
    wanted = suffixes or tuple(READERS)
    files = [file for file in path.iterdir() if file.suffix.lower() in wanted and not file.name.startswith(".")]
    files = [file for file in files if file.is_file() and not re.search(r"_(?:metrics|stats)$", file.stem)]
    if not files:
        raise ValueError(f"{path} holds no {', '.join(wanted)} file")
    return sorted(files, key=in_order)


def in_order(file: Path) -> list[tuple[int, str]]:
    """So that 9.jsonl comes before 10.jsonl."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.name)]
