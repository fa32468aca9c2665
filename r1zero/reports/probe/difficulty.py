"""The section on difficulty: what becomes of responses to harder questions, and how long each kind is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1zero.analysis.difficulty import NEEDED, UNITS, DifficultyResult, LengthContrast, LevelRow
from r1zero.records import OUTCOMES
from r1zero.reports.cells import shown, upright
from r1zero.reports.dots import dots, short_name
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.reports.traces import HEIGHT, Figure
from r1zero.statistics.intervals import Interval

TITLE = "Difficulty"
QUESTION = "What becomes of responses to harder questions, and are wrong ones longer on the same question?"
DRAWN = 4  # templates a model


def section(results: Mapping[str, DifficultyResult]) -> Section:
    """Models side by side; one model alone has no column of its own."""
    many = len(results) > 1
    tables = (_levels(results, many), _lengths(results, many), _contrasts(results, many))
    return Section(
        "difficulty",
        TITLE,
        QUESTION,
        tuple(said for name, result in results.items() for said in findings(result, f"{name}: " if many else "")),
        tuple(table for table in tables if table.rows),
        tuple(_panels(results, many)),
        tuple(_notes(results)),
    )


def findings(result: DifficultyResult, who: str = "") -> list[str]:
    """What was found, in sentences."""
    if not result.num_responses:
        return [f"{who}No response has a known outcome."]
    said = []
    for template in list(dict.fromkeys(row.template for row in result.rows)):
        own = [row for row in result.rows if row.template == template]
        if len(own) > 1:
            said.append(who + _slope(own))
    for unit in UNITS:
        one = next(one for one in result.contrasts if one.outcome == "wrong" and one.unit == unit)
        if math.isfinite(one.raw.estimate):
            said.append(who + _longer(one))
            break
    return said or [f"{who}All problems are of one difficulty, and outcomes cannot be compared in length."]


def _slope(rows: Sequence[LevelRow]) -> str:
    easy, hard = rows[0], rows[-1]
    first, last = (name if name.startswith("level") else f"the {name}" for name in (easy.difficulty, hard.difficulty))
    text = f"{easy.shares['correct']} are right at {first}, {hard.shares['correct']} at {last}"
    lost = {o: hard.shares[o].estimate - easy.shares[o].estimate for o in OUTCOMES if o != "correct"}
    gained = max(lost, key=lambda o: lost[o])
    under = f"Under {easy.template}, " if easy.template else ""
    if easy.shares["correct"].overlaps(hard.shares["correct"]):
        text += ", with overlapping intervals"
    elif lost[gained] > 0:
        text += f"; most of what is lost becomes {gained} ({easy.shares[gained]} to {hard.shares[gained]})"
    return f"{under}{text}."


def _longer(one: LengthContrast) -> str:
    raw = f"Wrong responses have {_times(one.raw)} the {one.unit} of right ones"
    if one.num_problems < NEEDED:
        return (
            f"{raw}; on the same question this cannot be told: {one.num_problems} problems have both, {NEEDED} are "
            "needed."
        )
    within = one.within
    if within.low > 1:
        verdict = "they are longer on the same question too"
    elif within.high < 1:
        verdict = "on the same question they are shorter"
    else:
        verdict = "on the same question no difference can be told from chance"
    return f"{raw}, and {_times(within)} on the same question ({one.num_problems:,} problems): {verdict}."


def _times(ratio: Interval) -> str:
    return f"{ratio} times"


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _levels(results: Mapping[str, DifficultyResult], many: bool) -> TextTable:
    rows = [
        (*((name,) if many else ()), row.template or "–", row.difficulty,
         *(str(row.shares[outcome]) for outcome in OUTCOMES), f"{row.num_problems:,}", f"{row.num_responses:,}")
        for name, result in results.items()
        for row in result.rows
    ]  # fmt: skip
    return TextTable(
        "levels",
        "outcomes by difficulty",
        "Shares of responses, with 95 % intervals clustered by problem.",
        (*(("model",) if many else ()), "template", "difficulty", *OUTCOMES, "problems", "responses"),
        tuple(rows),
    )


def _lengths(results: Mapping[str, DifficultyResult], many: bool) -> TextTable:
    rows = [
        (*((name,) if many else ()), one.outcome, f"{one.num_responses:,}",
         *(shown(one.mean[unit], ",.0f") for unit in UNITS))
        for name, result in results.items()
        for one in result.lengths
        if one.num_responses
    ]  # fmt: skip
    return TextTable(
        "lengths",
        "length by outcome",
        "Means over responses, whatever their question, with 95 % intervals clustered by problem. Truncated ones are "
        "as long as the limit lets them be.",
        (*(("model",) if many else ()), "outcome", "responses", *UNITS),
        tuple(rows),
    )


def _contrasts(results: Mapping[str, DifficultyResult], many: bool) -> TextTable:
    rows = [
        (*((name,) if many else ()), f"{one.outcome} ÷ {one.against}", one.unit, shown(one.raw),
         shown(one.within), shown(one.difference, "+,.0f"), f"{one.num_questions:,}", f"{one.num_problems:,}")
        for name, result in results.items()
        for one in result.contrasts
        if math.isfinite(one.raw.estimate)
    ]  # fmt: skip
    return TextTable(
        "same-question",
        "length on the same question",
        "Ratios of geometric means: over all responses, and between responses to one question under one template and "
        "temperature (a fixed effect for each); the difference is of means, also on the same question. Truncated "
        f"responses are left out. Bounds need {NEEDED} problems with both outcomes.",
        (
            *(("model",) if many else ()), "lengths", "unit", "all responses", "same question", "difference",
            "groups with both", "problems",
        ),
        tuple(rows),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _panels(results: Mapping[str, DifficultyResult], many: bool) -> list[Panel]:
    panels = []
    for name, result in results.items():
        for template in list(dict.fromkeys(row.template for row in result.rows))[:DRAWN]:
            own = [row for row in result.rows if row.template == template]
            if len(own) < 2:
                continue
            whose = ", ".join(part for part in (name if many else "", template) if part)
            caption = "Shares of responses, easiest at the top."
            panels.append(Panel(f"Outcomes by difficulty{f': {whose}' if whose else ''}", caption, draw_ledger(own)))
    ratios = _ratios(results)
    if ratios:
        drawn = dots(list(ratios), _by_kind(ratios), "length of wrong ÷ length of right", x_axis=_ratio_axis(ratios))
        drawn["layout"]["shapes"] = [upright(1.0)]
        caption = "Ratio of geometric means with 95 % intervals; 1 is no difference."
        panels.append(Panel("Are wrong responses longer?", caption, drawn))
    return panels


def draw_ledger(rows: Sequence[LevelRow]) -> Figure:
    """Stacked shares, one bar a difficulty."""
    names = [short_name(row.difficulty, 60).replace(" (", "<br>(") for row in rows]
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "orientation": "h",
            "y": names,
            "x": [row.shares[outcome].estimate for row in rows],
            "name": outcome,
            "marker": {"color": f"@{outcome}"},
            "customdata": [str(row.shares[outcome]) for row in rows],
            "hovertemplate": f"{outcome} %{{customdata}}<extra></extra>",
        }
        for outcome in OUTCOMES
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "share of responses"}, "range": [0, 1.005]},
        "yaxis": {"autorange": "reversed", "zeroline": False},
        "height": max(HEIGHT, 110 + 34 * len(rows)),
        "hovermode": "closest",
        "bargap": 0.3,
    }
    return {"data": traces, "layout": layout}


def _ratios(results: Mapping[str, DifficultyResult]) -> dict[str, LengthContrast]:
    """The contrast of wrong with right by model, in tokens, or in characters where tokens are unknown."""
    found = {}
    for name, result in results.items():
        known = [one for one in result.contrasts if one.outcome == "wrong" and math.isfinite(one.raw.estimate)]
        if known:
            found[f"{name} ({known[0].unit})"] = known[0]
    return found


def _by_kind(ratios: Mapping[str, LengthContrast]) -> dict[str, dict[str, Interval]]:
    return {
        "all responses": {name: one.raw for name, one in ratios.items()},
        "same question": {name: one.within for name, one in ratios.items() if one.num_problems >= NEEDED},
    }


def _ratio_axis(ratios: Mapping[str, LengthContrast]) -> dict[str, Any]:
    bounds = [
        bound
        for one in ratios.values()
        for bound in (
            one.raw.low,
            one.raw.high,
            *((one.within.low, one.within.high) if one.num_problems >= NEEDED else ()),
        )
        if math.isfinite(bound) and bound > 0
    ]
    reach = max([1.3, *(max(bound, 1 / bound) for bound in bounds)]) * 1.08
    wide = (0.125, 0.25, 0.5, 1, 2, 4, 8)
    ticks = [tick for tick in (wide if reach > 1.7 else (0.67, 0.8, 1, 1.25, 1.5)) if 1 / reach <= tick <= reach]
    return {
        "type": "log",
        "range": [-math.log10(reach), math.log10(reach)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def _notes(results: Mapping[str, DifficultyResult]) -> list[str]:
    notes = []
    if any(result.by == "others" for result in results.values()):
        notes.append(
            "Levels are unknown or all alike: difficulty is how often the other half of the responses to the same "
            "problem are right, in thirds of the responses."
        )
    unplaced = sum(result.num_unplaced for result in results.values())
    if unplaced:
        notes.append(f"{unplaced:,} responses are to problems of unknown difficulty: not in the table by difficulty.")
    return notes
