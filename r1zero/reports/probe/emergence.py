"""The section of a run: what changed over its training, and whether anything came suddenly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from r1zero.analysis.emergence import TESTED, EmergenceResult
from r1zero.records import OUTCOMES
from r1zero.reports.console import show_number
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.reports.traces import Figure, band, figure, line
from r1zero.statistics.changepoint import FEWEST, LEVEL
from r1zero.statistics.intervals import Interval, short

NAMES: dict[str, str] = {
    "accuracy": "accuracy",
    "reflecting": "with a cue",
    "corrected": "corrected",
    "answered": "answering",
    **{outcome: outcome for outcome in OUTCOMES},
}
SENTENCES = {
    "reflecting": "The share of responses with a reflection cue",
    "corrected": "The share of wrong first answers that become right",
    "accuracy": "Accuracy",
}
RATES_SHOWN = ("accuracy", "reflecting", "corrected", "answered")
RUN_COLOURS = ("@blue", "@orange", "@green", "@unformatted", "@truncated")
RATES_DRAWN = (("accuracy", "@blue", "solid"), ("reflecting", "@orange", "dash"), ("corrected", "@green", "dot"))
ROWS = 16  # of the table; a longer run shows every n-th step


def section(results: Mapping[str, EmergenceResult]) -> Section:
    """Runs side by side; with a single one it has no column of its own."""
    several = len(results) > 1
    findings = tuple(
        (f"{name}: " if several else "") + sentence
        for name, result in results.items()
        for sentence in sentences(result)
    )
    return Section(
        key="emergence",
        title="Over training",
        question="What changed while it trained, and did anything come suddenly?",
        findings=findings,
        tables=tuple(make(results, several) for make in (rates_table, changes_table, fits_table, lengths_table)),
        panels=tuple(panels(results)),
        notes=tuple(dict.fromkeys(note for result in results.values() for note in notes(result))),
    )


def sentences(result: EmergenceResult) -> list[str]:
    """What a run shows: where it began, what the test says of each rate."""
    if not result.steps:
        return ["No response is stored with a training step."]
    hits, of = result.first_reflecting
    start = (
        f"At step {show_number(result.steps[0])}, {hits:,} of {of:,} responses hold a reflection cue; the share of "
        f"problems with one in any response is {result.first_problems} (exact interval)."
    )
    if not hits and of:
        start += " None seen does not mean never: the interval's upper end is what so many problems leave possible."
    return [start, *(course(name, result) for name in TESTED)]


def course(name: str, result: EmergenceResult) -> str:
    """One sentence on the course of a rate.

    The verdict is the test's, after Holm's correction over the rates tested.
    """
    change, values = result.changes[name], result.measures[name]
    what = SENTENCES[name]
    if change.verdict == "cannot tell":
        return (
            f"{what}: whether it jumped or rose cannot be told from {change.num_times} measured "
            f"step{'s' if change.num_times != 1 else ''}; {FEWEST} are needed."
        )
    known = [value for value in values if math.isfinite(value.estimate)]
    went = f"from {known[0]} to {known[-1]}"
    p_change, p_sudden = result.p_change[name], result.p_sudden[name]
    if p_change >= LEVEL:
        return f"{what} does not change beyond noise ({went}, {p_text(p_change)} for a constant rate)."
    if p_sudden < LEVEL:
        return (
            f"{what} jumps between steps {span(change.when)}, from about {short(change.before)} to "
            f"{short(change.after)}: no smooth course fits as well ({p_text(p_sudden)}, corrected)."
        )
    if change.p_gradual < LEVEL:
        return (
            f"{what} changes gradually ({went}): a smooth course fits ({p_text(p_sudden)} against it) and a "
            f"single jump does not ({p_text(change.p_gradual)})."
        )
    return (
        f"{what} changes ({went}), and these measurements do not say how: a smooth course fits "
        f"({p_text(p_sudden)}) and so does a jump ({p_text(change.p_gradual)})."
    )


def rates_table(results: Mapping[str, EmergenceResult], several: bool) -> TextTable:
    """What was tested, step by step."""
    rows = []
    for name, result in results.items():
        for at in shown(len(result.steps)):
            measured = [str_of(result.measures[column][at]) for column in RATES_SHOWN]
            step = show_number(result.steps[at])
            rows.append((*((name,) if several else ()), step, f"{result.responses[at]:,}", *measured))
    return TextTable(
        key="steps",
        title="rates by step",
        caption="Shares of responses with 95 % intervals, clustered by problem. “corrected”: of responses whose first "
        "stated answer is wrong, those whose last one is right.",
        columns=(*_first_column(several), "step", "responses", *(NAMES[column] for column in RATES_SHOWN)),
        rows=tuple(rows),
    )


def lengths_table(results: Mapping[str, EmergenceResult], several: bool) -> TextTable:
    """Lengths, uncertainty and the outcomes that are not right, step by step."""
    in_tokens, rows = length_is_tokens(results), []
    for name, result in results.items():
        for at in shown(len(result.steps)):
            length, entropy = result.measures["tokens" if in_tokens else "chars"][at], result.measures["entropy"][at]
            cells = [
                f"{length:,.0f}" if math.isfinite(length.estimate) else "–",
                f"{entropy:.2f}" if math.isfinite(entropy.estimate) else "–",
                *(str_of(result.measures[column][at]) for column in ("wrong", "unformatted", "truncated")),
            ]
            rows.append((*((name,) if several else ()), show_number(result.steps[at]), *cells))
    return TextTable(
        key="lengths",
        title="length, uncertainty and outcomes by step",
        caption="Mean length of a response; mean negative log-probability of its sampled tokens (nats; at temperature "
        "1 an estimate of the entropy); shares of outcomes that are not right. 95 % intervals, clustered by problem.",
        columns=(
            *_first_column(several),
            "step",
            "tokens" if in_tokens else "characters",
            "nats a token",
            "wrong",
            "unformatted",
            "truncated",
        ),
        rows=tuple(rows),
        folded=True,
    )


def changes_table(results: Mapping[str, EmergenceResult], several: bool) -> TextTable:
    """Verdicts with the p-values that they rest on."""
    rows = []
    for name, result in results.items():
        for tested in TESTED:
            change = result.changes[tested]
            p_values = (result.p_change[tested], change.p_gradual, change.p_sudden, result.p_sudden[tested])
            told = verdict(tested, result)
            where = span(change.when) if told not in ("cannot tell", "no change") else "–"
            rows.append((*((name,) if several else ()), NAMES[tested], told, *map(p_cell, p_values), where))
    return TextTable(
        key="changes",
        title="constant, smooth or sudden",
        caption="p-values of three null hypotheses: the rate is constant (corrected over the rates tested, Holm), it "
        "jumps once and is constant otherwise, its course is smooth (as it is, and corrected). By a parametric "
        "bootstrap with the responses' own noise. “jump”: the steps between which it lies, if it is one (95 %).",
        columns=(
            *_first_column(several),
            "rate",
            "verdict",
            "p const.",
            "p jump",
            "p smooth",
            "p smooth, Holm",
            "jump",
        ),
        rows=tuple(rows),
    )


def fits_table(results: Mapping[str, EmergenceResult], several: bool) -> TextTable:
    """How well each kind of course fits."""
    rows = [
        (*((name,) if several else ()), NAMES[tested], *(number(change.penalised[kind]) for kind in KINDS))
        for name, result in results.items()
        for tested, change in result.changes.items()
    ]
    return TextTable(
        key="fits",
        title="penalised fit of each course",
        caption="BIC: deviance + parameters × log(steps), of 1, 4 and 3 parameters; the smallest fits best.",
        columns=(*_first_column(several), "rate", *KINDS),
        rows=tuple(rows),
        folded=True,
    )


def _first_column(several: bool) -> tuple[str, ...]:
    return ("model",) if several else ()


def number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "–"


KINDS = ("constant", "smooth", "sudden")


def verdict(name: str, result: EmergenceResult) -> str:
    """The test's word, after the corrections."""
    change = result.changes[name]
    if change.verdict == "cannot tell":
        return change.verdict
    if result.p_change[name] >= LEVEL:
        return "no change"
    if result.p_sudden[name] < LEVEL:
        return "sudden"
    return "gradual" if change.p_gradual < LEVEL else "either"


def panels(results: Mapping[str, EmergenceResult]) -> list[Panel]:
    """Measures over steps, one line a run; and each run's cue rate with the two courses that were compared."""
    units = "tokens" if length_is_tokens(results) else "characters"
    drawn = [
        *_shares(results),
        *(
            Panel(
                "Sudden or smooth?" + (f" {name}" if len(results) > 1 else ""),
                "The share of responses with a cue, with the best smooth course and the best single jump.",
                _courses(result),
            )
            for name, result in results.items()
            if result.changes["reflecting"].smooth_T
        ),
        Panel("Length", "Mean length of a response.", _one(results, "tokens" if units == "tokens" else "chars", units)),
        Panel(
            "Uncertainty",
            "Mean negative log-probability of the sampled tokens; at temperature 1 an estimate of the entropy.",
            _one(results, "entropy", "nats a token"),
        ),
    ]
    if len(results) == 1:
        drawn.insert(-1, Panel("Outcomes", "Share of responses.", _outcomes(next(iter(results.values())))))
    return [panel for panel in drawn if panel.figure["data"]]


def _drawn(
    steps: Sequence[float], values: Sequence[Interval], name: str, colour: str, *, dash: str = "solid"
) -> tuple[list[Figure], list[Figure]]:
    """A band and a line."""
    if not any(math.isfinite(value.estimate) for value in values):
        return [], []
    shade = band(list(steps), [v.low for v in values], [v.high for v in values], colour)  # type: ignore[arg-type]
    return shade, [line(steps, [v.estimate for v in values], name, colour, markers=True, dash=dash)]


def _shares(results: Mapping[str, EmergenceResult]) -> list[Panel]:
    """The rates of one run in one figure; of several, one figure a rate."""
    if len(results) > 1:
        titles = {"accuracy": "Accuracy", "reflecting": "Reflection", "corrected": "Correction"}
        captions = {
            "accuracy": "Share of responses that are right; shaded: 95 %.",
            "reflecting": "Share of responses with a cue; shaded: 95 %.",
            "corrected": "Share of wrong first answers that become right; shaded: 95 %.",
        }
        return [Panel(titles[key], captions[key], _one(results, key, "share")) for key in titles]
    (result,) = results.values()
    bands: list[Figure] = []
    lines: list[Figure] = []
    for key, colour, dash in RATES_DRAWN:
        shade, curve = _drawn(result.steps, result.measures[key], NAMES[key], colour, dash=dash)
        bands, lines = bands + shade, lines + curve
    drawn = figure([*bands, *lines], "training step", "share of responses", {}, {"rangemode": "tozero"})
    return [Panel("Accuracy and reflection", "Share of responses; shaded: 95 %.", drawn)]


def _courses(result: EmergenceResult) -> Figure:
    change, values = result.changes["reflecting"], result.measures["reflecting"]
    kept = [at for at, value in enumerate(values) if math.isfinite(value.estimate)]
    steps = [result.steps[at] for at in kept]
    jump = line(steps, change.sudden_T, "one jump", "@orange", dash="dash")
    jump["line"] = {**jump["line"], "shape": "hvh"}
    points = {
        "x": steps,
        "y": [values[at].estimate for at in kept],
        "name": "measured",
        "mode": "markers",
        "marker": {"size": 7, "color": "@ink"},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [values[at].high - values[at].estimate for at in kept],
            "arrayminus": [values[at].estimate - values[at].low for at in kept],
            "color": "@muted",
            "thickness": 1.5,
            "width": 3,
        },
        "hovertemplate": "%{y:.3~g}",
    }
    smooth = line(steps, change.smooth_T, "best smooth course", "@blue")
    return figure([smooth, jump, points], "training step", "responses with a cue", {}, {"rangemode": "tozero"})


def _one(results: Mapping[str, EmergenceResult], key: str, unit: str) -> Figure:
    bands: list[Figure] = []
    lines: list[Figure] = []
    for (run, result), colour in zip(results.items(), _cycled(len(results)), strict=True):
        shade, curve = _drawn(result.steps, result.measures[key], run, colour)
        bands, lines = bands + shade, lines + curve
    drawn = figure([*bands, *lines], "training step", unit, {}, {"rangemode": "tozero"})
    drawn["layout"]["showlegend"] = len(results) > 1
    return drawn


def _outcomes(result: EmergenceResult) -> Figure:
    traces = []
    for outcome in OUTCOMES:
        values = [value.estimate for value in result.measures[outcome]]
        if any(map(math.isfinite, values)):
            traces.append(line(result.steps, values, outcome, f"@{outcome}", markers=True))
    return figure(traces, "training step", "share of responses", {}, {"rangemode": "tozero"})


def _cycled(count: int) -> list[str]:
    return [RUN_COLOURS[at % len(RUN_COLOURS)] for at in range(count)]


def notes(result: EmergenceResult) -> list[str]:
    """What limits the findings."""
    found = []
    if not result.frozen:
        found.append(
            "The steps answered different problems (training's own): differences between steps are also differences "
            "between problems; intervals and tests allow for that."
        )
    if result.pooled > 1:
        found.append(f"{result.pooled} neighbouring steps are pooled into each point.")
    found.append(
        "Sudden means: within one interval between measured steps, where every rise that takes three or more intervals "
        "counts as smooth. More checkpoints resolve more."
    )
    return found


def length_is_tokens(results: Mapping[str, EmergenceResult]) -> bool:
    return any(math.isfinite(one.estimate) for result in results.values() for one in result.measures["tokens"])


def shown(count: int) -> list[int]:
    """Which of so many steps the table shows: first and last, and evenly between."""
    if count <= ROWS:
        return list(range(count))
    return sorted({round(at * (count - 1) / (ROWS - 1)) for at in range(ROWS)})


def str_of(value: Interval) -> str:
    return str(value) if math.isfinite(value.estimate) else "–"


def span(when: Interval) -> str:
    return f"{show_number(when.low)} and {show_number(when.high)}" if math.isfinite(when.low) else "–"


def p_cell(value: float) -> str:
    """A p-value for a table.

    >>> p_cell(0.0004), p_cell(0.043), p_cell(float("nan"))
    ('< .001', '.043', '–')
    """
    if not math.isfinite(value):
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") or "0"


def p_text(value: float) -> str:
    text = p_cell(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
