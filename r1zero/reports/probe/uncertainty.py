"""The section on uncertainty: does what the sampler was unsure of tell whether the response is right?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from r1zero.analysis.uncertainty import LENGTH, Predictor, UncertaintyResult
from r1zero.reports.cells import shown, upright
from r1zero.reports.dots import dots
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.statistics.auroc import Separation
from r1zero.statistics.intervals import Interval

TITLE = "Uncertainty"
QUESTION = "Do the log-probabilities of a response tell whether it is right, on the same question too?"
NAMES = {
    "nll_mean": "mean −log p",
    "nll_early": "its first third",
    "nll_middle": "its second third",
    "nll_late": "its last third",
    "nll_slope": "its slope",
    "nll_r2": "R² of the slope",
    "nll_max": "largest −log p",
    "nll_sd": "spread of −log p",
    "pq_mean": "mean p(1−p)",
    LENGTH: "length (tokens)",
}
IN_WORDS = NAMES | {
    "nll_early": "mean −log p in the first third",
    "nll_middle": "mean −log p in the second third",
    "nll_late": "mean −log p in the last third",
    "nll_slope": "the slope of −log p",
    "nll_r2": "the R² of that slope",
    "nll_max": "the largest −log p",
    "nll_sd": "the spread of −log p",
}
NEEDED = 20  # responses of either kind
FEWEST = 5  # problems with both kinds


def section(results: Mapping[str, UncertaintyResult]) -> Section:
    """Models side by side; one model alone has no column of its own."""
    many = len(results) > 1
    table = _predictors(results, many)
    return Section(
        "uncertainty",
        TITLE,
        QUESTION,
        tuple(said for name, result in results.items() for said in findings(result, f"{name}: " if many else "")),
        (table,) if table.rows else (),
        tuple(_panels(results, many)),
        tuple(_notes(results, many)),
    )


def findings(result: UncertaintyResult, who: str = "") -> list[str]:
    """What was found, in sentences."""
    if not result.num_responses:
        return [f"{who}No finished response has both a known grade and stored log-probabilities."]
    counts = result.features[0].overall
    if min(counts.num_right, counts.num_wrong) < NEEDED:
        return [
            f"{who}{counts.num_right} right and {counts.num_wrong} wrong responses can be compared: too few to tell, "
            f"{NEEDED} of each are needed."
        ]
    said = []
    first = result.strongest
    if first is not None:
        said.append(f"{who}{_strongest(first)}")
    whole, length = result.models[0], next(one for one in result.features if one.name == LENGTH)
    said.append(
        f"{who}All nine together reach AUROC {whole.overall.auroc} on problems the regression has not seen, "
        f"{whole.within.auroc} between responses to one question; length alone {_turned(length.overall)}."
    )
    return said


def _strongest(one: Predictor) -> str:
    way = "lower" if one.overall.auroc.estimate < 0.5 else "higher"
    name = IN_WORDS[one.name]
    if not one.overall.tells:
        return (
            f"No feature alone tells right from wrong, given how many are tried; {name} comes closest (AUROC "
            f"{_turned(one.overall)})."
        )
    text = (
        f"{name[:1].upper()}{name[1:]} is {way} in right than in wrong responses in {_turned(one.overall)} of all pairs"
    )
    if one.within.num_clusters < FEWEST:
        return f"{text}; only {one.within.num_clusters} problems have both kinds of response to compare."
    below = one.overall.auroc.estimate < 0.5
    text = f"{text} and in {_turned(one.within, below)} of those on the same question"
    if one.within.tells and (one.within.auroc.estimate < 0.5) == below:
        return f"{text}: not only because hard questions are unsure."
    return f"{text}: difficulty may be all it tells."


def _turned(found: Separation, below: bool | None = None) -> Interval:
    """The AUROC, or one minus it where the feature is lower in right responses."""
    auroc = found.auroc
    if (auroc.estimate < 0.5) if below is None else below:
        return Interval(1 - auroc.estimate, 1 - auroc.high, 1 - auroc.low)
    return auroc


def _predictors(results: Mapping[str, UncertaintyResult], many: bool) -> TextTable:
    rows = [
        (*((name,) if many else ()), NAMES.get(one.name, one.name), shown(one.overall.auroc), shown(one.within.auroc),
         _number(one.mean_right), _number(one.mean_wrong))
        for name, result in results.items()
        if result.num_responses
        for one in (*result.features, *result.models)
    ]  # fmt: skip
    return TextTable(
        "predictors",
        "what tells right from wrong",
        "Uncertainty is −log p of the sampled tokens, in nats. AUROC: the chance that a right response has more of it "
        "than a wrong one; .50 says nothing, below .50 right ones have less. All pairs: any two responses under one "
        "template and temperature; same question: to one problem. Regressions predict problems they have not seen.",
        (
            *(("model",) if many else ()), "feature", "AUROC, all pairs", "AUROC, same question", "mean if right",
            "mean if wrong",
        ),
        tuple(rows),
    )  # fmt: skip


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}".replace("-", "−")


def _panels(results: Mapping[str, UncertaintyResult], many: bool) -> list[Panel]:
    panels = []
    for name, result in results.items():
        rows = {NAMES.get(one.name, one.name): one for one in (*result.features, *result.models)}
        if not any(math.isfinite(one.overall.auroc.estimate) for one in rows.values()):
            continue
        series = {
            "all pairs": {row: one.overall.auroc for row, one in rows.items()},
            "same question": {row: one.within.auroc for row, one in rows.items() if one.within.num_clusters > 1},
        }
        drawn = dots(list(rows), series, "AUROC: right above wrong", x_axis={"range": [-0.02, 1.02]})
        drawn["layout"]["shapes"] = [upright(0.5)]
        caption = "Left of the line right responses have less of it; 95 % intervals clustered by problem."
        panels.append(Panel("What tells right from wrong" + (f": {name}" if many else ""), caption, drawn))
    return panels


def _notes(results: Mapping[str, UncertaintyResult], many: bool) -> list[str]:
    notes = []
    for name, result in results.items():
        if not result.num_responses:
            continue
        left_out = [
            text
            for count, text in (
                (result.num_truncated, f"{result.num_truncated:,} truncated responses"),
                (result.num_unknown, f"{result.num_unknown:,} without a grade, log-probabilities or three tokens"),
            )
            if count
        ]
        if left_out:
            notes.append(f"{f'{name}: ' if many else ''}Left out: {' and '.join(left_out)}.")
    if any(result.num_responses for result in results.values()):
        notes.append(
            "Log-probabilities are those of the distribution sampled from: at low temperature all look sure. The first "
            "third is a third of the whole response, whose length is known only when it has ended."
        )
    return notes
