"""A comparison as a terminal shows it, and in sentences.

Tables fit 80 columns: arms are A and B, named above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from r1zero.experiments.compare import Comparison, SuiteComparison
from r1zero.experiments.differences import ArmDifference, MeasureDifference, Paired
from r1zero.experiments.equal_reward import SMOOTHING, EqualReward
from r1zero.experiments.measures import MEASURES, SHARES
from r1zero.experiments.update_sizes import SIZES, UpdateSize
from r1zero.statistics.intervals import Interval, short, show_p


def render(comparison: Comparison) -> RenderableType:
    """The comparison as rich tables: accuracy by arm, paired differences, update sizes, knobs that differ, notes."""
    parts: list[RenderableType] = []
    if comparison.ablation:
        parts += [Text(f"an ablation of {comparison.ablation}: nothing else differs"), Text()]
    for suite in comparison.suites:
        parts.append(Text(f"held-out accuracy on {suite.suite}, {suite.num_problems} problems", style="bold"))
        parts += [_results_table(suite), Text()]
        for difference in suite.differences:
            parts += [*_difference_tables(difference), Text(describe_difference(difference)), Text()]
    if comparison.equal_reward:
        parts += [Text(describe_equal_reward(comparison.equal_reward)), Text()]
    if comparison.update_sizes:
        parts += [_sizes_table(comparison.update_sizes), Text()]
    if comparison.config_differences:
        parts.append(_knobs_table(comparison))
    parts += [Text(f"note: {note}", style="dim") for note in comparison.notes]
    return Group(*parts)


def describe_difference(difference: ArmDifference) -> str:
    """One sentence: how far apart two arms are in accuracy, how sure that is at each level, and by what method."""
    accuracy = difference.accuracy
    problems, seeds = accuracy.over_problems, accuracy.over_seeds
    said = f"{problems.interval}, {show_p(problems.p_value)} over problems ({problems.method})"
    decisive, unit = problems, "problems"
    if difference.num_seeds > 1:
        flips = f"{seeds.method}; sign flips {show_p(accuracy.sign_flip_p)}"
        said = f"{seeds.interval}, {show_p(seeds.p_value)} over seeds ({flips}); {said}"
        decisive, unit = seeds, "seeds"
    low, high = decisive.interval.low, decisive.interval.high
    relation = "is ahead of" if low > 0 else "is behind" if high < 0 else "does not clearly differ from"
    return (
        f"{difference.other} {relation} {difference.baseline} in held-out accuracy: {said}; better on "
        f"{decisive.better} {unit}, worse on {decisive.worse}, equal on {decisive.tied}"
    )


def describe_equal_reward(equal: EqualReward) -> str:
    """One sentence: each arm's length and step when its training reward reached the same level."""
    arms = "; ".join(
        f"{label}: {equal.tokens[label]:.0f} tokens a response at step {step}" for label, step in equal.steps.items()
    )
    return f"At equal training reward ({short(equal.level)}, mean of {SMOOTHING} steps): {arms}"


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _results_table(suite: SuiteComparison) -> Table:
    first = min(result.first_step for result in suite.results)
    table = _table(
        "arm × seeds" if max(len(r.runs) for r in suite.results) > 1 else "run",
        f"step {first}",
        f"step {suite.step}",
        "change",
        "",
        "tokens",
        no_wrap=True,
    )
    for result in suite.results:
        name = result.arm if len(result.runs) == 1 else f"{result.arm} ×{len(result.runs)}"
        tokens = f"{result.tokens_first:.0f} → {result.tokens_last:.0f}"
        cells = (name, str(result.first), str(result.last), str(result.gain), show_p(result.gain_p), tokens)
        table.add_row(*map(Text, cells))
    return table


def _difference_tables(difference: ArmDifference) -> list[RenderableType]:
    """What other training runs would do, where there are several seeds, and what other problems would."""
    parts: list[RenderableType] = [
        Text(f"{difference.other} (B) against {difference.baseline} (A)", style="bold"),
        Text(
            f"95 % intervals; Holm: p corrected over the {len(difference.measures)} measures; detectable: a true "
            "difference found with 80 % power, given this spread",
            style="dim",
        ),
    ]
    if difference.num_seeds > 1:
        title = f"over {difference.num_seeds} seeds: what other training runs would do ({_method(difference, _seeds)})"
        parts += [Text(title, style="italic"), _measures_table(difference, _seeds), Text()]
    problems = difference.accuracy.over_problems.count
    whose = "these runs" if difference.num_seeds > 1 else "these two runs"
    parts += [
        Text(f"over {problems} problems: what {whose} would do on others"),
        _measures_table(difference, _problems),
    ]
    return parts


def _seeds(row: MeasureDifference) -> Paired:
    return row.over_seeds


def _problems(row: MeasureDifference) -> Paired:
    return row.over_problems


def _method(difference: ArmDifference, level: Callable[[MeasureDifference], Paired]) -> str:
    return level(difference.accuracy).method.split(" over ")[0]


def _measures_table(difference: ArmDifference, level: Callable[[MeasureDifference], Paired]) -> Table:
    table = _table("", "A", "B", "B − A", "p", "Holm", "detectable", no_wrap=True)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in difference.measures:
        paired, spec = level(row), "f" if row.measure in SHARES else ".1f"
        values = (_shown(row.baseline_value, spec), _shown(row.other_value, spec), _shown(paired.interval, spec))
        ps = (_bare_p(paired.p_value), _bare_p(paired.p_holm))
        table.add_row(*map(Text, (MEASURES[row.measure], *values, *ps, _shown(paired.detectable, spec))))
    return table


def _sizes_table(sizes: Sequence[UpdateSize]) -> Table:
    table = _table("size of a step's update", "A", "B", "B / A", no_wrap=True)
    several = len({size.other for size in sizes}) > 1
    for size in sizes:
        name = SIZES[size.metric] + (f", {size.other}" if several else "")
        numbers = (f"{size.baseline_mean:.3g}", f"{size.other_mean:.3g}", _shown(size.ratio, ".2f"))
        table.add_row(*map(Text, (name, *numbers)))
    return table


def _knobs_table(comparison: Comparison) -> Table:
    """The knobs as written, then the factors that an objective's name stands for."""
    table = _table("knobs that differ", *(result.arm for result in comparison.suites[0].results))
    for key, values in {**comparison.config_differences, **comparison.settings_that_differ}.items():
        table.add_row(key, *(Text(str(value)) for value in values.values()))
    return table


def _table(name: str, *columns: str, no_wrap: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(name), overflow="fold")
    for column in columns:
        table.add_column(Text(column), no_wrap=no_wrap, overflow="fold")
    return table


def _shown(value: float | Interval, spec: str) -> str:
    """A number or an interval; undefined ones are a dash.

    >>> _shown(-3.26, ".1f"), _shown(float("nan"), "f"), _shown(Interval(-0.2, -0.3, float("nan")), ".1f")
    ('−3.3', '–', '−0.2 [−0.3, –]')
    """
    if isinstance(value, Interval):
        return format(value, spec).replace("-", "−") if math.isfinite(value.estimate) else "–"
    if not math.isfinite(value):
        return "–"
    return short(value) if spec == "f" else format(value, spec).replace("-", "−")


def _bare_p(p_value: float) -> str:
    """
    >>> _bare_p(0.031), _bare_p(0.0001), _bare_p(float("nan"))
    ('.031', '<.001', '–')
    """
    return "–" if math.isnan(p_value) else show_p(p_value).removeprefix("p ").replace("= ", "").replace("< ", "<")
