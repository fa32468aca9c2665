"""The section on exploration: what more samples find, what a higher temperature buys, and whether agreement tells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from r1zero.analysis.exploration import BestTemperature, Cell, ExplorationResult
from r1zero.reports.cells import negated, shown
from r1zero.reports.dots import short_name
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.reports.traces import Figure, band, figure, line
from r1zero.statistics.intervals import Interval, short, show_p

TITLE = "Exploration"
QUESTION = "What do more samples find, and what does a higher temperature buy: coverage, or correctness?"
PASS_1, PASS_K, MAJORITY, MUTED = "@blue", "@orange", "@green", "@muted"
SHARE = {"range": [-0.02, 1.02]}
FEW = 20  # problems below which agreement is not read


def section(results: Mapping[str, ExplorationResult]) -> Section:
    """Models side by side; one model alone has no column of its own."""
    many = len(results) > 1
    tables = (_cells(results, many), _diversity(results, many), _best(results, many))
    return Section(
        "exploration",
        TITLE,
        QUESTION,
        tuple(said for name, result in results.items() for said in findings(result, f"{name}: " if many else "")),
        tuple(table for table in tables if table.rows),
        tuple(panel for name, result in results.items() for panel in _panels(result, f": {name}" if many else "")),
        tuple(_notes(results)),
    )


def best_template(result: ExplorationResult) -> str:
    """The template with the highest pass@1 at any temperature: the one that is drawn."""
    return max(result.cells, key=lambda cell: cell.accuracy.estimate).template


def findings(result: ExplorationResult, who: str = "") -> list[str]:
    """What was found, in sentences."""
    if not result.cells:
        return [f"{who}No response has a known grade."]
    template = best_template(result)
    under = f"Under {template}" if template else "Overall"
    heat = {one.metric: one for one in result.best if one.template == template}
    own = result.of(template)
    said = []
    if heat:
        said += [f"{who}{under}, {_heat(heat)}", f"{who}{_choices(list(heat.values()))}"]
    else:
        cell = own[-1]
        last = cell.largest_k
        more = f", pass@{last.k} {last.solved}" if last and last.k > 1 else ""
        votes = f", maj@{last.k} {last.majority}" if last and last.k > 1 and _known(last.majority) else ""
        said.append(f"{who}{under}, pass@1 is {cell.accuracy}{more}{votes} over {cell.num_problems:,} problems.")
        if not more:
            said.append(f"{who}Problems have one response each: coverage and agreement need at least two.")
    read = _best_read(own)
    if read.calibration.num_problems:
        said.append(who + _telling(read))
    return said


def _heat(best: Mapping[str, BestTemperature]) -> str:
    """What going from the lowest to the highest temperature does, and whether that is "coverage, not correctness"."""
    first = next(iter(best.values()))
    low, high = first.temperatures[0], first.temperatures[-1]
    moves = [
        f"{_metric(one)} by {_signed(one.heat.interval)} ({show_p(one.heat.p_value)})"
        for one in best.values()
        if one.metric == "pass@1" or one.k > 1
    ]
    asked = f"on {first.choice.num_problems:,} problems"
    text = f"going from temperature {low:g} to {high:g} moves {', '.join(moves)}, {asked}"
    coverage, correct = best.get("pass@k"), best["pass@1"].heat.interval
    if coverage is None or coverage.k < 2:
        return text + "."
    gained = coverage.heat.interval
    if gained.low > 0 and correct.high < 0:
        return text + ": temperature buys coverage and pays with correctness."
    if gained.low > 0 and correct.low <= 0:
        return text + ": temperature buys coverage, and no correctness that could be told from none."
    if gained.low > 0:
        return text + ": temperature buys both."
    if gained.high < 0:
        return text + ": temperature costs coverage."
    return text + ": whether temperature buys coverage cannot be told from chance."


def _choices(best: Sequence[BestTemperature]) -> str:
    parts = []
    for one in best:
        if (one.metric != "pass@1" and one.k < 2) or max(one.means) == min(one.means):
            continue
        sure = f"first in {short(one.choice.firsts[one.choice.best])} of resamples"
        parts.append(f"{one.best:g} for {_metric(one)} ({sure})")
    return f"Best temperature: {'; '.join(parts) or 'none, all are alike'}."


def _telling(cell: Cell) -> str:
    found = cell.calibration
    where = f" at temperature {cell.temperature:g}" if math.isfinite(cell.temperature) else ""
    if found.num_problems < FEW:
        return (
            f"Whether agreement tells right from wrong cannot be read{where}: {found.num_problems} problems have one "
            f"commonest answer, {FEW} are needed."
        )
    auroc, gap = found.telling.auroc, found.gap
    tells = "tells" if found.telling.tells else "cannot be shown to tell"
    text = f"The share of the commonest answer {tells} whether it is right{where} (AUROC {auroc})"
    if gap.low > 0:
        return f"{text}, and overstates it by {gap}."
    return (
        f"{text}, and understates it by {negated(gap)}."
        if gap.high < 0
        else f"{text}; by how much it misleads cannot be told (gap {gap})."
    )


def _best_read(cells: Sequence[Cell]) -> Cell:
    """The cell whose agreement most problems tell: of it both the sentence and the figure speak."""
    return max(cells, key=lambda cell: cell.calibration.num_problems)


def _metric(one: BestTemperature) -> str:
    return one.metric.replace("@k", f"@{one.k}")


def _signed(interval: Interval) -> str:
    return ("+" if interval.estimate > 0 else "") + str(interval)


def _known(interval: Interval) -> bool:
    return math.isfinite(interval.estimate)


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _cells(results: Mapping[str, ExplorationResult], many: bool) -> TextTable:
    rows = []
    for name, cell in _each(results):
        last = cell.largest_k
        k, solved, majority = (str(last.k), last.solved, last.majority) if last else ("–", None, None)
        asked = (f"{cell.num_problems:,}", f"{cell.num_responses:,}")
        rows.append((*_place(name, cell, many), str(cell.accuracy), k, shown(solved), shown(majority), *asked))
    return TextTable(
        "coverage",
        "correctness, coverage and votes",
        "pass@1 is the mean over problems of the share right; pass@k the chance that k responses hold a right one; "
        "maj@k that their commonest answer is right, ties drawn. Both are exact means over every k of the n responses.",
        (*(("model",) if many else ()), "template", "T", "pass@1", "k", "pass@k", "maj@k", "problems", "responses"),
        tuple(rows),
    )


def _diversity(results: Mapping[str, ExplorationResult], many: bool) -> TextTable:
    rows = []
    for name, cell in _each(results):
        if not _known(cell.agreement):
            continue
        last, found = cell.largest_k, cell.calibration
        distinct = f"{last.distinct:.1f} of {last.k}" if last else "–"
        error = f"{found.error} ({short(found.error_by_chance)})" if found.num_problems else "–"
        measures = (cell.agreement, cell.largest, cell.entropy)
        rows.append(
            (
                *_place(name, cell, many),
                distinct,
                *map(shown, measures),
                shown(found.telling.auroc),
                shown(found.gap),
                error,
            )
        )
    return TextTable(
        "agreement",
        "different answers, and whether agreement can be trusted",
        "Agreement: the chance that two responses give the same answer; commonest: its share. AUROC, gap (share of the "
        "commonest answer minus share right) and calibration error (in brackets what chance alone gives) are over "
        "problems with one commonest answer.",
        (
            *(("model",) if many else ()), "template", "T", "different answers", "agreement", "commonest",
            "entropy (nats)", "AUROC", "gap", "calibration error",
        ),
        tuple(rows),
        folded=True,
    )  # fmt: skip


def _best(results: Mapping[str, ExplorationResult], many: bool) -> TextTable:
    rows = []
    for name, result in results.items():
        for one in result.best:
            if one.metric != "pass@1" and one.k < 2:
                continue
            firsts = ", ".join(
                f"{temperature:g}: {short(share)}"
                for temperature, share in zip(one.temperatures, one.choice.firsts, strict=True)
                if share >= 0.005
            )
            lead = f"{one.choice.lead.interval} over {one.runner_up:g}"
            value = short(one.means[one.choice.best])
            if max(one.means) > min(one.means):
                cells = (one.template, _metric(one), f"{one.best:g}", value, firsts, lead)
            else:
                cells = (one.template, _metric(one), "–", value, "all alike", "–")
            rows.append((*((name,) if many else ()), *cells))
    return TextTable(
        "temperature",
        "the best temperature, by metric",
        "How often each temperature comes first when problems are drawn anew, and the lead of the best over the "
        "runner-up on the same problems: as the best was picked for its lead, a little too large.",
        (*(("model",) if many else ()), "template", "metric", "best T", "value", "first in resamples", "lead"),
        tuple(rows),
        folded=True,
    )


def _each(results: Mapping[str, ExplorationResult]) -> list[tuple[str, Cell]]:
    return [(name, cell) for name, result in results.items() for cell in result.cells]


def _place(name: str, cell: Cell, many: bool) -> tuple[str, ...]:
    return (*((name,) if many else ()), cell.template or "–", _degrees(cell.temperature))


def _degrees(temperature: float) -> str:
    return f"{temperature:g}" if math.isfinite(temperature) else "–"


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _panels(result: ExplorationResult, whose: str) -> list[Panel]:
    if not result.cells:
        return []
    template = best_template(result)
    own = [cell for cell in result.of(template) if cell.largest_k]
    under = f"Template {short_name(template)}, " if template else ""
    panels = []
    heated = [cell for cell in own if math.isfinite(cell.temperature)]
    if len(heated) > 1:
        caption = f"{under}{heated[0].num_problems:,} problems, 95 % bands over problems."
        panels.append(Panel(f"What temperature buys{whose}", caption, _by_temperature(heated)))
    if own and max(cell.at[-1].k for cell in own) > 1:
        caption = f"{under}pass@k (solid) and maj@k (dashed) against samples k, 95 % bands over problems."
        panels.append(Panel(f"What samples buy{whose}", caption, _by_samples(own)))
    cell = _best_read(result.of(template))
    if cell.calibration.num_problems >= FEW:
        at = f" at temperature {cell.temperature:g}" if math.isfinite(cell.temperature) else ""
        caption = f"{under}{cell.calibration.num_problems:,} problems with one commonest answer{at}."
        panels.append(Panel(f"Does agreement tell?{whose}", caption, _reliability(cell)))
    return panels


def _by_temperature(cells: Sequence[Cell]) -> Figure:
    x = [cell.temperature for cell in cells]
    k = min(cell.at[-1].k for cell in cells)
    at = [next(one for one in reversed(cell.at) if one.k <= k) for cell in cells]
    curves = [(f"pass@{k}", [one.solved for one in at], PASS_K, "dash")] if k > 1 else []
    if k > 1 and any(_known(one.majority) for one in at):
        curves.append((f"maj@{k}", [one.majority for one in at], MAJORITY, "dot"))
    curves.append(("pass@1", [cell.accuracy for cell in cells], PASS_1, "solid"))
    return _curves(x, curves, "temperature", {"zeroline": False})


def _by_samples(cells: Sequence[Cell]) -> Figure:
    chosen = {cell.temperature: cell for cell in (cells[0], cells[-1])}
    bands, lines = [], []
    for (temperature, cell), colour in zip(chosen.items(), (PASS_1, PASS_K), strict=False):
        x = [one.k for one in cell.at]
        at = f" at {temperature:g}" if math.isfinite(temperature) else ""
        for what, values, dash in (
            ("pass@k", [one.solved for one in cell.at], "solid"),
            ("maj@k", [one.majority for one in cell.at], "dash"),
        ):
            if any(map(_known, values)):
                bands += band(x, [v.low for v in values], [v.high for v in values], colour)
                lines.append(line(x, [v.estimate for v in values], what + at, colour, dash=dash, markers=True))
    ticks = sorted({one.k for cell in chosen.values() for one in cell.at})
    x_axis = {"type": "log", "tickvals": ticks, "ticktext": [str(tick) for tick in ticks]}
    return figure([*bands, *lines], "samples k", "chance that it is right", x_axis, dict(SHARE))


def _curves(
    x: Sequence[float], curves: Sequence[tuple[str, Sequence[Interval], str, str]], x_title: str, x_axis: Figure
) -> Figure:
    bands, lines = [], []
    for name, values, colour, dash in curves:
        bands += band(x, [v.low for v in values], [v.high for v in values], colour)  # type: ignore[arg-type]
        lines.append(line(x, [v.estimate for v in values], name, colour, dash=dash, markers=True))
    return figure([*bands, *lines], x_title, "share of problems", x_axis, dict(SHARE))


def _reliability(cell: Cell) -> Figure:
    """Share right against the share of the commonest answer; a dot's size is its number of problems."""
    bins = cell.calibration.bins
    most = max(one.num_problems for one in bins)
    dots = {
        "x": [one.confidence for one in bins],
        "y": [one.right.estimate for one in bins],
        "name": "share right",
        "mode": "markers",
        "marker": {"color": PASS_1, "size": [5 + 9 * math.sqrt(one.num_problems / most) for one in bins]},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [one.right.high - one.right.estimate for one in bins],
            "arrayminus": [one.right.estimate - one.right.low for one in bins],
            "color": PASS_1,
            "thickness": 1.4,
            "width": 3,
        },
        "text": [f"{one.num_problems} problems" for one in bins],
        "hovertemplate": "%{y:.2f}, %{text}<extra></extra>",
    }
    ideal = line([0, 1], [0, 1], "agreement = chance of being right", MUTED, width=1, dash="dash")
    x_axis = {"range": [-0.02, 1.04], "zeroline": False}
    return figure(
        [ideal, dots],
        "share of the commonest answer",
        "share of problems right",
        x_axis,
        SHARE | {"range": [-0.02, 1.06]},
    )


def _notes(results: Mapping[str, ExplorationResult]) -> list[str]:
    cells = [cell for _, cell in _each(results)]
    ungraded = sum(cell.num_ungraded for cell in cells)
    notes = []
    if ungraded:
        notes.append(f"{ungraded:,} responses without a known grade are left out.")
    if any(not _known(cell.largest) and cell.at and cell.at[-1].k > 1 for cell in cells):
        notes.append("Where no wrong answer was read from the responses, votes and agreement are undefined.")
    if cells and not any(math.isfinite(cell.temperature) for cell in cells):
        notes.append("No temperature is stored with these responses: what it buys cannot be told.")
    return notes
