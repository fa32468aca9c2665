"""Facts of stored responses: the one table from which every section of a probe is counted.

read_facts("runs/a")  ->  one small row a response  ->  with_verdicts(facts, labels)  ->  sections
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from r1zero.facts.columns import FACT_POOLS, VERDICTS, digest, fact_schema, facts_frame
from r1zero.facts.cues import CuePool
from r1zero.facts.stream import MANY, SLICE_ROWS, slices_of, stream_facts
from r1zero.facts.trajectory import TRANSITIONS
from r1zero.grading.pool import num_cores
from r1zero.store import FOLDERS, SCHEMA, Split, rollout_files

__all__ = [
    "FACT_POOLS",
    "TRANSITIONS",
    "VERDICTS",
    "digest",
    "fact_schema",
    "facts_frame",
    "read_facts",
    "with_verdicts",
]

Rollouts = str | Path | Sequence[str | Path] | pl.LazyFrame | pl.DataFrame


def read_facts(
    rollouts: Rollouts,
    *,
    pools: Sequence[CuePool] = FACT_POOLS,
    split: Split | None = None,
    workers: int | None = None,
) -> pl.DataFrame:
    """The facts of stored responses, one row each, in the order stored; the texts stream past.

    `rollouts` are run directories, parquet files, folders or globs, or a table with columns of the store (those it
    lacks are null).  `split` says which rollouts of a run: by default its evaluations, where it has any.  `workers` are
    processes; by default one for each core, and this one alone for few rows.  The first pool is the chosen one.  Raises
    ValueError naming what is missing or corrupt.
    """
    if isinstance(rollouts, pl.LazyFrame | pl.DataFrame):
        with tempfile.TemporaryDirectory(prefix="r1zero-facts-") as folder:
            return _facts([_written(rollouts.lazy(), Path(folder))], pools, workers)
    sources = [rollouts] if isinstance(rollouts, str | Path) else list(rollouts)
    if not sources:
        raise ValueError("no rollouts to read: give a run directory, a parquet file, a glob or a table")
    return _facts([file for source in sources for file in _files(source, split)], pools, workers)


def _files(source: str | Path, split: Split | None) -> list[Path]:
    if split is None:
        split = "eval" if any((Path(source) / FOLDERS["eval"]).glob("[!.]*.parquet")) else "train"
    return rollout_files(source, split=split)


def _written(rollouts: pl.LazyFrame, folder: Path) -> Path:
    """The table as a file: whatever it is computed from is computed once, and need not fit in memory."""
    there = rollouts.collect_schema()
    columns = [
        (pl.col(name) if name in there else pl.lit(None)).cast(kind).alias(name) for name, kind in SCHEMA.items()
    ]
    path = folder / "unnamed.parquet"
    rollouts.select(columns).sink_parquet(path, compression="lz4", row_group_size=SLICE_ROWS)
    return path


def _facts(files: Sequence[Path], pools: Sequence[CuePool], workers: int | None) -> pl.DataFrame:
    schema = fact_schema(pools)
    slices = slices_of(files)
    if workers is None:
        workers = num_cores() if sum(part.count for part in slices) >= MANY else 1
    return pl.concat([pl.DataFrame(schema=schema), *stream_facts(slices, pools=pools, workers=workers)])


def with_verdicts(facts: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Facts with what judges or labels say of the responses: `verdicts` has `digest` and some columns of `VERDICTS`.

    A verdict replaces an older one; null replaces nothing; of several on one response the last counts.  Verdicts on
    responses that are not there are left out.  Raises ValueError for other columns.
    """
    said = [name for name in verdicts.columns if name != "digest"]
    if "digest" not in verdicts.columns or not set(said) <= set(VERDICTS):
        raise ValueError(
            f"verdicts have the columns {', '.join(verdicts.columns)}: want digest and {', '.join(VERDICTS)}"
        )
    last = (
        verdicts.select(pl.col("digest").cast(pl.UInt64), *(pl.col(name).cast(VERDICTS[name]) for name in said))
        .group_by("digest")
        .agg(pl.col(name).drop_nulls().last() for name in said)
    )
    joined = facts.join(last, on="digest", how="left", suffix="_new", maintain_order="left")
    newest = [pl.coalesce(f"{name}_new", name).alias(name) for name in said]
    return joined.with_columns(newest).select(facts.columns)
