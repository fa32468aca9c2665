"""Audits as a terminal shows them, 80 columns and wider."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from r1zero.audit.record import ACCURACIES, SHOWN_RATIOS, Audit
from r1zero.audit.trl import Agreement

if TYPE_CHECKING:
    from r1zero.experiments.two_branch import Simulation

SIDE_BY_SIDE = 3  # more audits get a line each
SHORT_WORDS = {"unchanged": "same", "not tried": "–", "exactly 0": "0"}


def render(audits: Sequence[Audit]) -> RenderableType:
    """A few audits in full, side by side; many as a line each."""
    return overview(audits) if len(audits) > SIDE_BY_SIDE else in_full(audits)


def in_full(audits: Sequence[Audit]) -> RenderableType:
    blocks: list[RenderableType] = []
    for found in audits:
        blocks.append(Text(found.name, style="bold"))
        blocks += [Padding(Text(sentence), (0, 0, 0, 2)) for sentence in found.verdicts()]
        blocks.append(Text())
    blocks += [_properties(audits), Text(), _lengths(audits), Text(), _difficulties(audits), Text(), _clips(audits)]
    for found in audits:
        if found.classification.name == "mixed":
            blocks += [Text(), _reactions(found)]
    return Group(*blocks)


def overview(audits: Sequence[Audit]) -> RenderableType:
    """One line an objective."""
    table = _table(["", "a token is divided by", "R + ½", "2 R", "w(.05)", "split", "R equal"])
    for found in audits:
        table.add_row(
            found.name,
            found.classification.label.removeprefix("1 over ").replace("constant 1/M", "constant (M)"),
            _word(found.shift),
            _word(found.scale),
            number(found.difficulty.relative(0.05)),
            _word(found.split),
            _word(found.equal_rewards),
        )
    legend = (
        "R + ½, 2 R: the gradient when every reward is shifted, doubled. w(p): how much a problem of accuracy p weighs "
        "beside one of accuracy ½. split: the gradient when the step is cut into micro-batches. R equal: that of a "
        "group whose rewards are all equal."
    )
    notes = [f"{found.name}: {found.note}." for found in audits if found.note]
    by_length = [found.name for found in audits if found.classification.length_in_advantages]
    if by_length:
        notes.append(
            f"Advantages depend on the lengths of responses, whatever a token is divided by: {', '.join(by_length)}."
        )
    return Group(table, Text(), *(Text(line, style="dim") for line in (legend, *notes)))


def agreements(rows: Sequence[Agreement], without: Sequence[str], version: str) -> RenderableType:
    """r1zero beside TRL, objective by objective."""
    table = _table(["", "difference", "TRL settings"])
    for row in rows:
        note = f" ({row.note})" if row.note else ""
        table.add_row(row.objective, row.verdict, row.settings + note)
    blocks: list[RenderableType] = [_titled(f"Token weights beside TRL {version}'s own code", table)]
    if any("eps" in row.verdict for row in rows):
        worst = max(max(row.on_policy, row.off_policy, row.split) for row in rows if not row.failure)
        rest = max(row.explained for row in rows if not row.failure)
        blocks.append(Text(f"eps: at most {worst:.1e} of the largest weight; with TRL's constant {rest:.0e} is left."))
    if without:
        unrun = "Without a counterpart in TRL's GRPO trainers (RLOOTrainer, another one, is not run)"
        line = f"{unrun}: {', '.join(without)}."
        blocks.append(Text(line, style="dim"))
    return Group(*blocks)


def simulations(done: Sequence[Simulation], refused: Sequence[str]) -> RenderableType:
    """Mean lengths of the two-branch policy before and after, over seeds."""
    blocks: list[RenderableType] = []
    if done:
        seeds, steps = done[0].right_ST.shape[0], done[0].right_ST.shape[1] - 1
        title = f"Mean length of the two-branch policy after {steps} steps, {seeds} seeds (tokens)"
        table = _table(["", "start", "right", "wrong", "predicted right", "predicted wrong"])
        for one in done:
            ends = (one.right_ST[:, -1].mean(), one.wrong_ST[:, -1].mean(), one.predicted_right_T[-1])
            values = (one.right_ST[:, 0].mean(), *ends, one.predicted_wrong_T[-1])
            table.add_row(one.objective.name, *(number(float(value)) for value in values))
        blocks.append(_titled(title, table))
    blocks += [Text(f"Not simulated: {reason}", style="dim") for reason in refused]
    return Group(*blocks)


# ---------------------------------------------------------------------------------------------------------------------
# The tables of a full audit

PROPERTIES: tuple[tuple[str, Callable[[Audit], str]], ...] = (
    ("a token is weighed by", lambda found: found.classification.label),
    ("twice the problems", lambda found: "same mean" if found.classification.averages_step else "not averaged"),
    ("rewards + ½", lambda found: found.shift),
    ("rewards × 2", lambda found: found.scale),
    ("group of equal rewards", lambda found: found.equal_rewards),
    ("micro-batch split", lambda found: found.split),
    ("more padding", lambda found: found.padding),
    ("padding on the left", lambda found: found.padding_side),
    ("other order", lambda found: found.order),
    ("no gradient, A > 0", lambda found: _silence(found.silent.right_below, found.silent.right_above)),
    ("no gradient, A < 0", lambda found: _silence(found.silent.wrong_below, found.silent.wrong_above)),
)


def _properties(audits: Sequence[Audit]) -> RenderableType:
    table = _table(["", *(found.name for found in audits)], left=99)
    for name, show in PROPERTIES:
        table.add_row(name, *(show(found) for found in audits))
    return _titled("What changes the gradient", table)


def _lengths(audits: Sequence[Audit]) -> RenderableType:
    """Token weights times B M, right and wrong, and the whole right response's."""
    several = len(audits) > 1
    heads = [f"{found.name}\n{column}" if several else column for found in audits for column in ("right", "wrong", "Σ")]
    table = _table(
        ["tokens", *heads],
        left=0,
    )
    for rows in zip(*(found.lengths for found in audits), strict=True):
        cells = [
            number(value)
            for row, found in zip(rows, audits, strict=True)
            for value in (row.right, row.wrong, row.right * row.length / found.max_tokens)
        ]
        table.add_row(str(rows[0].length), *cells)
    return _titled(
        "Weight of a token by the length of its response (times B·M; Σ: of a whole right response, times B)", table
    )


def _difficulties(audits: Sequence[Audit]) -> RenderableType:
    table = _table(
        ["", *(number(p) for p in ACCURACIES)],
    )
    for found in audits:
        table.add_row(found.name, *(number(found.difficulty.relative(p)) for p in ACCURACIES))
    return _titled(f"Weight of a problem by its accuracy, beside accuracy ½ (groups of {audits[0].group_size})", table)


def _clips(audits: Sequence[Audit]) -> RenderableType:
    table = _table(
        ["", "", *(number(ratio) for ratio in SHOWN_RATIOS)],
        left=2,
    )
    for found in audits:
        for sign, values in (("A > 0", found.clip.right), ("A < 0", found.clip.wrong)):
            by_ratio = dict(zip(found.clip.ratios, values, strict=True))
            name = found.name if sign == "A > 0" else ""
            table.add_row(name, sign, *(number(by_ratio[ratio]) for ratio in SHOWN_RATIOS))
    return _titled("Weight of a token by its probability ratio to the old policy, beside ratio 1", table)


def _reactions(found: Audit) -> RenderableType:
    table = _table(["change", "right", "wrong"])
    for reaction in found.classification.reactions:
        table.add_row(reaction.change, number(reaction.right), number(reaction.wrong))
    return _titled(f"{found.name}: what moves the weight of a token (after ÷ before)", table)


def _table(columns: Sequence[str], *, left: int = 1) -> Table:
    """Without lines; the first `left` columns, and those of words, to the left; numbers to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        words = index < left or name in ("a token is divided by", "difference", "TRL settings")
        justify: Literal["left", "right"] = "left" if words else "right"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=index == 0)
    return table


def _titled(title: str, table: Table) -> RenderableType:
    return Group(Text(title, style="italic"), table)


def number(value: float) -> str:
    """Three digits, no leading zero; a dash where undefined.

    >>> number(0.9354), number(-14.97), number(1.0), number(0.0), number(float("nan"))
    ('.935', '−15', '1', '0', '–')
    """
    if not math.isfinite(value):
        return "–"
    if abs(value) < 5e-4:
        return "≈0" if value else "0"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-0.", "-.").removeprefix("0" if text.startswith("0.") else " ").replace("-", "−")


def _silence(below: float, above: float) -> str:
    if math.isnan(below):
        return "never any"
    parts = [f"below {below:.4g}"] * (below > 0) + [f"above {above:.4g}"] * math.isfinite(above)
    return ", ".join(parts) or "at no ratio"


def _word(text: str) -> str:
    return SHORT_WORDS.get(
        text, "moves" if text.startswith("changes") else "not 0" if text.startswith("not 0") else text
    )
