"""Several runs under way, one line each, as their metrics.jsonl tells it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from r1zero.analysis.statistics import short

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


class RunsProgress:
    """Shows a launch: on a terminal a line a run that redraws itself, elsewhere about ten lines a run.

    `with RunsProgress() as progress: run_all(configs, progress=progress)`
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self.states: tuple[RunState, ...] = ()
        self.live: Live | None = None

    def __enter__(self) -> RunsProgress:
        if self.console.is_terminal:
            self.live = Live(self, console=self.console, refresh_per_second=2)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def show(self, states: Sequence[RunState]) -> None:
        before = {state.label: state for state in self.states}
        self.states = tuple(states)
        if self.live:
            return
        for state in states:
            earlier = before.get(state.label, RunState(state.label, state.total))
            if worth_a_line(earlier, state):
                begun = ["started"] if earlier.status == "waiting" and state.status == "running" else []
                self._plain("  ".join([state.label, f"step {state.step}/{state.total}", *begun, *facts(state)]))

    def note(self, message: str) -> None:
        if self.live:
            self.live.console.print(Text(message))
        else:
            self._plain(message)

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=28)
        table.add_column(width=12)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", style="cyan")
        for state in self.states:
            bar = ProgressBar(state.total, state.step, width=12)
            table.add_row(Text(state.label), bar, Text(f"{state.step}/{state.total}"), Text(" · ".join(facts(state))))
        return table

    def _plain(self, message: str) -> None:
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)


def worth_a_line(before: RunState, now: RunState) -> bool:
    """Where nothing redraws: a new status, an evaluation, or another tenth of the way."""
    tenths = [state.step * 10 // state.total for state in (before, now)]
    evaluated = now.accuracy != before.accuracy and math.isfinite(now.accuracy)
    moved = before.step < now.step < now.total  # the last step is told by the status
    return now.status != before.status or (moved and (tenths[0] != tenths[1] or evaluated))


def facts(state: RunState) -> list[str]:
    """What is worth showing of a run, undefined numbers left out."""
    shown: list[str] = ["" if state.status == "running" else state.status]
    shown.append(f"reward {short(state.reward)}" if math.isfinite(state.reward) else "")
    shown.append(f"held-out {short(state.accuracy)}" if math.isfinite(state.accuracy) else "")
    if state.status == "running" and state.step < state.total and math.isfinite(state.steps_per_s):
        minutes, seconds = divmod(round((state.total - state.step) / state.steps_per_s), 60)
        shown.append(f"{minutes}:{seconds:02d} left")
    return [fact for fact in shown if fact]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
