"""What a measurement was taken on, and how its rows are shown and kept."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table


def describe(threads: int, device: str = "cpu") -> dict[str, Any]:
    """Hardware, versions, commit and command."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "hardware": torch.cuda.get_device_name() if device.startswith("cuda") else f"{processor}, {threads} thread(s)",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "commit": commit,
        "command": " ".join(["python", "-m", "benchmarks." + Path(sys.argv[0]).stem, *sys.argv[1:]]),
    }


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """A table with one line a row; floats with three digits."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(_show(row.get(name, "")) for name in columns))
    console = Console(width=None if sys.stdout.isatty() else 130)  # a file has room
    console.print(table)
    console.print(f"{facts['hardware']}; torch {facts['versions']['torch']}; commit {facts['commit']}")


def _show(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def write_json(path: Path | None, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """The rows with the facts beside them; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**facts, "rows": list(rows)}, indent=1) + "\n")
