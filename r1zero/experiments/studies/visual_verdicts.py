"""What a study on pictures found, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from r1zero.experiments.studies.factorial import tokens
from r1zero.experiments.studies.visual_measures import AT_ONCE, RESPONSE_TOKENS
from r1zero.experiments.studies.visual_result import (
    ACCURACY,
    BEHAVIOUR,
    SUBTASKS,
    ArmRepetition,
    ArmThinking,
    Difference,
)
from r1zero.statistics.intervals import Interval, short, show_p

RARE = 0.9  # where more of the answers come at once, the others are too few to say what their thinking does
CALLED = {
    RESPONSE_TOKENS: "held-out responses",
    AT_ONCE: "held-out responses without thinking",
    "think_tokens": "thinking in training",
    "cue_share": "the share of training responses with a reflection cue",
    "copied": "the share of words copied from earlier in a training response",
}


def verdicts(
    differences: Sequence[Difference], thinking: Sequence[ArmThinking], repetition: Sequence[ArmRepetition]
) -> tuple[str, ...]:
    """A sentence for each comparison, then whether thinking matters, then whether responses repeat themselves."""
    said = [_sentence(one, differences) for one in differences if one.family == ACCURACY]
    said += [_thinking_sentence(one) for one in thinking if one.without_thinking.estimate < RARE]
    return (*said, *_repetition_sentences(repetition))


def _sentence(total: Difference, differences: Sequence[Difference]) -> str:
    """The total, then what was found in sub-tasks and in behaviour."""
    own = [one for one in differences if one.comparison == total.comparison]
    parts = [accuracy_clause(total)]
    if kinds := [one for one in own if one.family == SUBTASKS and one.found]:
        parts.append("by sub-task " + ", ".join(f"{one.outcome} {fraction(one.interval)}" for one in kinds))
    for one in own:
        if one.family == BEHAVIOUR and one.found:
            unit = f"{tokens(one.interval)} tokens" if "tokens" in one.outcome else fraction(one.interval)
            parts.append(f"{CALLED[one.outcome]} {unit}")
    says = total.comparison.says
    return f"{says[0].upper()}{says[1:]}: {'; '.join(parts)}."


def accuracy_clause(one: Difference) -> str:
    """What one comparison says of accuracy."""
    size = fraction(one.interval)
    if math.isnan(one.p_value):  # one seed, or all seeds alike to the last digit
        return f"accuracy {fraction(one.interval.estimate)}, and nothing can be said of the spread over seeds"
    if one.found:
        return f"accuracy {size} ({show_p(one.holm_p)} after Holm's correction)"
    if one.hinted:
        return f"accuracy may differ: {size} ({show_p(one.p_value)} by itself, {show_p(one.holm_p)} corrected)"
    power = f"; it could have seen {short(one.detectable)}" if math.isfinite(one.detectable) else ""
    return f"no difference in accuracy found: {size}{power}"


def _thinking_sentence(one: ArmThinking) -> str:
    lost = _negative(one.own_minus_deleted)
    who = f"the thinking of {one.arm}'s final model"
    if one.deleted_p < 0.05:
        start = f"{who[0].upper()}{who[1:]} {'matters' if lost.estimate < 0 else 'harms'}"
    else:
        start = f"Whether {who} matters cannot be told"
    other = f"with another question's {fraction(_negative(one.own_minus_swapped))}"
    share = (
        f"; {one.without_thinking.estimate:.0%} of its answers have none"
        if one.without_thinking.estimate >= 0.005
        else ""
    )
    return f"{start}: without it accuracy changes by {fraction(lost)}, {other}{share}."


def _repetition_sentences(repetition: Sequence[ArmRepetition]) -> list[str]:
    """The arms whose alarm sounded; whether it sounded in no other; those where nothing could sound."""
    alarmed = [one for one in repetition if one.sounded]
    unknown = [one.arm for one in repetition if not one.seeds]
    said = [_repetition_sentence(one) for one in alarmed]
    if len(repetition) > len(alarmed) + len(unknown):
        said.append(f"The alarm for repetition sounds in no {'other ' if alarmed else ''}arm.")
    if unknown:
        said.append(
            f"Whether responses of {', '.join(unknown)} repeat themselves cannot be told: the first ones are too few "
            "to set a bar."
        )
    return said


def _repetition_sentence(one: ArmRepetition) -> str:
    share = f"{one.first.estimate:.0%} → {one.last.estimate:.0%}"
    return (
        f"Responses of {one.arm} repeat themselves beyond the bar of their first ones in {one.sounded} of {one.seeds} "
        f"seeds ({share} of responses)."
    )


def _negative(value: Interval) -> Interval:
    return Interval(-value.estimate, -value.high, -value.low)


def fraction(value: Interval | float) -> str:
    """A signed difference of fractions with two digits.

    >>> fraction(Interval(0.151, 0.09, 0.22)), fraction(-0.034), fraction(float("nan"))
    ('+.15 [+.09, +.22]', '−.03', '–')
    """
    if isinstance(value, Interval):
        if not math.isfinite(value.low):
            return fraction(value.estimate)
        return f"{fraction(value.estimate)} [{fraction(value.low)}, {fraction(value.high)}]"
    return tokens(value, "+.2f").replace("0.", ".", 1) if abs(value) < 1 else tokens(value, "+.2f")
