"""The section on answering: does the model try to answer, and under which template?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from r1zero.analysis.answering import AnsweringResult, AnsweringRow
from r1zero.analysis.template_choice import TemplateChoice
from r1zero.reports.dots import COLOURS, cell, dots, short_name
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.reports.traces import Figure, band, figure, line
from r1zero.statistics.intervals import Interval, short, show_p

TITLE = "Answering"
QUESTION = "Does it try to answer, or does it continue the text? Under which template?"
SHARE = {"range": [-0.02, 1.02]}
LUCK = 0.01  # of optimism, from which on it is spoken of


def section(results: Mapping[str, AnsweringResult]) -> Section:
    """Models side by side; one model alone has no column of its own."""
    many = len(results) > 1
    return Section(
        "answering",
        TITLE,
        QUESTION,
        tuple(said for name, result in results.items() for said in findings(result, f"{name}: " if many else "")),
        tuple(
            table
            for table in (_templates(results, many), _choices(results, many), _observers(results, many))
            if table.rows
        ),
        tuple(_panels(results)),
        tuple(_notes(results)),
    )


def findings(result: AnsweringResult, who: str = "") -> list[str]:
    """What was found, in sentences."""
    if not result.templates:
        return [f"{who}There are no responses."]
    said = [who + _range(result.templates)]
    for choice in result.choices:
        if choice.measure == "tries to answer":
            said.append(who + _lead(choice))
    agreement = result.agreement
    if agreement:
        said.append(
            f"{who}Rule and judge agree on {agreement.share} of {agreement.counts.rows:,} responses "
            f"(Cohen's kappa {agreement.kappa})."
        )
    for one in result.screenings:
        if math.isfinite(one.kappa.estimate):
            said.append(
                f"{who}Against {one.labelled} hand labels the {one.detector} has precision {one.precision} and recall "
                f"{one.recall} (kappa {one.kappa})."
            )
    return said


def _range(rows: Sequence[AnsweringRow]) -> str:
    first, last = rows[0], rows[-1]
    if len(rows) == 1:
        empty = f"; {first.empty} end at once" if first.empty.estimate > 0 else ""
        return f"Under {first.template}, {first.rule} of {first.responses:,} responses try to answer{empty}."
    empty = f" ({last.empty} end at once)" if last.empty.estimate > 0 else ""
    if first.rule.estimate == last.rule.estimate:
        return f"{first.rule} of responses try to answer under each of {len(rows)} templates."
    return (
        f"From {last.rule} of responses under {last.template}{empty} to {first.rule} under {first.template} "
        "try to answer."
    )


def _lead(choice: TemplateChoice) -> str:
    """Whether the best template is better than the next, and how much of its lead is luck."""
    next_best = choice.rivals[0]
    behind = next_best.behind.interval
    if behind.low > 0:
        lead = f"{choice.best} is ahead of {next_best.template} by {behind} ({show_p(next_best.p_value)})"
    else:
        lead = (
            f"{choice.best} and {next_best.template} cannot be told apart (difference {behind} over "
            f"{choice.problems:,} problems)"
        )
    luck = ""
    if choice.optimism >= LUCK:
        luck = (
            f"; choosing on half of the problems promises {short(choice.on_chosen)} and keeps "
            f"{short(choice.on_others)} on the other half"
        )
    return f"By the share that tries to answer, {lead}{luck}."


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _templates(results: Mapping[str, AnsweringResult], many: bool) -> TextTable:
    everybody = [row for result in results.values() for row in result.templates]
    columns: list[tuple[str, str]] = [("rule", "tries to answer")]
    columns += [(key, name) for key, name in (("judge", "by the judge"),) if _any(everybody, key)]
    columns += [("empty", "ends at once")]
    columns += [
        (key, name)
        for key, name in (("format_and_end", "format and end"), ("correct", "pass@1"))
        if _any(everybody, key)
    ]
    rows = [
        (*((name,) if many else ()), row.template, *(cell(getattr(row, key)) for key, _ in columns),
         f"{row.responses:,}", f"{row.problems:,}")
        for name, result in results.items()
        for row in result.templates
    ]  # fmt: skip
    return TextTable(
        "templates",
        "answering by template",
        "Shares of responses, the mean over problems, with 95 % intervals clustered by problem. “format and end”: an "
        "answer where the template wants it, and an end of its own accord.",
        (*(("model",) if many else ()), "template", *(name for _, name in columns), "responses", "problems"),
        tuple(rows),
    )


def _choices(results: Mapping[str, AnsweringResult], many: bool) -> TextTable:
    rows = []
    for name, result in results.items():
        for choice in result.choices:
            for rival in choice.rivals:
                rows.append(
                    (
                        *((name,) if many else ()),
                        choice.measure,
                        choice.best,
                        rival.template,
                        str(rival.behind.interval),
                        show_p(rival.p_value),
                        f"{choice.problems:,}",
                        short(choice.chosen),
                        short(choice.on_chosen),
                        short(choice.on_others),
                    )
                )
    return TextTable(
        "choices",
        "what choosing a template is worth",
        "The best template by each measure, its lead over each other one on the same problems (p-values are Holm's), "
        "and the winner's curse: how often random halves of the problems choose it, what the chosen one scores on the "
        "half that chose it, and on the other half.",
        (
            *(("model",) if many else ()), "measure", "best", "other", "lead", "p", "problems", "chosen by halves",
            "where chosen", "elsewhere",
        ),
        tuple(rows),
        folded=True,
    )  # fmt: skip


def _observers(results: Mapping[str, AnsweringResult], many: bool) -> TextTable:
    rows = [
        (*((name,) if many else ()), one.detector, str(one.labelled), str(one.precision), str(one.recall),
         str(one.specificity), str(one.kappa))
        for name, result in results.items()
        for one in result.screenings
        if math.isfinite(one.precision.estimate)
    ]  # fmt: skip
    return TextTable(
        "observers",
        "rule and judge against hand labels",
        "Weighted up from the labelled sample to all distinct responses.",
        (*(("model",) if many else ()), "by", "labels", "precision", "recall", "specificity", "kappa"),
        tuple(rows),
    )


def _any(rows: Sequence[AnsweringRow], key: str) -> bool:
    return any(math.isfinite(getattr(row, key).estimate) for row in rows)


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _panels(results: Mapping[str, AnsweringResult]) -> list[Panel]:
    names = list(dict.fromkeys(row.template for result in results.values() for row in result.templates))
    if not names:
        return []
    series: dict[str, dict[str, Interval]] = {}
    if len(results) > 1:
        series = {name: {row.template: row.rule for row in result.templates} for name, result in results.items()}
    else:
        (result,) = results.values()
        for key, name in (("rule", "rule"), ("judge", "judge")):
            series[name] = {row.template: getattr(row, key) for row in result.templates}
    shown = dots(names, series, "share of responses that try to answer", x_axis=SHARE)
    panels = [Panel("Answering by template", "The share that tries to answer, with 95 % intervals.", shown)]
    panels += [
        Panel(
            "Answering by temperature" + (f": {name}" if len(results) > 1 else ""),
            "One line a template, with 95 % bands.",
            _by_temperature(result.cells),
        )
        for name, result in results.items()
        if len({row.temperature for row in result.cells} - {None}) > 1
    ]
    return panels


def _by_temperature(cells: Sequence[AnsweringRow]) -> Figure:
    bands, lines = [], []
    for index, name in enumerate(dict.fromkeys(row.template for row in cells)):
        own = [row for row in cells if row.template == name and row.temperature is not None]
        x = [row.temperature for row in own if row.temperature is not None]
        colour = COLOURS[index % len(COLOURS)]
        bands += band(x, [row.rule.low for row in own], [row.rule.high for row in own], colour)  # type: ignore[arg-type]
        lines.append(line(x, [row.rule.estimate for row in own], short_name(name), colour, markers=True))
    return figure([*bands, *lines], "temperature", "share that tries to answer", {"zeroline": False}, dict(SHARE))


def _notes(results: Mapping[str, AnsweringResult]) -> list[str]:
    notes = [
        "The rule counts any statement about the problem before a new question as an attempt, right or wrong, and a "
        "response that answers and then rambles on as answering; fluent nonsense about the problem's own words passes."
    ]
    if not any(row.judge.estimate >= 0 for result in results.values() for row in result.templates):
        notes.append("There are no verdicts of a judge: the shares are the rule's alone.")
    return notes
