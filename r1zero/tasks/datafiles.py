"""Problems from parquet, jsonl or a Hub data set, in the columns that TinyZero's files use (`nums`, `target`)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from r1zero.records import Problem
from r1zero.tasks.countdown import Split, is_held_out, make_problem, reachable

READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".jsonl": pl.read_ndjson,
    ".ndjson": pl.read_ndjson,
    ".json": pl.read_json,  # a list of objects
}
Row = TypeVar("Row")
CHECKED_NUMBERS = 4  # problems with more numbers are taken on trust: the exact search would take seconds each


def read_rows(path: str, split: str, columns: Sequence[str]) -> pl.DataFrame:
    """The named columns of a parquet or jsonl file, or of a Hub data set's split.

    Raises ValueError for a missing or unreadable file, a missing column (naming those there are) and an empty table.
    """
    table = read_table(path, split)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}: it has {', '.join(table.columns) or 'none'}")
    if table.is_empty():
        raise ValueError(f"{path} holds no rows: give a data set with at least one problem")
    return table.select(columns)


def read_table(path: str, split: str) -> pl.DataFrame:
    """A whole parquet or jsonl file, or a Hub data set's split; `OWNER/NAME:CONFIG` names one of its configurations.

    Raises ValueError for a missing or unreadable file.
    """
    return _read_hub(path, split) if _is_hub_id(path) or is_address(path) else _read_file(Path(path))


def is_address(path: str) -> bool:
    """Whether it is the address of a JSON file rather than a place on this machine."""
    return path.startswith("https://")


def _is_hub_id(path: str) -> bool:
    plain = not path.startswith((".", "/", "~"))
    return plain and path.count("/") == 1 and Path(path).suffix not in READERS and not Path(path).exists()


def _read_file(path: Path) -> pl.DataFrame:
    if path.suffix not in READERS:
        raise ValueError(f"cannot read {path}: give a {', '.join(READERS)} file or a Hub id OWNER/NAME")
    if not path.is_file():
        raise ValueError(f"no data file at {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    try:
        return READERS[path.suffix](path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"{path} is not a readable {path.suffix[1:]} file: {str(error).splitlines()[0]}") from error


def _read_hub(path: str, split: str) -> pl.DataFrame:
    try:
        import datasets
    except ImportError:
        raise ValueError(f"reading {path!r} from the Hub needs the extra `hub`: pip install 'r1zero[hub]'") from None
    name, _, configuration = path.partition(":")
    try:
        if is_address(path):
            return datasets.load_dataset("json", data_files={split: path}, split=split).to_polars()
        return datasets.load_dataset(name, configuration or None, split=split).to_polars()
    except (ValueError, OSError, ConnectionError) as error:
        raise ValueError(
            f"Hub data set {path!r}, split {split!r}, cannot be read: {str(error).splitlines()[0]}"
        ) from error


def rows_at(path: str, rows: Sequence[Row], split: Split, seed: int, start: int, count: int) -> list[Row]:
    """Rows start, ..., start + count - 1 of a file's split: `train` goes on for ever, shuffled anew each epoch by
    (seed, epoch); `eval` keeps the file's order.

    Raises ValueError naming the file when the split has none, or too few.
    """
    if not rows:
        raise ValueError(f"{path} has no row in the {split} split: give more rows, or evaluation.path as its own file")
    if split == "eval":
        if start + count > len(rows):
            raise ValueError(
                f"{path} has {len(rows)} held-out problems and {start + count} are asked for: "
                "lower evaluation.num_problems"
            )
        return list(rows[start : start + count])
    chosen: list[Row] = []
    while len(chosen) < count:
        epoch, first = divmod(start + len(chosen), len(rows))
        order = list(range(len(rows)))
        random.Random(f"file train {seed} {epoch}").shuffle(order)
        chosen += [rows[i] for i in order[first : first + count - len(chosen)]]
    return chosen


@dataclass(frozen=True)
class FileCountdown:
    """Problems of a file.  `train` is shuffled anew each epoch by (seed, epoch); `eval` keeps the file's order."""

    path: str
    seed: int
    rows: dict[Split, list[tuple[int, tuple[int, ...], int]]] = field(repr=False)  # (row in the file, nums, target)
    name: str = "countdown"

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start, ..., start + count - 1.  Raises ValueError naming a row whose target cannot be reached."""
        chosen = rows_at(self.path, self.rows[split], split, self.seed, start, count)
        return [_checked(self.path, *row) for row in chosen]


def _checked(path: str, row: int, nums: tuple[int, ...], target: int) -> Problem:
    if len(nums) <= CHECKED_NUMBERS and Fraction(target) not in reachable(tuple(sorted(nums))):
        raise ValueError(
            f"{path}, row {row}: {target} cannot be made from {list(nums)}, so no answer would be right; remove the row"
        )
    return make_problem(nums, target, suffix=f"@{row}")


def read_countdown(path: str, split: str, *, seed: int, whole_file: bool) -> FileCountdown:
    """Countdown problems of a file or Hub id.  Raises ValueError naming the file, and the row where one is at fault."""
    table = read_rows(path, split, ("nums", "target"))
    rows: list[tuple[int, tuple[int, ...], int]] = []
    for row, (nums, target) in enumerate(table.iter_rows()):
        values = [_whole_number(n) for n in nums] if isinstance(nums, list) else []
        goal = _whole_number(target)
        if not values or None in values or min(v for v in values if v is not None) < 0:
            raise ValueError(f"{path}, row {row}: nums={nums!r} is not a list of whole numbers")
        if goal is None:
            raise ValueError(f"{path}, row {row}: target={target!r} is not a whole number")
        rows.append((row, tuple(v for v in values if v is not None), goal))
    if whole_file:
        return FileCountdown(path, seed, {"train": rows, "eval": rows})
    held_out = [r for r in rows if is_held_out(r[1], r[2])]
    return FileCountdown(path, seed, {"train": [r for r in rows if not is_held_out(r[1], r[2])], "eval": held_out})


def _whole_number(value: Any) -> int | None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != value
        or value in (float("inf"), float("-inf"))
    ):
        return None
    return int(value) if value == int(value) else None
