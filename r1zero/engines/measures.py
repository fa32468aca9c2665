"""What an engine says about itself after a step, where it has something to say."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Measures(Protocol):
    """An engine that measures what it does."""

    def metrics(self) -> dict[str, float]:
        """Since this was last asked: {"cluster/workers": 2, ...}."""
        ...


def engine_metrics(engine: object) -> dict[str, float]:
    """Its metrics; none of an engine that has none."""
    return engine.metrics() if isinstance(engine, Measures) else {}
