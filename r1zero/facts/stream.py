"""Stored responses in, facts out: slice by slice, on several processes, in memory that does not grow with the rows.

A worker is a grading process (r1zero.grading.pool): it reads a slice of a parquet file itself and answers with a few
bytes a row.  Texts are untrusted: a row that makes a worker stall or die loses what would be read off its text, and
nothing else does.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from r1zero.facts.columns import FACT_POOLS
from r1zero.facts.cues import CuePool
from r1zero.facts.response import COLUMNS, response_facts
from r1zero.grading.batch import in_order
from r1zero.grading.pool import Pool
from r1zero.store import read_rollouts

T = TypeVar("T")
log = logging.getLogger("r1zero")

SLICE_ROWS, SLICE_BYTES = 8192, 32 << 20  # in memory at once, a worker
SECONDS = 120.0  # of processor time for a slice; symbolic comparisons have processes and limits of their own
LOOKED_AT = 32  # rows that tell how long rows are
MANY = 20_000  # rows from which on workers pay: they take a second to start
PARTS = 16  # into so many is a slice cut when a worker does not survive it


@dataclass(frozen=True)
class Slice:
    """Some rows of a parquet file in a row.  Example: Slice("run/eval/step-000010.parquet", "step-000010", 0, 8192)"""

    file: str
    source: str  # what the model is called where no row says
    start: int
    count: int
    reads_texts: bool = True


def slices_of(files: Iterable[Path]) -> list[Slice]:
    """All rows of the files, in slices that fit in memory.  Raises ValueError naming a file that cannot be read."""
    slices = []
    for file in files:
        rows = _readable(file, lambda file: read_rollouts(file).select(pl.len()).collect().item())
        seen = _readable(file, lambda file: read_rollouts(file).select(COLUMNS).head(LOOKED_AT).collect())
        count = max(LOOKED_AT, min(SLICE_ROWS, int(SLICE_BYTES * seen.height / max(1, seen.estimated_size()))))
        slices += [Slice(str(file), file.stem, at, min(count, rows - at)) for at in range(0, rows, count)]
    return slices


def _readable(file: Path | str, read: Callable[[Path | str], T]) -> T:
    """What `read` makes of the file.  Raises ValueError naming it."""
    try:
        return read(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"{file} is not a readable parquet file: {str(error).splitlines()[0]}") from error


def stream_facts(
    slices: Sequence[Slice], *, pools: Sequence[CuePool] = FACT_POOLS, workers: int = 1
) -> Iterator[pl.DataFrame]:
    """The facts of each slice, in order; with one worker in this process.  Raises ValueError naming a corrupt file."""
    if workers <= 1:
        yield from (slice_facts(part, pools) for part in slices)
        return
    pool = Pool("r1zero.facts.worker:work", size=workers, seconds=SECONDS, memory=0, spare=False)
    try:
        yield from in_order(slices, lambda part: facts_from(pool, part, pools), workers=workers)
    finally:
        pool.close()


def slice_facts(part: Slice, pools: Sequence[CuePool]) -> pl.DataFrame:
    """The facts of a slice.  Raises ValueError naming the file when it is corrupt there."""
    rows = _readable(part.file, lambda f: read_rollouts(f).select(COLUMNS).slice(part.start, part.count).collect())
    return response_facts(rows, source=part.source, pools=pools, reads_texts=part.reads_texts)


# ---------------------------------------------------------------------------------------------------------------------
# Over the pipe


def request(part: Slice, pools: Sequence[CuePool]) -> tuple[Any, ...]:
    """A slice as JSON knows it."""
    asked = (part.file, part.source, part.start, part.count, part.reads_texts)
    return (*asked, [(pool.name, list(pool.cues)) for pool in pools])


def reply(*asked: Any) -> dict[str, str]:
    """What a worker answers: facts as text, or what is wrong with the file."""
    part, pools = Slice(*asked[:5]), [CuePool(name, tuple(cues)) for name, cues in asked[5]]
    try:
        facts = slice_facts(part, pools)
    except ValueError as error:
        return {"error": str(error)}
    buffer = io.BytesIO()
    facts.write_ipc(buffer, compression="zstd")
    return {"facts": base64.b64encode(buffer.getvalue()).decode("ascii")}


def facts_from(pool: Pool, part: Slice, pools: Sequence[CuePool]) -> pl.DataFrame:
    """A slice's facts from a worker; piece by piece where that one does not survive, so that one row suffers."""
    answer = pool.call(*request(part, pools))
    if answer.fault:
        return _again(pool, part, pools, answer.fault)
    if "error" in answer.value:
        raise ValueError(answer.value["error"])
    return pl.read_ipc(base64.b64decode(answer.value["facts"]))


def _again(pool: Pool, part: Slice, pools: Sequence[CuePool], fault: str) -> pl.DataFrame:
    if part.count > 1:
        size = -(-part.count // PARTS)
        ends = part.start + part.count
        pieces = [replace(part, start=at, count=min(size, ends - at)) for at in range(part.start, ends, size)]
        return pl.concat([facts_from(pool, piece, pools) for piece in pieces])
    if not part.reads_texts:
        raise ValueError(f"{part.file}, row {part.start + 1} could not be read ({fault})")
    log.warning("%s, row %d: its text is left out of the analysis (%s)", part.file, part.start + 1, fault)
    return facts_from(pool, replace(part, reads_texts=False), pools)
