"""Progress of pretraining and fine-tuning: steps, loss and time left on stderr."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import TextIO

BAR = 24  # characters


class StepLine:
    """A line that rewrites itself on a terminal; elsewhere about twenty lines in all.

    `StepLine("sft")` is called with (step, steps in all, metrics).
    """

    def __init__(self, title: str, out: TextIO | None = None):
        self.title = title
        self.out = out or sys.stderr
        self.started = time.monotonic()

    def __call__(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        line = f"{self.title}  step {step}/{steps}  " + "  ".join(self.facts(step, steps, metrics))
        if self.out.isatty():
            done = BAR * step // steps
            self.out.write(f"\r\x1b[K{'━' * done}{'─' * (BAR - done)} {line}" + ("\n" if step == steps else ""))
        elif step == steps or step % max(1, steps // 20) == 0:
            self.out.write(line + "\n")
        self.out.flush()

    def facts(self, step: int, steps: int, metrics: Mapping[str, float]) -> list[str]:
        """What is worth showing, undefined numbers left out."""
        from r1zero.reports.console import show_number, show_time

        pace = metrics.get("tokens", math.nan) / (metrics.get("seconds") or math.nan)
        shown = {
            "loss": f"{metrics.get('learner/loss', math.nan):.3f}",
            "tokens/s": show_number(pace),
            "left": show_time((time.monotonic() - self.started) / step * (steps - step)),
        }
        return [f"{name} {value}" for name, value in shown.items() if value not in ("nan", "–")]
