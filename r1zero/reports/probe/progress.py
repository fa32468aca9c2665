"""What a terminal shows while a probe asks: what is under way, how far it is, tokens a second and the time left."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from r1zero.reports.console import LiveDisplay, show_number, show_time

LINES = 10  # plain lines a stage has where there is no terminal


class ProbeProgress(LiveDisplay):
    """`with ProbeProgress("tiny-search") as progress:` is the watcher of one probe after another."""

    def __init__(self, title: str = "", console: Console | None = None):
        super().__init__(console)
        self.title = title
        self.stage, self.total, self.done, self.before = "loading", 0, 0, 0
        self.sampled, self.started, self.told = 0, time.monotonic(), 0

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Another stage: `total` responses, of which `done` are there already; 0 where that is not known before."""
        self.stage, self.total, self.done, self.before = what, total, done, done
        self.sampled, self.started, self.told = 0, time.monotonic(), 0
        if not self.live:
            there = f", {done:,} of them there already" if done else ""
            self._plain(f"{self.title}: {what}" + (f" {total:,} responses{there}" if total else ""))

    def advance(self, count: int) -> None:
        """`count` more responses are graded and kept."""
        self.done += count
        tenth = LINES * self.done // max(1, self.total)
        if not self.live and tenth > self.told and self.done < self.total:
            self.told = tenth
            self._plain(f"{self.title}: {self.done:,}/{self.total:,}  " + "  ".join(self.facts()))

    def tokens(self, count: int) -> None:
        """`count` more tokens were sampled."""
        self.sampled += count

    def facts(self) -> list[str]:
        """Tokens, tokens a second and time left, as far as they are known."""
        spent = time.monotonic() - self.started
        pace = self.sampled / spent if self.sampled and spent > 0 else math.nan
        asked = self.done - self.before
        left = (self.total - self.done) * spent / asked if asked and self.total else math.nan
        shown = {"tokens": show_number(float(self.sampled)), "tokens/s": show_number(pace), "left": show_time(left)}
        return [f"{name} {value}" for name, value in shown.items() if value not in ("–", "0")]

    def __rich__(self) -> Table:
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True, justify="right")
        facts = " · ".join(self.facts())
        if self.total:
            line.add_row(
                Text(f"{self.title}: {self.stage}"),
                ProgressBar(self.total, self.done),
                f"{self.done:,}/{self.total:,}  {facts}",
            )
        else:
            line.add_row(Spinner("dots", Text(f"{self.title}: {self.stage}")), "", facts)
        return line

    def _plain(self, message: str) -> None:
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)
