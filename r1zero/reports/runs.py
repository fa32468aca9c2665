"""Several runs under way, one line each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from r1zero.experiments.watch import RunState
from r1zero.reports.console import LiveDisplay
from r1zero.statistics.intervals import short


class RunsProgress(LiveDisplay):
    """Shows a launch: on a terminal a line a run that redraws itself, elsewhere about ten lines a run.

    `with RunsProgress() as progress: run_all(configs, progress=progress)`
    """

    frames_per_second = 2

    def __init__(self, console: Console | None = None):
        super().__init__(console)
        self.states: tuple[RunState, ...] = ()

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
    tenths = [state.step * 10 // max(1, state.total) for state in (before, now)]
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
