"""The inside of a worker that turns slices of parquet files into facts."""

from __future__ import annotations

import os
from typing import Any


def prepare() -> None:
    """Import what is slow; polars decides on its threads when it is imported, and a worker is one of several."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    import r1zero.facts.stream  # noqa: F401 - not before the line above


def work(*asked: Any) -> dict[str, str]:
    """The answer to one request, both as JSON knows them."""
    from r1zero.facts.stream import reply

    return reply(*asked)
