"""The section on reflection: how much there is before any training, and how far its detectors can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from r1zero.analysis.detectors import DetectorRow, ReflectionResult
from r1zero.reports.cells import fine, shown, small
from r1zero.reports.dots import COLOURS, cell, dots, short_name
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.reports.traces import Figure, band, figure, line
from r1zero.statistics.intervals import Interval

TITLE = "Reflection"
QUESTION = "Does it already reflect before any training, how often, and who says so?"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
KEYWORDS = 16  # in the figure and the table


def section(results: Mapping[str, ReflectionResult]) -> Section:
    """Models side by side; one model alone has no column of its own."""
    many = len(results) > 1
    tables = (
        _detectors(results, many),
        _by_temperature(results, many),
        _by_template(results, many),
        _keywords(results, many),
        _keywords_by_temperature(results, many),
        _agreement(results, many),
        _screenings(results, many),
        _latent(results, many),
    )
    return Section(
        "reflection",
        TITLE,
        QUESTION,
        tuple(said for name, result in results.items() for said in findings(result, f"{name}: " if many else "")),
        tuple(table for table in tables if table.rows),
        tuple(_panels(results)),
        tuple(_notes(results)),
    )


def findings(result: ReflectionResult, who: str = "") -> list[str]:
    """What was found, in sentences."""
    if not result.detectors:
        return [f"{who}There are no responses."]
    said = [who + _found(result.detectors[0])]
    others = {row.detector: row for row in result.detectors}
    if "judge" in others:
        judge, cross = others["judge"], others["cross"]
        said.append(
            f"{who}The judge finds reflection in {fraction(judge.by_response)} of responses, and both together in "
            f"{fraction(cross.by_response)}."
        )
    said += [who + sentence for sentence in _course(result)]
    for one in result.agreement:
        if one.second == "judge" and one.first == result.detectors[0].detector and math.isfinite(one.kappa.estimate):
            said.append(f"{who}Keywords and judge agree with Cohen's kappa {one.kappa}.")
    said += [
        f"{who}Against {one.labelled} hand labels, {one.detector} have precision {one.precision} and recall "
        f"{one.recall}."
        for one in result.screenings[:1]
        if math.isfinite(one.kappa.estimate)
    ]
    if result.latent.identified:
        said.append(
            f"{who}Without labels, the latent-class model puts reflection at {fraction(result.latent.prevalence)} of "
            f"responses ({result.latent.reason})."
        )
    return said


def _found(row: DetectorRow) -> str:
    if not row.found:
        return (
            f"No cue of {_pool(row)} in {row.responses:,} responses to {row.questions:,} problems: at most "
            f"{small(row.by_response.high)} of responses hold one (exact, 95 %)."
        )
    said = f"{fraction(row.by_response)} of {row.responses:,} responses hold a cue of {_pool(row)}"
    if row.samples[1] == 1:
        return said + "."
    n = f"{row.samples[0]}" if row.samples[0] == row.samples[1] else f"{row.samples[0]} to {row.samples[1]}"
    said += f", and so do {fraction(row.by_question)} of {row.questions:,} problems in at least one of {n} responses"
    if row.samples != (row.at, row.at):
        said += f" ({fraction(row.by_question_at)} expected at {row.at} responses a problem)"
    return said + "."


def _pool(row: DetectorRow) -> str:
    return f"the pool {row.detector.removeprefix('keywords ')}"


def _course(result: ReflectionResult) -> list[str]:
    """Whether it rises with the temperature: first and last beside one another."""
    rows = [row for row in result.by_temperature if row.detector == result.detectors[0].detector]
    if len(rows) < 2:
        return []
    first, last = rows[0], rows[-1]
    apart = not first.by_response.overlaps(last.by_response)
    said = "more than their intervals allow for" if apart else "within their intervals"
    return [
        f"From temperature {first.temperature:g} to {last.temperature:g} the share of responses with a cue goes from "
        f"{fraction(first.by_response)} to {fraction(last.by_response)}, {said}."
    ]


def fraction(interval: Interval) -> str:
    """A share with the digits that small ones need.

    >>> fraction(Interval(0.0123, 0.004, 0.03)), fraction(Interval(0.5, 0.4, 0.6))
    ('.012 [.004, .030]', '.50 [.40, .60]')
    """
    if interval.estimate >= 0.1 or not math.isfinite(interval.estimate):
        return shown(interval)
    return fine(interval, 4 if interval.high < 0.01 else 3)


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _named(many: bool) -> tuple[str, ...]:
    return ("model",) if many else ()


def _cells(name: str, many: bool) -> tuple[str, ...]:
    return (name,) if many else ()


def _counts(row: DetectorRow) -> tuple[str, ...]:
    return (
        fraction(row.by_response),
        f"{row.found:,} of {row.responses:,}",
        fraction(row.by_question),
        f"{row.found_questions:,} of {row.questions:,}",
        fraction(row.by_question_at),
    )


def _count_columns(rows: Sequence[DetectorRow]) -> tuple[str, ...]:
    at = sorted({row.at for row in rows})
    n = str(at[0]) if len(at) == 1 else "n"
    return ("share", "responses", "share of problems", "problems", f"at n = {n}" if n != "n" else "at a common n")


def _rows_table(
    key: str, title: str, caption: str, by: str, results: Mapping[str, ReflectionResult], rows_of: str, many: bool
) -> TextTable:
    everything = [row for result in results.values() for row in getattr(result, rows_of)]
    rows = [
        (
            *_cells(name, many),
            row.detector,
            *((f"{row.temperature:g}",) if by == "temperature" else (row.template,) if by else ()),
            *_counts(row),
        )
        for name, result in results.items()
        for row in getattr(result, rows_of)
    ]
    columns = (*_named(many), "detector", *((by,) if by else ()), *_count_columns(everything))
    return TextTable(key, title, caption, columns, tuple(rows), folded=bool(by))


def _detectors(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    caption = (
        "Responses in which a detector fires, and problems with at least one. The share of problems grows with the "
        "number n of responses a problem; the last column is the share expected at one n. 95 % intervals, clustered "
        "by problem; exact where nothing was found."
    )
    return _rows_table("detectors", "reflection by detector", caption, "", results, "detectors", many)


def _by_temperature(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    return _rows_table(
        "by_temperature", "reflection by temperature", "", "temperature", results, "by_temperature", many
    )


def _by_template(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    return _rows_table("by_template", "reflection by template", "", "template", results, "by_template", many)


def _keywords(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    rows = [
        (*_cells(name, many), row.cue, f"{row.count:,}", f"{row.per_thousand:.1f}")
        for name, result in results.items()
        for row in result.keywords[:KEYWORDS]
    ]
    caption = "Occurrences, and how many in a thousand responses (bootstrap over problems)."
    return TextTable("keywords", "cues", caption, (*_named(many), "cue", "count", "per 1,000 responses"), tuple(rows))


def _keywords_by_temperature(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    temperatures = sorted(
        {t for result in results.values() for row in result.keywords for t, _, _ in row.by_temperature}
    )
    rows = []
    for name, result in results.items() if len(temperatures) > 1 else ():
        for row in result.keywords[:KEYWORDS]:
            there = {t: (count, per) for t, count, per in row.by_temperature}
            cells = [f"{there[t][0]:,} · {there[t][1]:.1f}" if t in there else "–" for t in temperatures]
            rows.append((*_cells(name, many), row.cue, *cells))
    return TextTable(
        "keywords_by_temperature",
        "cues by temperature",
        "Occurrences · per 1,000 responses, at each temperature.",
        (*_named(many), "cue", *(f"{t:g}" for t in temperatures)),
        tuple(rows),
        folded=True,
    )


def _agreement(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    rows = [
        (*_cells(name, many), one.first, one.second, f"{one.counts.both:,}", f"{one.counts.only_first:,}",
         f"{one.counts.only_second:,}", f"{one.counts.neither:,}", cell(one.kappa))
        for name, result in results.items()
        for one in result.agreement
    ]  # fmt: skip
    columns = (*_named(many), "detector", "and", "both", "only first", "only second", "neither", "kappa")
    caption = "Cohen's kappa: agreement beyond chance. Pools share words, so theirs says little about being right."
    return TextTable("agreement", "how far detectors agree", caption, columns, tuple(rows), folded=True)


def _screenings(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    rows = [
        (*_cells(name, many), one.detector, str(one.labelled), cell(one.precision), cell(one.recall),
         cell(one.specificity), cell(one.kappa), fraction(one.prevalence))
        for name, result in results.items()
        for one in result.screenings
    ]  # fmt: skip
    return TextTable(
        "screenings",
        "detectors against hand labels",
        "Weighted up from the labelled sample to all distinct responses; “really”: the share of them that labels would "
        "call reflection.",
        (*_named(many), "detector", "labels", "precision", "recall", "specificity", "kappa", "really"),
        tuple(rows),
    )


def _latent(results: Mapping[str, ReflectionResult], many: bool) -> TextTable:
    rows = []
    for name, result in results.items():
        if result.latent.identified:
            parts = zip(result.latent.detectors, result.latent.sensitivity, result.latent.specificity, strict=True)
            rows += [
                (*_cells(name, many), detector, str(sensitivity), str(specificity))
                for detector, sensitivity, specificity in parts
            ]
    return TextTable(
        "latent",
        "detectors without labels",
        "What a model of two hidden classes (reflects, does not) infers from the verdicts alone, if detectors err "
        "independently of one another: the share of reflecting responses each finds (sensitivity), and of others it "
        "passes over (specificity).",
        (*_named(many), "detector", "sensitivity", "specificity"),
        tuple(rows),
        folded=True,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _panels(results: Mapping[str, ReflectionResult]) -> list[Panel]:
    panels = []
    if any(result.by_temperature for result in results.values()):
        panels += [
            Panel(
                "Reflection by temperature",
                "Share of responses in which a detector fires, with 95 % bands for the first.",
                _over_temperature(results, "by_response", "share of responses"),
            ),
            Panel(
                "Problems by temperature",
                "Share of problems with at least one such response, at a common number of responses.",
                _over_temperature(results, "by_question_at", "share of problems"),
            ),
        ]
    elif names := list(dict.fromkeys(row.detector for result in results.values() for row in result.detectors)):
        series = {name: {row.detector: row.by_response for row in result.detectors} for name, result in results.items()}
        drawn = dots(names, series, "share of responses", x_axis={"rangemode": "tozero"})
        panels.append(Panel("Reflection by detector", "Share of responses, with 95 % intervals.", drawn))
    counts: dict[str, int] = {}
    for result in results.values():
        for row in result.keywords:
            counts[row.cue] = counts.get(row.cue, 0) + row.count
    cues = sorted(counts, key=lambda cue: -counts[cue])[:KEYWORDS]
    if cues:
        series = {name: {row.cue: row.per_thousand for row in result.keywords} for name, result in results.items()}
        drawn = dots(cues, series, "occurrences in 1,000 responses", x_axis={"rangemode": "tozero"})
        panels.append(Panel("Cues", "The commonest cues, with 95 % intervals.", drawn))
    return panels


def _over_temperature(results: Mapping[str, ReflectionResult], measure: str, y_title: str) -> Figure:
    """A colour a model, a dash a detector; with one model a colour a detector."""
    bands, lines = [], []
    many = len(results) > 1
    for m, (name, result) in enumerate(results.items()):
        for d, detector in enumerate(dict.fromkeys(row.detector for row in result.by_temperature)):
            own = [row for row in result.by_temperature if row.detector == detector]
            x = [row.temperature for row in own if row.temperature is not None]
            values = [getattr(row, measure) for row in own]
            colour = COLOURS[(m if many else d) % len(COLOURS)]
            if d == 0:
                bands += band(x, [one.low for one in values], [one.high for one in values], colour)  # type: ignore[arg-type]
            label = f"{short_name(name, 16)}: {detector}" if many else detector
            lines.append(
                line(x, [one.estimate for one in values], label, colour, dash=DASHES[d % len(DASHES)], markers=True)
            )
    y_axis = {"rangemode": "tozero"}
    return figure([*bands, *lines], "temperature", y_title, {"zeroline": False}, y_axis)


def _notes(results: Mapping[str, ReflectionResult]) -> list[str]:
    notes = ["A cue says that the words are there, not that anything was reconsidered."]
    if not any(row.detector == "judge" for result in results.values() for row in result.detectors):
        notes.append("There are no verdicts of a judge, so there is no judge and no cross detector.")
    for name, result in results.items():
        latent = result.latent
        if not latent.identified and math.isfinite(latent.bounds[0]):
            who = f"{name}: " if len(results) > 1 else ""
            notes.append(
                f"{who}Prevalence without labels is not identified: {latent.reason}. All of "
                f"{', '.join(latent.detectors)} fire in {small(latent.bounds[0])} of responses, at least one in "
                f"{small(latent.bounds[1])}."
            )
    return notes
