"""Where a run rests: rollouts in parquet parts, metrics in one json line a step.

    RUN/metrics.jsonl   RUN/rollouts/step-000012.parquet   RUN/eval/step-000010.parquet   RUN/config.json

A part is written beside its final name and renamed, so a reader never sees half of one, whatever kills the writer.
"""

from __future__ import annotations

import dataclasses
import glob
import io
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from r1zero.records import Grade, Prompt, Response, Rollout

Split = Literal["train", "eval"]
FOLDERS: dict[Split, str] = {"train": "rollouts", "eval": "eval"}
PART = re.compile(r"step-(\d+)\.parquet")

_COLUMNS: dict[Any, Any] = {
    "run": pl.String,
    "step": pl.Int64,
    "checkpoint": pl.String,
    "task": pl.String,
    "problem_id": pl.String,
    "sample": pl.Int64,
    "template": pl.String,
    "temperature": pl.Float64,
    "top_p": pl.Float64,
    "seed": pl.Int64,
    "problem": pl.String,
    "gold": pl.String,
    "prompt": pl.String,
    "response": pl.String,
    "token_ids": pl.List(pl.Int32),
    "logprobs": pl.List(pl.Float32),
    "num_tokens": pl.Int64,
    "finish_reason": pl.String,
    "correct": pl.Boolean,
    "formatted": pl.Boolean,
    "extracted": pl.String,
    "reason": pl.String,
    "reward": pl.Float64,
    "advantage": pl.Float64,
    "level": pl.Float64,
    "images": pl.List(pl.String),
    "weights_version": pl.Int64,
}
SCHEMA = pl.Schema(_COLUMNS)
ROW_GROUP = 8192  # rows that a reader of a slice has to unpack at once
MAY_LACK = {"level", "images", "weights_version"}  # files written before the column was there: read as null


# ---------------------------------------------------------------------------------------------------------------------
# Rollouts


def part_path(run_dir: Path, split: Split, step: int) -> Path:
    """Where the rollouts of one step rest.

    >>> part_path(Path("runs/a"), "eval", 10).as_posix()
    'runs/a/eval/step-000010.parquet'
    """
    return Path(run_dir) / FOLDERS[split] / f"step-{step:06d}.parquet"


def rollouts_frame(
    rollouts: Sequence[Rollout],
    *,
    run: str,
    checkpoint: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> pl.DataFrame:
    """One row a rollout, with the columns and types of `SCHEMA`; the keywords are the same in every row."""
    constants = {"run": run, "checkpoint": checkpoint, "temperature": temperature, "top_p": top_p, "seed": seed}
    rows = [constants | _columns(rollout) for rollout in rollouts]
    return pl.DataFrame({name: [row[name] for row in rows] for name in SCHEMA}, schema=SCHEMA)


def _columns(rollout: Rollout) -> dict[str, Any]:
    return {
        "step": rollout.step,
        "sample": rollout.sample,
        **answer_columns(rollout.prompt, rollout.response, rollout.grade),
        "reward": rollout.reward,
        "advantage": rollout.advantage,
    }


def answer_columns(prompt: Prompt, response: Response, grade: Grade) -> dict[str, Any]:
    """The columns of `SCHEMA` that a prompt, its response and the grade decide."""
    return {
        "task": prompt.problem.task,
        "problem_id": prompt.problem.id,
        "template": prompt.template,
        "problem": prompt.problem.text,
        "gold": prompt.problem.gold,
        "level": prompt.problem.level,
        "prompt": prompt.text,
        "images": prompt.images or None,
        "response": response.text,
        "token_ids": response.token_ids,
        "logprobs": response.logprobs,
        "num_tokens": response.num_tokens,
        "finish_reason": response.finish_reason,
        "weights_version": response.weights_version,
        "correct": grade.correct,
        "formatted": grade.formatted,
        "extracted": grade.extracted,
        "reason": grade.reason,
    }


def write_rollouts(
    path: Path,
    rollouts: Sequence[Rollout],
    *,
    run: str,
    checkpoint: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> None:
    """Write one parquet part: all of it or nothing.  An OSError (a full disk) leaves neither a part nor a leftover."""
    frame = rollouts_frame(rollouts, run=run, checkpoint=checkpoint, temperature=temperature, top_p=top_p, seed=seed)
    write_frame(path, frame)


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write any table with the columns of `SCHEMA` as a parquet part, atomically."""
    buffer = io.BytesIO()  # so that a failing disk is met by our own write, which raises a plain OSError
    frame.select(SCHEMA.names()).cast(_COLUMNS).write_parquet(buffer, compression="zstd", row_group_size=ROW_GROUP)
    write_atomically(Path(path), buffer.getvalue())


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`: readers see the old file or the new one, never a part of it, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_rollouts(
    paths: str | Path | Sequence[str | Path], *, split: Split = "train", step: int | None = None
) -> pl.LazyFrame:
    """The rollouts of run directories, folders of parquet files, files, or globs, as one lazy table.

    `split` says which rollouts of a run directory: "train" (rollouts/) or "eval" (eval/); `step` keeps one step's part.
    Columns beyond the contract are left out.  Raises ValueError naming what is missing, corrupt or of another form.
    """
    files = rollout_files(paths, split=split)
    if step is not None:
        files = [file for file in files if _part_step(file) == step]
        if not files:
            raise ValueError(f"no {FOLDERS[split]}/step-{step:06d}.parquet under {paths}")
    for file in files:
        _check_schema(file)
    return pl.scan_parquet(files, schema=SCHEMA, extra_columns="ignore", missing_columns="insert", glob=False)


def rollout_files(paths: str | Path | Sequence[str | Path], *, split: Split = "train") -> list[Path]:
    """The parquet files that `read_rollouts` reads, in the order of names."""
    if split not in FOLDERS:
        raise ValueError(f"split={split!r}: choose from {', '.join(FOLDERS)}")
    sources = [paths] if isinstance(paths, str | Path) else list(paths)
    if not sources:
        raise ValueError("no rollouts to read: give a run directory, a parquet file or a glob")
    return [file for source in sources for file in _files_of(str(source), split)]


def _files_of(source: str, split: Split) -> list[Path]:
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        is_run = any((path / name).exists() for name in (*FOLDERS.values(), "config.json", "metrics.jsonl"))
        folder = path / FOLDERS[split] if is_run else path
        files = sorted(folder.glob("[!.]*.parquet"))
        if not files:
            raise ValueError(f"no rollouts in {folder}: it holds no parquet file yet")
        return files
    matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
    if not matches:
        raise ValueError(f"no rollouts at {source}: give a run directory, a parquet file or a glob")
    return [file for match in matches for file in (_files_of(str(match), split) if match.is_dir() else [match])]


def _check_schema(file: Path) -> None:
    try:
        found = pl.read_parquet_schema(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"{file} is not a readable parquet file: {str(error).splitlines()[0]}") from error
    missing = [name for name in SCHEMA if name not in found and name not in MAY_LACK]
    if missing:
        raise ValueError(f"{file} lacks the columns {', '.join(missing)}: import it with `r1zero import` first")
    for name, kind in SCHEMA.items():
        if name in found and found[name] != kind:
            raise ValueError(f"{file} has column {name} as {found[name]}, not {kind}: import it with `r1zero import`")


# ---------------------------------------------------------------------------------------------------------------------
# Metrics and config


def append_metrics(run_dir: Path, row: Mapping[str, Any]) -> None:
    """Add one line to metrics.jsonl; NaN and infinities are written as null.  A failed write leaves the file as it was.

    Row: {"step": 3, "reward/mean": 0.2, ...}; `step` is required.
    """
    if not isinstance(row.get("step"), int):
        raise ValueError(f"a metrics row needs an integer `step`, got {row.get('step')!r}")
    line = (json.dumps(jsonable(row), allow_nan=False) + "\n").encode()
    path = Path(run_dir) / "metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0) as handle:
        size = handle.tell()
        try:
            written = handle.write(line)
            while written < len(line):  # a disk that fills up takes a part first and raises on the next call
                written += handle.write(line[written:])
            os.fsync(handle.fileno())
        except OSError:
            handle.truncate(size)
            raise


def jsonable(value: Any) -> Any:
    """A value as JSON has it: records become objects, tuples lists, undefined and infinite numbers null.

    >>> jsonable({"a": (1, math.nan)})
    {'a': [1, None]}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if hasattr(value, "item"):  # numpy and torch scalars
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Every row of metrics.jsonl, in the order written; null comes back as NaN.

    A last line that a killed run left half-written is ignored; damage elsewhere raises ValueError naming the line.
    """
    return [{key: math.nan if value is None else value for key, value in row.items()} for _, row in _lines(run_dir)]


def _lines(run_dir: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """The complete lines of metrics.jsonl, as written and as parsed."""
    path = Path(run_dir) / "metrics.jsonl"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"no metrics.jsonl in {run_dir}: give the directory of a run that has started") from None
    rows = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break  # half-written by a run that was killed
        try:
            row = json.loads(line)
            rows.append((line, {"step": int(row["step"])} | row))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is not a metrics row ({error}): remove that line") from error
    return rows


def truncate_after(run_dir: Path, step: int) -> None:
    """Forget everything later than `step`: metrics lines, training and evaluation parts, and half-written files.

    For resuming from the checkpoint of `step`, which must have been written after that step's metrics and parts.
    """
    run_dir = Path(run_dir)
    if (run_dir / "metrics.jsonl").exists():
        kept = [line for line, row in _lines(run_dir) if row["step"] <= step]
        write_atomically(run_dir / "metrics.jsonl", b"".join(kept))
    for leftover in [*run_dir.glob(".metrics.jsonl.*.part"), *run_dir.glob("*/.step-*.part")]:
        leftover.unlink()
    for folder in FOLDERS.values():
        for file in (run_dir / folder).glob("step-*.parquet"):
            if (_part_step(file) or 0) > step:
                file.unlink()


def _part_step(file: Path) -> int | None:
    match = PART.fullmatch(file.name)
    return int(match[1]) if match else None


def part_steps(run_dir: Path, split: Split) -> list[int]:
    """The steps whose rollouts are stored, ascending."""
    steps = [_part_step(file) for file in (Path(run_dir) / FOLDERS[split]).glob("step-*.parquet")]
    return sorted(step for step in steps if step is not None)


def write_config(run_dir: Path, saved: Mapping[str, Any]) -> None:
    """Save {"config": ..., "versions": ..., "commit": ..., "verb": ..., "created": ...} as config.json, atomically."""
    write_atomically(Path(run_dir) / "config.json", (json.dumps(saved, indent=2) + "\n").encode())


def read_config(run_dir: Path) -> dict[str, Any]:
    """What `write_config` saved.  Raises ValueError naming the remedy."""
    path = Path(run_dir) / "config.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"no config.json in {run_dir}: give the directory of a run") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON ({error}): restore it, or train again") from error
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise ValueError(f"{path} has no `config` section: is {run_dir} the directory of a run?")
    return saved
