"""Progress of pretraining and fine-tuning: steps, loss and time left on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO


class StepLine:
    """A line that rewrites itself on a terminal; elsewhere a line every twentieth part of the way.

    `StepLine("sft")` is called with (step, steps in all, metrics).
    """

    def __init__(self, title: str, out: TextIO | None = None):
        self.title = title
        self.out = out or sys.stderr
        self.started = time.monotonic()

    def __call__(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        from r1zero.reports.console import show_number, show_time

        spent = time.monotonic() - self.started
        left = show_time(spent / step * (steps - step)) if step else "–"
        facts = "  ".join(f"{name} {show_number(value)}" for name, value in metrics.items())
        line = f"{self.title}  step {step}/{steps}  {facts}  left {left}"
        if self.out.isatty():
            self.out.write("\r\x1b[K" + line + ("\n" if step == steps else ""))
        elif step == steps or step % max(1, steps // 20) == 0:
            self.out.write(line + "\n")
        self.out.flush()
