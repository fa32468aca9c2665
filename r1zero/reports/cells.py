"""How an interval is written in a cell or a sentence, and the line it is read against."""

from __future__ import annotations

import math
import re
from typing import Any

from r1zero.statistics.intervals import Interval


def shown(interval: Interval | None, spec: str = "f") -> str:
    """The interval by `spec` (statistics.Interval); only "–" where there is no estimate.

    >>> shown(Interval(0.5, 0.25, 0.75)), shown(Interval(-35, -45, -25), "+.0f"), shown(None)
    ('.50 [.25, .75]', '−35 [−45, −25]', '–')
    >>> shown(Interval(6, -0.2, 13), "+.0f")
    '+6 [0, +13]'
    """
    if interval is None or not math.isfinite(interval.estimate):
        return "–"
    text = re.sub(r"[-−](0(?:\.0+)?)(?![.\d])", r"\1", format(interval, spec))  # a zero has no sign
    return text.replace("-", "−")


def fine(interval: Interval, digits: int = 3) -> str:
    """Three or more digits without the leading zero, for small shares.

    >>> fine(Interval(0.026, 0.022, 0.03))
    '.026 [.022, .030]'
    """
    return re.sub(r"\b0\.", ".", shown(interval, f".{digits}f"))


def small(share: float) -> str:
    """A small share alone.

    >>> small(0.0234), small(1.0)
    ('.023', '1.000')
    """
    return f"{share:.3f}".removeprefix("0") if math.isfinite(share) else "–"


def elided(name: str, most: int) -> str:
    """A name of at most so many characters, without its middle: what tells names apart stands at either end.

    >>> elided("qwen2.5-math-1.5b_base_math_r1", 20), elided("ev-r1", 20)
    ('qwen2.5-m…se_math_r1', 'ev-r1')
    """
    half = most // 2
    return name if len(name) <= most else f"{name[: most - half - 1]}…{name[-half:]}"


def unbroken(text: object) -> str:
    """The text with intervals and p-values that stay on one line.

    >>> unbroken("a difference of .03 [.01, .05] (p < .001)").count("\\u00a0")
    4
    """
    return re.sub(r"\S+ \[[^\]\[]*\]|p [=<] [.\d]+|\d %", lambda match: match[0].replace(" ", "\u00a0"), str(text))


def negated(interval: Interval) -> Interval:
    """The same difference, taken the other way round.

    >>> str(negated(Interval(-0.2, -0.3, -0.1)))
    '.20 [.10, .30]'
    """
    return Interval(-interval.estimate, -interval.high, -interval.low)


def upright(x: float) -> dict[str, Any]:
    """A vertical line of a figure at x: what "no difference" would be."""
    stroke = {"color": "@muted", "width": 1.5}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": stroke}
