"""Where `r1zero analyze` finds responses: run directories, parquet parts, and jsonl files, read as they are needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from r1zero.analysis.regrade import Origin, StoredResponse
from r1zero.cli.grade import Line, opened, read_lines, submit
from r1zero.store import FOLDERS, Split, part_steps, read_rollouts, rollout_files

log = logging.getLogger("r1zero")

ROWS = 4096  # of a parquet part that are in memory at once
EXPECTED = (
    "one JSON object a line with `gold` and `response` and, where known, id, model, dataset, template, question, label "
    "(true, false or null), finish_reason, num_tokens, task"
)
_COLUMNS = (
    "run", "step", "checkpoint", "task", "problem_id", "sample", "template", "problem", "gold", "response",
    "num_tokens", "finish_reason", "correct",
)  # fmt: skip


def sources(path: str, split: Split | None, task: str | None) -> dict[Path, Callable[[], Iterator[StoredResponse]]]:
    """What stands at a path: its files, or the run, with functions that read them.  Raises ValueError for nothing."""
    place = Path(path)
    if path == "-" or (place.is_file() and place.suffix in (".jsonl", ".json")):
        return {place.resolve(): lambda: jsonl_rows(path, task)}
    if place.is_dir() and not is_run(place) and not any(place.glob("[!.]*.parquet")):
        files = [str(file) for file in sorted(place.glob("[!.]*.jsonl"))]
        if not files:
            raise ValueError(f"{path} holds neither rollouts nor jsonl files: give a run directory, parquet or jsonl")
        return {place: reader for file in files for place, reader in sources(file, split, task).items()}
    chosen = split or ("eval" if is_run(place) and _has_parts(place, "eval") else "train")
    files_there = rollout_files(path, split=chosen)
    if place.is_file() and place.suffix != ".parquet":
        raise ValueError(f"{path}: give a run directory, a .parquet part or a .jsonl file, {EXPECTED}")
    return {place.resolve(): lambda: (row for file in files_there for row in store_rows(path, file, chosen))}


def is_run(place: Path) -> bool:
    return any((place / name).exists() for name in (*FOLDERS.values(), "config.json", "metrics.jsonl"))


def _has_parts(run_dir: Path, split: Split) -> bool:
    return bool(part_steps(run_dir, split)) or any((run_dir / FOLDERS[split]).glob("[!.]*.parquet"))


# ---------------------------------------------------------------------------------------------------------------------
# jsonl


def jsonl_rows(path: str, task: str | None) -> Iterator[StoredResponse]:
    """Raises ValueError naming the first line that is not what is expected."""
    source = "stdin" if path == "-" else path
    with opened(path) as texts:
        for line in read_lines(texts):
            try:
                yield jsonl_row(source, line, task)
            except ValueError as error:
                columns = ", ".join(map(repr, list(line.row)[:20]))
                there = f"; the line has {columns}" if columns else ""
                raise ValueError(f"{path}, line {line.number}: {error}{there}. Expected {EXPECTED}") from None


def jsonl_row(source: str, line: Line, task: str | None) -> StoredResponse:
    """Raises ValueError saying what is wrong with a line."""
    row = line.row
    if not line.fault and row.get("response") is None:
        raise ValueError("no `response`")
    asked = submit(line, rule="any", task=task)
    label = row.get("label")
    if label is not None and not isinstance(label, bool):
        raise ValueError(f"`label` is {label!r}, not true, false or null")
    tokens = row.get("num_tokens")
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0):
        raise ValueError(f"`num_tokens` is {tokens!r}, not a count")
    name = _text(row, "id") or f"line {line.number}"
    return StoredResponse(
        origin=Origin(source, _text(row, "model"), _text(row, "dataset"), _text(row, "template"), asked.task),
        row=line.number,
        id=name,
        question=_text(row, "question") or _text(row, "problem_id") or name,
        golds=asked.golds,
        response=asked.text or "",
        label=label,
        finish_reason=_text(row, "finish_reason") or None,
        num_tokens=tokens,
    )


def _text(row: dict[str, Any], key: str) -> str:
    return "" if row.get(key) is None else str(row[key])


# ---------------------------------------------------------------------------------------------------------------------
# Our own store


def store_rows(path: str, file: Path, split: Split) -> Iterator[StoredResponse]:
    """The rollouts of one part; what was graded when they were stored stands for labels.

    Rows without a gold, as some trainers log them, cannot be graded: they are passed over, and how many is logged.
    """
    frame, start, passed_over = read_rollouts(file).select(_COLUMNS), 0, 0
    while True:
        rows = frame.slice(start, ROWS).collect()
        for number, row in enumerate(rows.iter_rows(named=True), start=start + 1):
            if row["gold"] is None or row["response"] is None:
                passed_over += 1
            else:
                yield store_row(path, number, row, split)
        start += rows.height
        if rows.height < ROWS:
            break
    if passed_over:
        log.warning("%s: %d of %d rows have no gold or no response and are left out", file, passed_over, start)


def store_row(path: str, number: int, row: dict[str, Any], split: Split) -> StoredResponse:
    """Evaluations count by checkpoint; the training rollouts of all steps are counted together."""
    problem_id, task = row["problem_id"] or "", row["task"] or "math"
    run, step = row["run"] or "", row["step"]
    model = row["checkpoint"] or f"{run} step {step}" if split == "eval" else run
    dataset = problem_id.split("/")[0] if "/" in problem_id else task
    return StoredResponse(
        origin=Origin(path, model, dataset, row["template"] or "", task, judged_by="stored grades"),
        row=number,
        id=f"{problem_id}#{row['sample']}" + ("" if step is None else f" step {step}"),
        question=problem_id or row["problem"] or "",
        golds=(row["gold"],),
        response=row["response"],
        label=row["correct"],
        finish_reason=row["finish_reason"],
        num_tokens=row["num_tokens"],
    )
