"""One HTML file that tells what a run did, or how several compare; it opens offline and asks no server for anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r1zero.config import TrainConfig, flatten
from r1zero.experiments.arms import BOOKKEEPING
from r1zero.experiments.compare import compare
from r1zero.experiments.recorded import RecordedRun, load_run
from r1zero.facts.cues import POOLS, CuePool
from r1zero.records import OUTCOMES, Outcome
from r1zero.reports.comparison import describe_difference, describe_equal_reward
from r1zero.reports.figures import PANELS, share_axes
from r1zero.reports.findings import RunReport, describe_run, describe_speed, report_run, signed, verdict
from r1zero.reports.page import render
from r1zero.reports.subtasks import subtask_rows
from r1zero.statistics.intervals import short
from r1zero.store import write_atomically


def write_report(
    run_dirs: Sequence[str | Path], out: str | Path | None = None, pool: CuePool = POOLS["extended"]
) -> Path:
    """Write the report of one or several runs; `out` defaults to report.html in the first run's directory.

    Raises ValueError naming what is missing from a run directory and the remedy.
    """
    if not run_dirs:
        raise ValueError("no run to report on: r1zero report RUN [RUN ...]")
    runs = [load_run(run_dir) for run_dir in run_dirs]
    path = Path(out) if out else runs[0].dir / "report.html"
    if path.is_dir():
        raise ValueError(f"{path} is a directory: give the file to write, such as {path / 'report.html'}")
    page = render_page([report_run(run, pool) for run in runs])
    write_atomically(path, page.encode("utf-8", errors="replace"))
    return path


def comparison_sentences(runs: Sequence[RecordedRun]) -> tuple[list[str], list[str]]:
    """Differences and notes of `compare`, or the reason why it refused."""
    try:
        comparison = compare([run.dir for run in runs])
    except ValueError as error:
        return [f"Not compared: {error}."], []
    said = [f"{describe_difference(difference)}." for suite in comparison.suites for difference in suite.differences]
    if comparison.equal_reward:
        said.append(f"{describe_equal_reward(comparison.equal_reward)}.")
    return said, list(comparison.notes)


# ---------------------------------------------------------------------------------------------------------------------
# How it is shown


def render_page(reports: Sequence[RunReport]) -> str:
    """The whole page as text."""
    runs = [report.run for report in reports]
    sentences, notes = comparison_sentences(runs) if len(runs) > 1 else ([], [])
    panels = drawn_panels(runs)
    filters: dict[str, Callable[[Any], str]] = {
        "tokens": lambda interval: f"{interval:.0f}",
        "signed": signed,
        "share": short,
    }
    return render(
        "page.html.j2",
        figures=[panel["figures"] for panel in panels],
        filters=filters,
        reports=reports,
        names=run_names(runs),
        panels=panels,
        sentences=sentences,
        comparison_notes=notes,
        config_rows=config_rows(runs),
        provenance_rows=provenance_rows(runs),
        outcomes=OUTCOMES,
        verdict=verdict,
        subtask_rows=lambda run, suite: subtask_rows(run.rows, suite),
        outcome_counts=outcome_counts,
        describe_run=describe_run,
        describe_speed=describe_speed,
    )


def drawn_panels(runs: Sequence[RecordedRun]) -> list[dict[str, Any]]:
    """Each panel with one figure a run, on shared axes; panels that no run recorded are left out."""
    panels = []
    for panel in PANELS:
        figures = [panel.draw(run) for run in runs]
        if any(figures):
            share_axes(figures)
            panels.append({"key": panel.key, "title": panel.title, "caption": panel.caption, "figures": figures})
    return panels


def run_names(runs: Sequence[RecordedRun]) -> list[str]:
    """The directories' names, or their paths where names repeat."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.dir) for run in runs]


def config_rows(runs: Sequence[RecordedRun]) -> list[dict[str, Any]]:
    """Every knob: its value in each run, whether it is not the default, and whether the runs differ in it."""
    defaults = {key: _shown(value) for key, value in flatten(TrainConfig()).items()}
    rows = []
    for key in dict.fromkeys(key for run in runs for key in run.config):
        values = [_shown(run.config.get(key)) for run in runs]
        changed = any(value != defaults.get(key, value) for value in values)
        differs = len(set(values)) > 1 and key not in BOOKKEEPING - {"seed"}
        rows.append({"key": key, "values": values, "changed": changed, "differs": differs})
    return rows


def provenance_rows(runs: Sequence[RecordedRun]) -> list[dict[str, Any]]:
    """What a number depends on besides its config: versions, commit, machine, command, date."""
    saved = [_flat_provenance(run) for run in runs]
    keys = dict.fromkeys(key for one in saved for key in one)
    return [{"key": key, "values": [one.get(key, "–") for one in saved]} for key in keys]


def _flat_provenance(run: RecordedRun) -> dict[str, str]:
    flat = {"directory": str(run.dir)}
    for key, value in run.saved.items():
        if key == "config":
            continue
        if isinstance(value, dict):
            flat |= {f"{key}: {name}": _shown(item) for name, item in value.items()}
        else:
            flat[key] = " ".join(map(str, value)) if isinstance(value, list) else _shown(value)
    return flat


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def outcome_counts(reports: Sequence[RunReport], outcome: Outcome) -> str:
    """Responses of an outcome at the first and last evaluation: "89 → 208", runs separated by semicolons."""
    index = OUTCOMES.index(outcome)
    suites = [suite for report in reports for suite in report.suites]
    return "; ".join(f"{suite.first.ledger[index].count} → {suite.last.ledger[index].count}" for suite in suites)
