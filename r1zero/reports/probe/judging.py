"""What is said of a judge beside its verdicts: how many there are, how many are missing and why, what they took."""

from __future__ import annotations

import math
from collections.abc import Mapping

from r1zero.probe.verdicts import Judged


def notes(results: Mapping[str, Judged]) -> tuple[str, ...]:
    """A note a model."""
    many = len(results) > 1
    return tuple((f"{name}: " if many else "") + _note(judged) for name, judged in results.items())


def _note(one: Judged) -> str:
    said = (
        f"The judge {one.model} ({one.instruction}) gave a verdict on {one.verdicts:,} of {one.responses:,} distinct "
        f"responses; {_share(one.unparseable, one.replies)} of its replies held none, and "
        f"{_share(one.failed, one.responses)} requests failed"
    )
    said += f" ({one.fault})" if one.fault else ""
    said += ". Responses without a verdict are in none of its shares."
    if one.shortened:
        said += f" Of {one.shortened:,} long ones it saw only beginning and end."
    return f"{said} {_cost(one)}"


def _share(count: int, total: int) -> str:
    """ "13 of 190 (6.8 %)" """
    return f"{count:,} of {total:,}" + (f" ({count / total:.1%})".replace("%", " %") if count else "")


def _cost(one: Judged) -> str:
    if one.replies == one.unmetered:
        return "How many tokens that took, the endpoint does not say."
    cost = "" if math.isnan(one.cost) else f", and cost {one.cost:,.{2 if one.cost >= 0.1 else 4}f}"
    unknown = f" ({one.unmetered:,} replies uncounted)" if one.unmetered else ""
    return f"All replies took {one.tokens_in:,} tokens to read and {one.tokens_out:,} to write{unknown}{cost}."
