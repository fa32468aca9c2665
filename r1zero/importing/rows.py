"""The rows of a foreign file, read as they are needed: JSON in lines or in one array, csv, parquet."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import polars as pl

BLOCK = 1 << 20  # characters of a JSON array that are read at once
LARGEST = 1 << 28  # characters that one element of an array may have
BATCH = 1024  # rows of a parquet file that are in memory at once
CELL = 1 << 27  # characters that one field of a csv file may have
_FILLING = re.compile(r"[\s,]*")


@dataclass(frozen=True)
class Row:
    """One row and where it stands.

    Example: Row("line 3", {"response": "...", "gold": "4"})
    """

    place: str  # counted from 1
    fields: dict[str, Any]


class RowError(ValueError):
    """A place in a file where there is no row; its message begins with the place."""


# ---------------------------------------------------------------------------------------------------------------------
# JSON


def json_rows(path: Path) -> Iterator[Row]:
    """The objects of a file: of the array that is the whole file, else one a line; blank lines are skipped."""
    try:
        with open(path, encoding="utf-8-sig") as handle:
            start = handle.read(4096).lstrip()
            handle.seek(0)
            yield from _elements(handle) if start.startswith("[") else _lines(handle)
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8 text ({error.reason})") from None


def _lines(handle: TextIO) -> Iterator[Row]:
    for number, line in enumerate(handle, start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RowError(f"line {number}: not JSON ({error})") from None
        yield _row(f"line {number}", found)


def _elements(handle: TextIO) -> Iterator[Row]:
    """The elements of one array, with no more in memory than a few of them.

    What cannot be parsed may only be incomplete: then twice as much is read, so that the work stays linear.
    """
    parse = json.JSONDecoder().raw_decode
    text, at, number, wanted = "", 0, 0, BLOCK
    begun = False
    while True:
        if not begun:
            text, begun = handle.read(BLOCK), True
            at = text.index("[") + 1
        at = _FILLING.match(text, at).end()  # type: ignore[union-attr]  # matches nothing, too
        if text[at : at + 1] == "]":
            rest = text[at + 1 :] + handle.read(BLOCK)
            if rest.strip():
                raise RowError(f"after element {number}: the array ends, and more follows")
            return
        try:
            found, end = parse(text, at)
        except (ValueError, RecursionError) as error:
            more = handle.read(wanted)
            if not more or isinstance(error, RecursionError):
                fault = "the file ends within it" if not more else str(error)
                raise RowError(f"element {number + 1}: not JSON ({fault})") from None
            text, at = text[at:] + more, 0
            if len(text) > LARGEST:
                raise RowError(f"element {number + 1}: not JSON, or longer than {LARGEST:,} characters") from None
            wanted = max(BLOCK, len(text))
            continue
        number, at = number + 1, end
        yield _row(f"element {number}", found)
        if at > BLOCK:
            text, at, wanted = text[at:], 0, BLOCK


def _row(place: str, found: Any) -> Row:
    if not isinstance(found, dict):
        raise RowError(f"{place}: {type(found).__name__}, not an object")
    return Row(place, found)


# ---------------------------------------------------------------------------------------------------------------------
# csv


def csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a csv file with a header; the place is the line on which a row ends."""
    csv.field_size_limit(CELL)
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            names = reader.fieldnames or ()
            twice = next((name for name in names if list(names).count(name) > 1), None)
            if twice is not None:
                raise RowError(f"line 1: two columns are called {twice!r}")
            for row in reader:
                place = f"line {reader.line_num}"
                if None in row or None in row.values():
                    raise RowError(f"{place}: not as many fields as the header's {len(names)}")
                yield Row(place, row)
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8 text ({error.reason})") from None
    except csv.Error as error:
        raise RowError(f"line {reader.reader.line_num}: not csv ({error})") from None


# ---------------------------------------------------------------------------------------------------------------------
# parquet


def parquet_rows(path: Path) -> Iterator[Row]:
    try:
        table = pl.scan_parquet(path, glob=False)
        height, start = table.select(pl.len()).collect().item(), 0
        while start < height:
            for number, row in enumerate(table.slice(start, BATCH).collect().iter_rows(named=True), start=start + 1):
                yield Row(f"row {number}", row)
            start += BATCH
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RowError(f"not a readable parquet file ({str(error).splitlines()[0]})") from None


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".json": json_rows,
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".csv": csv_rows,
    ".parquet": parquet_rows,
}


def rows_of(path: Path) -> Iterator[Row]:
    """The rows of a file by the end of its name.  Raises RowError where there is none."""
    return READERS.get(path.suffix.lower(), json_rows)(path)
