"""Problems with pictures from a file or Hub data set: rows read in slices, pictures checked and referred to.

A picture stands in a row as bytes, as `{"bytes": ..., "path": ...}` or as a path, alone or in a list.  Bytes are kept
once, named by their digest, and referred to as sha256:HEX; a path is taken relative to a folder.  Every picture is
unpacked once, so that a broken one is met here, with its file and row, and not in the middle of training.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from r1zero.config import TaskConfig
from r1zero.records import Problem
from r1zero.tasks.countdown import HELD_OUT, Split
from r1zero.tasks.datafiles import rows_at
from r1zero.tasks.pictures import decode_picture, keep_picture

Row = Mapping[str, Any]
MARK = "<image>"  # where a picture goes in a text
SLICE = 64  # rows that are in memory at once: pictures are large
SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".json")
log = logging.getLogger("r1zero")


class BadRowError(ValueError):
    """A row that cannot be asked; `fault` is the same for all rows with this fault."""

    def __init__(self, fault: str, detail: str = "") -> None:
        super().__init__(f"{fault}: {detail}" if detail else fault)
        self.fault = fault


@dataclass(frozen=True)
class VisualRows:
    """Problems of a file.  `train` is shuffled anew each epoch by (seed, epoch); `eval` keeps the file's order."""

    path: str
    seed: int
    rows: dict[Split, list[Problem]] = field(repr=False)
    name: str = "visual_file"
    left_out: Mapping[str, int] = field(default_factory=dict)  # why rows were left out -> how many

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start, ..., start + count - 1.  Raises ValueError when the split has too few."""
        return rows_at(self.path, self.rows[split], split, self.seed, start, count)


def read_visual(
    config: TaskConfig,
    path: str,
    make: Callable[[Row, int, tuple[str, ...]], Problem],
    *,
    name: str,
    seed: int,
    whole_file: bool,
) -> VisualRows:
    """The rows of a file, folder or Hub split as a task; `make` builds a problem of a row, its number and its pictures.

    A tenth of the rows, by their pictures, is held out unless `whole_file`: no picture is in both splits.
    Raises ValueError naming file and row at fault; with `task.bad_rows = "skip"` such rows are left out and counted.
    """
    problems: list[Problem] = []
    pictures: list[list[str]] = []  # of each problem, as the file names them
    left_out: Counter[str] = Counter()
    first = ""
    files = data_files(path, config.split)
    for number, (file, row_number, row) in enumerate(_rows(files, config.num_rows)):
        try:
            cells = picture_cells(row)
            if config.max_pictures and len(cells) > config.max_pictures:
                left_out[f"more than {config.max_pictures} pictures"] += 1
                continue
            # what the row says is checked before its pictures: refused rows leave nothing behind
            check_marks(make(row, number, ("",) * len(cells)).text, len(cells))
            problem = make(row, number, tuple(refer(cell, file.parent, config) for cell in cells))
        except BadRowError as error:
            message = f"{file}, row {row_number}: {error}"
            if config.bad_rows == "refuse":
                raise ValueError(f"{message}; or leave such rows out with --task.bad_rows skip") from None
            left_out[error.fault] += 1
            first = first or message
            continue
        problems.append(problem)
        pictures.append(
            [cell if isinstance(cell, str) else image for cell, image in zip(cells, problem.images, strict=True)]
        )
    rows: dict[Split, list[Problem]] = {"train": problems, "eval": problems}
    if not whole_file:
        rows = _split(problems, pictures)
        if shared := len(problems) - len(rows["train"]) - len(rows["eval"]):
            left_out["with a held-out picture among others"] = shared
    if left_out:
        counts = ", ".join(f"{count} {fault}" for fault, count in left_out.most_common())
        log.warning("%s: %d rows left out (%s)%s", path, left_out.total(), counts, f"; first: {first}" if first else "")
    if not problems:
        raise ValueError(f"{path} holds no rows that can be asked: give a data set with at least one problem")
    return VisualRows(path, seed, rows, name, dict(left_out))


def _split(problems: Sequence[Problem], pictures: Sequence[Sequence[str]]) -> dict[Split, list[Problem]]:
    """Held out by the first picture, or by the text where there is none.

    A row that only shares a picture with a held-out one is in neither split.
    """
    keyed = [(problem, list(names) or [problem.text]) for problem, names in zip(problems, pictures, strict=True)]
    held_out = {key for _, keys in keyed if is_held_out(keys[0]) for key in keys}
    return {
        "train": [problem for problem, keys in keyed if held_out.isdisjoint(keys)],
        "eval": [problem for problem, keys in keyed if is_held_out(keys[0])],
    }


def is_held_out(key: str) -> bool:
    """Whether a picture belongs to evaluation: one in ten, by what it is called."""
    return hashlib.sha256(key.encode()).digest()[0] % HELD_OUT == 0


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def picture_cells(row: Row) -> list[bytes | str]:
    """The pictures of a row, as bytes or paths, from whichever column holds them.

    >>> picture_cells({"image": {"bytes": b"JPEG", "path": "a.jpg"}}), picture_cells({"images": ["a.png", "b.png"]})
    ([b'JPEG'], ['a.png', 'b.png'])
    """
    column = next((name for name in ("image_bytes", "images", "image") if row.get(name) is not None), None)
    if column is None:
        return []
    value = row[column]
    return [_cell(item, column) for item in (value if isinstance(value, list | tuple) else [value])]


def _cell(item: Any, column: str) -> bytes | str:
    if isinstance(item, Mapping):
        item = item.get("bytes") or item.get("path")
    if isinstance(item, bytes | str) and item:
        return item
    raise BadRowError("picture is missing", f"{column} holds {item!r:.60}")


def refer(cell: bytes | str, beside: Path, config: TaskConfig) -> str:
    """The reference of a picture that can be unpacked.  Raises BadRowError otherwise."""
    if isinstance(cell, bytes):
        kept = Path(config.kept_images) / hashlib.sha256(cell).hexdigest()
        if not kept.exists():  # what is kept was unpacked before
            _check(cell, "in the row", config.max_picture_pixels)
        try:
            return keep_picture(cell, Path(config.kept_images))
        except OSError as error:
            raise ValueError(
                f"pictures cannot be kept in {config.kept_images} ({error.strerror or error}): name another folder "
                "with --task.kept_images"
            ) from error
    path = Path(config.images or beside) / cell
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadRowError("picture is missing", f"{path} cannot be read ({error.strerror or error})") from None
    _check(content, str(path), config.max_picture_pixels)
    return str(path)


def _check(content: bytes, name: str, max_pixels: int) -> None:
    try:
        decode_picture(content, name, max_pixels)
    except ValueError as error:
        if str(error).startswith("pictures need pillow"):  # it is not the row's fault
            raise
        raise BadRowError("picture cannot be used", str(error)) from None


def check_marks(text: str, num_pictures: int) -> None:
    """Raises BadRowError unless a text has no mark at all or one for each picture."""
    marks = text.count(MARK)
    if marks not in (0, num_pictures):
        raise BadRowError(f"number of {MARK} marks", f"the text has {marks} and the row {num_pictures} pictures")


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def data_files(path: str, split: str) -> list[Path]:
    """The files of a file name, folder or Hub id.  Raises ValueError naming what is missing."""
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.suffix in SUFFIXES)
        if not files:
            raise ValueError(f"{path} holds no file that ends in {', '.join(SUFFIXES)}")
        return files
    if place.suffix in SUFFIXES:
        if not place.is_file():
            raise ValueError(f"no data file at {path}")
        return [place]
    if path.count("/") != 1 or path.startswith((".", "/", "~")):
        raise ValueError(f"cannot read {path}: give a {', '.join(SUFFIXES)} file, a folder of them, or a Hub id")
    return _hub_files(path, split)


def split_files(names: Sequence[str], configuration: str, split: str) -> list[str]:
    """Those parquet files of a Hub data set that belong to a split, by the words of their names.

    >>> split_files(["SAT_train.parquet", "SAT_test.parquet"], "", "train")
    ['SAT_train.parquet']
    >>> split_files(["test_2d.parquet", "test_3d.parquet"], "2D", "test")
    ['test_2d.parquet']
    """
    found = []
    for name in sorted(names):
        words = re.split(r"[^a-z0-9]+", name.lower())
        wanted = [split.lower()] + ([configuration.lower()] if configuration not in ("", "default") else [])
        if name.endswith(".parquet") and all(word in words for word in wanted):
            found.append(name)
    return found


def _hub_files(path: str, split: str) -> list[Path]:
    """The parquet files of a Hub data set's split, downloaded as they are: nested bytes need no conversion."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name, _, configuration = path.partition(":")
    try:
        names = split_files(HfApi().list_repo_files(name, repo_type="dataset"), configuration, split)
        if names:
            return [Path(hf_hub_download(name, file, repo_type="dataset")) for file in names]
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise ValueError(
            f"Hub data set {path!r}, split {split!r}, cannot be read: {str(error).strip().splitlines()[0]}; "
            "or give its parquet file as task.path"
        ) from error
    raise ValueError(f"Hub data set {path!r} has no parquet file of a split {split!r}: name another --task.split")


def _rows(files: Sequence[Path], limit: int) -> Iterator[tuple[Path, int, Row]]:
    """(file, number in it, row) of the first `limit` rows, 0 being all; one slice of a parquet file at a time."""
    left = limit or 1 << 62
    for file in files:
        for number, row in enumerate(_rows_of(file, left)):
            yield file, number, row
            left -= 1
        if left == 0:
            return


def _rows_of(file: Path, limit: int) -> Iterator[Row]:
    try:
        if file.suffix == ".parquet":
            table = pl.scan_parquet(file, glob=False)
            height = min(limit, table.select(pl.len()).collect().item())
            for start in range(0, height, SLICE):
                yield from table.slice(start, min(SLICE, height - start)).collect().iter_rows(named=True)
            return
        text = file.read_text(encoding="utf-8")
        # a cell may be text in one row and a list in the next, which no table of columns can hold
        lines = [text] if file.suffix == ".json" else filter(str.strip, text.split("\n"))
        found = [json.loads(line) for line in lines]
        rows = found[0] if file.suffix == ".json" else found
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise ValueError(f"{file} is not a readable {file.suffix[1:]} file: {str(error).splitlines()[0]}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{file} must hold {'a list of objects' if file.suffix == '.json' else 'an object a line'}")
    yield from rows[:limit]
