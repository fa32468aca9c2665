"""What `r1zero probe --dry-run` prints."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console

from r1zero.probe.estimate import ProbeEstimate
from r1zero.reports.console import print_table
from r1zero.store import jsonable

COLUMNS = ("template", "T", "problems", "samples", "responses", "prompt tokens", "tokens", "at most")


def print_estimate(estimate: ProbeEstimate, console: Console | None = None) -> None:
    """Cells, generations, tokens, time, and how the time was estimated."""
    console = console or Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"{estimate.name}")
    if estimate.note:
        say(estimate.note)
        return
    steps = max(cell.steps for cell in estimate.cells)
    rows = [
        [
            cell.template,
            f"{cell.temperature:g}",
            cell.problems,
            cell.samples,
            cell.generations,
            cell.prompt_tokens,
            "–" if math.isnan(cell.tokens) else f"{cell.tokens:,.0f}",
            f"{cell.most_tokens:,}",
        ]
        for cell in estimate.cells
    ]
    print_table(COLUMNS, rows, console=console)
    for part in estimate.parts:
        say(f"{part.name}: about {part.generations:,} generations, {part.tokens:,.0f} tokens, {duration(part.seconds)}")
    at_steps = f" at {steps} steps" if steps > 1 else ""
    say(f"{estimate.generations:,} generations{at_steps}, about {duration(estimate.seconds)}")
    say(f"  {estimate.how}")
    if judge := estimate.judge:
        cost = f", at most {judge.cost:,.2f} at the prices given" if math.isfinite(judge.cost) else ""
        least = f", at least {judge.minutes:,.0f} minutes" if judge.minutes else ""
        say(
            f"judge: {judge.requests:,} requests, about {judge.tokens_in:,} prompt tokens and at most "
            f"{judge.tokens_out:,} reply tokens{cost}{least}"
        )


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it.

    >>> duration(42.4), duration(627), duration(40_000), duration(400_000)
    ('42 seconds', '10 minutes', '11 hours', '4.6 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def as_object(estimate: ProbeEstimate) -> dict[str, Any]:
    """The same for --json."""
    own = jsonable(estimate)
    return own | {
        "generations": estimate.generations,
        "seconds": estimate.seconds if math.isfinite(estimate.seconds) else None,
        "how": estimate.how,
    }
