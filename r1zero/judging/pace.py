"""When the next request may start."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Requests evenly spaced, `per_minute` of them (0: as they come), and none while the endpoint asks to wait."""

    def __init__(self, per_minute: float) -> None:
        self._gap_s = 60 / per_minute if per_minute else 0.0
        self._next = 0.0  # on the clock of time.monotonic

    async def turn(self) -> None:
        """Returns when the caller may start a request."""
        start = max(time.monotonic(), self._next)
        self._next = start + self._gap_s
        await asyncio.sleep(max(0.0, start - time.monotonic()))

    def hold(self, seconds: float) -> None:
        """Let nobody start before so many seconds have passed."""
        self._next = max(self._next, time.monotonic() + seconds)
