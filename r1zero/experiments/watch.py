"""Several runs under way, one line each, as their metrics.jsonl tells it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["waiting", "running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class RunState:
    """How far one run is.

    Example: RunState("seed-0", total=60, status="running", step=12, reward=0.24, accuracy=0.19)
    """

    label: str
    total: int  # steps planned
    status: Status = "waiting"
    step: int = 0
    reward: float = math.nan  # of the last step
    accuracy: float = math.nan  # of the last held-out evaluation
    steps_per_s: float = math.nan  # since this process saw its first step


class LaunchProgress(Protocol):
    """Who watches a launch; `show` is called whenever something may have changed."""

    def show(self, states: Sequence[RunState]) -> None: ...
    def note(self, message: str) -> None: ...


class MetricsTail:
    """Reads the lines that were added to a run's metrics.jsonl since the last look, and what they say."""

    def __init__(self, run_dir: Path, state: RunState):
        self.run_dir, self.state = run_dir, state
        self._position = 0
        self._began: tuple[float, int] | None = None  # when and at which step this process first saw progress

    def look(self) -> RunState:
        """The run's state by now."""
        path = self.run_dir / "metrics.jsonl"
        size = path.stat().st_size if path.exists() else 0
        if size < self._position:  # went back to a checkpoint
            self._position = 0
        if size > self._position:
            with open(path, "rb") as handle:
                handle.seek(self._position)
                lines = handle.read().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            self._position += sum(map(len, whole))
            for line in whole:
                self._read(json.loads(line))
        return self.state

    def mark(self, status: Status) -> None:
        """Something happened to the run."""
        self.state = replace(self.look(), status=status)

    def _read(self, row: dict[str, Any]) -> None:
        step = int(row["step"])
        accuracies = [value for key, value in row.items() if key.startswith("eval/") and key.endswith("/accuracy")]
        self.state = replace(
            self.state,
            step=step,
            reward=_number(row.get("reward/mean", self.state.reward)),
            accuracy=_number(accuracies[0]) if accuracies else self.state.accuracy,
            steps_per_s=self._pace(step),
        )

    def _pace(self, step: int) -> float:
        if self._began is None or step <= self._began[1]:
            self._began = (time.monotonic(), step)
            return math.nan
        return (step - self._began[1]) / max(1e-9, time.monotonic() - self._began[0])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
