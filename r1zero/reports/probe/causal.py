"""The causal section of a probe: what keeping, banning, replacing and inserting a cue does to the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from r1zero.probe.effects import Arm, Effect
from r1zero.probe.interventions import HERE, CausalResult
from r1zero.reports.cells import negated, shown
from r1zero.reports.dots import dots
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.reports.traces import Figure
from r1zero.statistics.intervals import Interval, short, show_p

TITLE = "Does reflecting cause right answers?"
QUESTION = (
    "Responses are broken off at their first cue and continued with it, without it, with something else in its place; "
    "and the same where no cue stood."
)
ARMS = {
    "kept": "what stood there is kept",
    "banned": "cues banned from there on",
    "banned_here": f"cues banned for {HERE} tokens",
    "filler": "neutral words instead",
    "answer": "answer forced at once",
    "inserted": "cue inserted",
    "nothing": "nothing inserted",
    "untouched": "number left as it was",
    "wrong": "number made wrong",
}
KINDS = {
    "cue": "first cue",
    "placebo": "placebo place",
    "insert_random": "random sentence start",
    "insert_entropy": "most undecided sentence start",
    "insert_end": "end of the response",
    "recovery": "behind a calculated number",
}
AGAINST = {
    "banned": "kept − banned",
    "banned_here": f"kept − banned for {HERE} tokens",
    "filler": "kept − neutral filler",
    "answer": "kept − answer now",
}
ALONE = {
    "insert_random": "cue at random − nothing",
    "insert_entropy": "cue if undecided − nothing",
    "insert_end": "cue at the end − nothing",
    "recovery": "wrong number − untouched",
}
SERIES = {
    "cue": "at the first cue",
    "placebo": "at placebo places",
    "corrected": "cue less placebo",
    "alone": "insertion, error",
}
LEVEL = 0.05  # of p-values after Holm
FEW = 10  # problems below which an interval over problems is a rough guess


def section(results: Mapping[str, CausalResult]) -> Section:
    """One section for all models: sentences, a forest of effects on the outcome and one on tokens, tables."""
    several = len(results) > 1
    findings = [
        (f"{model}: " if several else "") + sentence for model, result in results.items() for sentence in _says(result)
    ]
    return Section(
        "causal",
        TITLE,
        QUESTION,
        tuple(findings) or ("No model was intervened in.",),
        (_effects_table(results), _arms_table(results), _balance_table(results)),
        tuple(_panels(results)),
        tuple(_notes(results)),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Sentences


def _says(result: CausalResult) -> list[str]:
    at = {_place(effect): effect for effect in result.effects}
    said = []
    if not result.reflecting:
        said.append(
            f"None of {result.responses:,} responses holds a cue of the pool {result.pool}: there is none to ban."
        )
    said += _at_cue(result, at)
    said += _others(at)
    return said


def _at_cue(result: CausalResult, at: Mapping[tuple[str, str], Effect]) -> list[str]:
    banned, placebo, left = (at[series, "banned"] for series in ("cue", "placebo", "corrected"))
    if not banned.prefixes:
        return []
    said = [
        f"{_verdict(banned, 'Keeping the first cue rather than banning cues from there on')} "
        f"{_chance(result, 'cue', 'kept')} against {_chance(result, 'cue', 'banned')} end right, a difference of "
        f"{banned.accuracy} ({_p(banned)}; {banned.prefixes} prefixes of {banned.problems} problems), for "
        f"{shown(banned.tokens, '+.0f')} tokens a response.{_blind(banned)}"
    ]
    if placebo.prefixes:
        told = "" if _clear(left) else ", which cannot be told from none"
        said.append(
            f"Banning cues where none stood changes the chance by {negated(placebo.accuracy)}, so "
            f"{left.accuracy} is left for the cue itself ({_p(left)}){told}."
        )
    filler, filled, rest = (at[series, "filler"] for series in ("cue", "placebo", "corrected"))
    if filler.prefixes and filled.prefixes:
        alike = not _clear(rest)
        meaning = (
            "the interruption costs as much, so this says nothing of the cue"
            if alike
            else f"{rest.accuracy} is left for the cue ({_p(rest)})"
        )
        said.append(
            f"Neutral words in the cue's place cost {filler.accuracy}, at a placebo place {filled.accuracy}: {meaning}."
        )
    answer, beyond = at["cue", "answer"], at["corrected", "answer"]
    if answer.prefixes:
        beside = f"; less the same at a placebo place, {beyond.accuracy} ({_p(beyond)})" if beyond.prefixes else ""
        said.append(
            f"Going on to reflect rather than answering at once is worth {answer.accuracy} ({_p(answer)}) at "
            f"{shown(answer.tokens, '+.0f')} tokens{beside}."
        )
    return said


def _others(at: Mapping[tuple[str, str], Effect]) -> list[str]:
    inserted = [(kind, at["alone", kind]) for kind in ("insert_random", "insert_entropy", "insert_end")]
    words = {"insert_random": "at random", "insert_entropy": "where it was most undecided", "insert_end": "at its end"}
    parts = [f"{words[kind]} {one.accuracy} ({_p(one)})" for kind, one in inserted if one.prefixes]
    said = [f"A cue forced into a response changes the chance: {', '.join(parts)}."] if parts else []
    slip = at["alone", "recovery"]
    if slip.prefixes:
        said.append(
            f"A wrong number written into a right response costs {negated(slip.accuracy)} of the chance ({_p(slip)}; "
            f"{slip.prefixes} responses), and {shown(slip.tokens, '+.0f')} tokens."
        )
    return said


def _clear(effect: Effect) -> bool:
    """Whether an effect is more than chance: its interval leaves 0 out, and so says its p-value after Holm."""
    p_value = effect.p_holm if math.isfinite(effect.p_holm) else effect.p_value
    return (effect.accuracy.low > 0 or effect.accuracy.high < 0) and p_value < LEVEL


def _verdict(effect: Effect, what: str) -> str:
    if not math.isfinite(effect.accuracy.low):
        return f"{what}: too few problems to tell;"
    if not _clear(effect):
        return f"{what} has no effect that can be told:"
    return f"{what} helps:" if effect.accuracy.estimate > 0 else f"{what} harms:"


def _blind(effect: Effect) -> str:
    """What such a test would have missed, where nothing was found."""
    if _clear(effect) or not math.isfinite(effect.detectable):
        return ""
    return f" A true difference of {short(effect.detectable)} would be missed by one such test in five."


def _p(effect: Effect) -> str:
    return f"{show_p(effect.p_holm)} after Holm" if math.isfinite(effect.p_holm) else show_p(effect.p_value)


def _chance(result: CausalResult, kind: str, arm: str) -> Interval | str:
    return next((one.accuracy for one in result.arms if (one.kind, one.name) == (kind, arm)), "–")


def _notes(results: Mapping[str, CausalResult]) -> list[str]:
    notes = [
        "Intervals are bootstraps over problems, p-values flip or swap whole problems. Holm's correction counts the "
        "effects at the cue, those less placebo, the insertions and the injected error. An effect is that of cues that "
        "this model wrote by itself, under its own token budget."
    ]
    for model, result in results.items():
        name = f"{model}: " if len(results) > 1 else ""
        cue = next(one for one in result.balance if one.kind == "cue")
        if cue.places > 0 and result.effects[0].problems < FEW:
            notes.append(
                f"{name}{result.effects[0].problems} problems reflect; {FEW} or more are needed for an interval."
            )
        if result.later.estimate > 0:
            notes.append(
                f"{name}in {result.later} of the continuations at placebo places left alone a cue follows later. "
                "Banning prevents that too, so what is left for the cue itself after banning is too small by about "
                "that share of it; after a ban of a few tokens it is not."
            )
        if result.leak.estimate > 0:
            notes.append(f"{name}in {result.leak} of the continuations a cue was written although banned.")
        notes += [f"{name}{count} left out: {_reason(reason)}." for reason, count in result.left_out]
    return notes


def _reason(text: str) -> str:
    """Why something was left out, with the place in words."""
    kind, colon, rest = text.partition(": ")
    return f"{KINDS.get(kind, kind)}{colon}{rest}"


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _effects_table(results: Mapping[str, CausalResult]) -> TextTable:
    rows = [
        (*_named(results, model), *_effect_cells(effect))
        for model, result in results.items()
        for effect in result.effects
    ]
    columns = ("what", "where", "P(right)", "p, Holm", "tokens", "prefixes", "problems", "p", "detectable")
    caption = (
        "Difference of the chance to end right, and of tokens from the place on, with 95 % intervals. Detectable is "
        "the true difference that so many problems show with probability .8."
    )
    return TextTable("causal-effects", "effects", caption, _head(results) + columns, tuple(rows))


def _effect_cells(effect: Effect) -> tuple[str, ...]:
    return (
        _label(effect),
        _series(effect),
        shown(effect.accuracy),
        _bare(effect.p_holm),
        shown(effect.tokens, "+.0f"),
        str(effect.prefixes),
        str(effect.problems),
        _bare(effect.p_value),
        short(effect.detectable),
    )


def _bare(p_value: float) -> str:
    """A p-value for a column that says p."""
    return show_p(p_value).removeprefix("p ").removeprefix("= ") if math.isfinite(p_value) else "–"


def _arms_table(results: Mapping[str, CausalResult]) -> TextTable:
    rows = [(*_named(results, model), *_arm_cells(arm)) for model, result in results.items() for arm in result.arms]
    inserted = ", ".join(sorted({f"“{result.inserted}”" for result in results.values()}))
    caption = f"Means over continuations, clustered by problem. The inserted cue is {inserted}."
    columns = ("where", "what", "P(right)", "tokens", "truncated", "cue sampled", "continuations")
    return TextTable("causal-arms", "arms", caption, _head(results) + columns, tuple(rows), folded=True)


def _arm_cells(arm: Arm) -> tuple[str, ...]:
    return (
        KINDS[arm.kind],
        ARMS[arm.name],
        str(arm.accuracy),
        shown(arm.tokens, ".0f"),
        str(arm.truncated),
        str(arm.cues),
        f"{arm.continuations:,}",
    )


def _balance_table(results: Mapping[str, CausalResult]) -> TextTable:
    rows = [
        (*_named(results, model), KINDS[one.kind], shown(one.depth, ".1f"), shown(one.entropy, ".2f"), str(one.places))
        for model, result in results.items()
        for one in result.balance
    ]
    caption = (
        "Placebo places are sentence starts without a cue, matched on these two and, where it can be, the problem."
    )
    columns = ("where", "tokens before it", "entropy (nats)", "places")
    return TextTable(
        "causal-balance", "how alike the places are", caption, _head(results) + columns, tuple(rows), folded=True
    )


def _head(results: Mapping[str, CausalResult]) -> tuple[str, ...]:
    return ("model",) if len(results) > 1 else ()


def _named(results: Mapping[str, CausalResult], model: str) -> tuple[str, ...]:
    return (model,) if len(results) > 1 else ()


# ---------------------------------------------------------------------------------------------------------------------
# Forests


def _panels(results: Mapping[str, CausalResult]) -> list[Panel]:
    """Two forests a model, on one scale for all models."""
    caption = "Right of zero: more with what is named first. Lines are 95 % intervals over problems."
    panels = []
    for title, axis, of in (
        ("Effect on the chance to end right", "difference of P(right)", "accuracy"),
        ("Effect on tokens spent", "difference of tokens from the place on", "tokens"),
    ):
        intervals = [getattr(effect, of) for result in results.values() for effect in result.effects]
        ends = [0.0, *(end for one in intervals for end in (one.low, one.high, one.estimate) if math.isfinite(end))]
        margin = 0.06 * (max(ends) - min(ends)) or 1.0
        x_axis = {
            "range": [min(ends) - margin, max(ends) + margin],
            "zeroline": True,
            "zerolinecolor": "@muted",
            "zerolinewidth": 2,
        }
        for model, result in results.items():
            figure = _forest(result.effects, axis, of, x_axis)
            panels.append(Panel(f"{title}, {model}" if len(results) > 1 else title, caption, figure))
    return panels


def _forest(effects: Sequence[Effect], axis: str, of: str, x_axis: Figure) -> Figure:
    """Dots with interval lines: a row for each intervention, the first on top."""
    series: dict[str, dict[str, Interval]] = {}
    for key, name in SERIES.items():
        own = [effect for effect in effects if _place(effect)[0] == key]
        series[name] = {_label(effect): getattr(effect, of) for effect in own}
    return dots([*AGAINST.values(), *ALONE.values()], series, axis, x_axis=x_axis)


def _place(effect: Effect) -> tuple[str, str]:
    """Which series and which row of the forest an effect belongs to."""
    contrast = effect.contrast
    if contrast.placebo is not None:
        return "corrected", contrast.against
    return (contrast.kind, contrast.against) if contrast.kind in ("cue", "placebo") else ("alone", contrast.kind)


def _label(effect: Effect) -> str:
    return (AGAINST | ALONE)[_place(effect)[1]]


def _series(effect: Effect) -> str:
    return {"cue": "first cue", "placebo": "placebo", "corrected": "cue less placebo", "alone": "–"}[_place(effect)[0]]
