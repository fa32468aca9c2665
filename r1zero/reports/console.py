"""What a terminal shows: live progress, and tables.

On a terminal the progress is two lines that redraw themselves; in a file or a pipe it is a plain line a step.
"""

from __future__ import annotations

import json as json_format
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from r1zero.statistics.intervals import Interval, short
from r1zero.store import jsonable


class LiveDisplay:
    """What redraws itself on a terminal while a `with` block runs, and is told in plain lines elsewhere."""

    frames_per_second = 4

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self.live: Live | None = None  # on a terminal, inside the block

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live = Live(self, console=self.console, refresh_per_second=self.frames_per_second)  # type: ignore[arg-type]
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()


class TrainingProgress(LiveDisplay):
    """Shows a run while it trains: `with TrainingProgress(40, "dr_grpo") as progress: train(config, progress)`.

    `every` is how many steps lie between plain lines where there is no terminal; by default a run has about 100 lines.
    """

    def __init__(self, total_steps: int, title: str = "", console: Console | None = None, every: int | None = None):
        super().__init__(console)
        self.total, self.title = total_steps, title
        self.every = every or max(1, total_steps // 100)
        self.done = 0
        self.metrics: Mapping[str, Any] = {}
        self.held_out = ""
        self.sampled_tokens = 0
        self.step_seconds: deque[float] = deque(maxlen=20)
        self.last_time: float | None = None

    def step(self, step: int, metrics: Mapping[str, Any]) -> None:
        """A step is done; `metrics` is its row."""
        now = time.monotonic()
        spent = now - self.last_time if self.last_time is not None else metrics.get("speed/step_s")
        if spent is not None and math.isfinite(spent):
            self.step_seconds.append(spent)
        self.last_time = now
        self.done, self.metrics, self.sampled_tokens = step, metrics, 0
        evaluated = held_out_accuracy(metrics)
        self.held_out = evaluated or ("" if not self.live else self.held_out)  # a live line keeps the last one
        if not self.live and (step % self.every == 0 or step == self.total or evaluated):
            self._plain(f"step {step:>{len(str(self.total))}}/{self.total}  " + "  ".join(self.facts()))

    def note(self, message: str) -> None:
        """Something worth a line of its own, above the progress."""
        if self.live:
            self.live.console.print(Text(message, style="dim"))
        else:
            self._plain(message)

    def tokens(self, count: int) -> None:
        """`count` more tokens were sampled in the step under way."""
        self.sampled_tokens += count

    @property
    def seconds_left(self) -> float:
        """Steps left at the mean pace of the last ones, evaluations included; NaN before the first."""
        if not self.step_seconds:
            return math.nan
        return (self.total - self.done) * sum(self.step_seconds) / len(self.step_seconds)

    def facts(self) -> list[str]:
        """What is shown of the last step, undefined numbers left out."""
        shown = {
            "reward": short(self.metrics.get("reward/mean", math.nan)),
            "held-out": self.held_out or "–",
            "length": show_number(self.metrics.get("response/tokens_mean", math.nan)),
            "tokens/s": show_number(self.metrics.get("speed/rollout_tokens_per_s", math.nan)),
            "left": show_time(self.seconds_left) if self.done < self.total else "–",
        }
        return [f"{name} {value}" for name, value in shown.items() if value != "–"]

    def __rich__(self) -> Group:
        """The two live lines."""
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True, justify="right")
        line.add_row(Text(self.title or "train"), ProgressBar(self.total, self.done), f"{self.done}/{self.total}")
        if self.metrics:
            return Group(line, Text("  " + " · ".join(self.facts()), style="cyan", no_wrap=True, overflow="ellipsis"))
        waiting = f"sampling, {self.sampled_tokens:,} tokens" if self.sampled_tokens else "loading and first evaluation"
        return Group(line, Spinner("dots", Text(waiting, style="dim")))

    def _plain(self, message: str) -> None:
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)


def held_out_accuracy(metrics: Mapping[str, Any]) -> str:
    """ ".41 [.37, .45]" of the evaluation in a metrics row, "" where there was none; several suites are named."""
    suites = [key.removesuffix("/accuracy").removeprefix("eval/") for key in metrics if key.endswith("/accuracy")]
    shown = []
    for suite in suites:
        accuracy = Interval(*(metrics.get(f"eval/{suite}/accuracy{end}", math.nan) for end in ("", "_low", "_high")))
        shown.append(str(accuracy) if len(suites) == 1 else f"{suite} {accuracy}")
    return ", ".join(shown)


def show_number(value: float) -> str:
    """A count or rate for people: three digits matter, thousands are separated, undefined is a dash.

    >>> show_number(4.126), show_number(143.4), show_number(5203.9), show_number(float("nan")), show_number(0)
    ('4.13', '143', '5,204', '–', '0')
    """
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def show_time(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> show_time(38.4), show_time(754), show_time(7384), show_time(float("nan"))
    ('0:38', '12:34', '2:03:04', '–')
    """
    if not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    json: bool = False,
    *,
    title: str = "",
    console: Console | None = None,
) -> None:
    """Print rows as a table, or with `json` as a list of objects named by the columns (intervals with their bounds)."""
    console = console or Console()
    if json:
        objects = [{name: jsonable(value) for name, value in zip(columns, row, strict=True)} for row in rows]
        console.file.write(json_format.dumps(objects, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return
    console.print(as_table(columns, rows, title=title))


def as_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> Table:
    """The rows as a rich table: numbers to the right, text to the left, nothing interpreted as markup."""
    table = Table(
        title=Text(title) if title else None, title_justify="left", box=None, header_style="bold", pad_edge=False
    )
    for index, name in enumerate(columns):
        texts = any(isinstance(row[index], str) for row in rows)
        table.add_column(Text(name), justify="left" if texts or not rows else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(show_value(value)) for value in row))
    return table


def show_value(value: Any) -> str:
    """One cell of a table."""
    if value is None or (isinstance(value, Interval) and math.isnan(value.estimate)):
        return "–"
    if isinstance(value, float):
        return short(value) if abs(value) <= 1 and not value.is_integer() else show_number(value)
    if isinstance(value, Interval) and abs(value.estimate) > 1:
        return f"{value:,.0f}"
    return str(value)
