"""What length-bias found, as a reader sees it: sentences and tables on the terminal, sections of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from r1zero.experiments.studies.factorial import tokens
from r1zero.experiments.studies.length_bias import FACTORS, PLACES, WHERE, Diagnostic, LengthBias, MeasuredRun
from r1zero.experiments.studies.lengths import ANSWERS
from r1zero.reports.sections import Panel, Section, TextTable, terminal_table
from r1zero.reports.study_length_figures import draw_arms, draw_effects, draw_theory
from r1zero.statistics.intervals import show_p

SHORT = dict(zip(FACTORS, ("1/length", "1/std", "interaction"), strict=True))


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def study_tables(result: LengthBias) -> list[TextTable]:
    """Lengths by arm, effects by place, theory, diagnostics."""
    return [
        *(_lengths_table(result, answers) for answers in ("wrong", "right")),
        *(_effects_table(result, where) for where in WHERE),
        _theory_table(result),
        _diagnostics_table(result.diagnostics),
    ]


def _lengths_table(result: LengthBias, answers: str) -> TextTable:
    rows = [
        (
            one.arm,
            f"{one.first.estimate:.0f} → {one.last.estimate:.0f}",
            tokens(one.change),
            tokens(one.held_out_change),
            tokens(one.equal_accuracy, ".0f"),
        )
        for one in result.arms
        if one.answers == answers
    ]
    return TextTable(
        f"lengths-{answers}",
        f"tokens of {answers} answers",
        f"Training rollouts, first {result.first_steps} to last {result.last_steps} steps, and held-out problems, "
        "first to last evaluation; Student's t over seeds. Equal accuracy: the length when all arms of a seed had "
        "reached the same training accuracy."
        if answers == "wrong"
        else "",
        ("arm", "training", "change", "held-out change", "equal accuracy"),
        tuple(rows),
    )


def _effects_table(result: LengthBias, where: str) -> TextTable:
    rows = []
    for answers in ("wrong", "right"):
        for one in result.effects:
            if (one.where, one.answers) == (where, answers):
                shown = (bare_p(p) for p in (one.p_value, one.holm_p, one.sign_flip_p))
                could_see = f"{one.detectable:.1f}" if math.isfinite(one.detectable) else "–"
                rows.append((SHORT[one.factor], answers, tokens(one.interval), *shown, could_see))
    explained = (
        "With the division less without it, each seed its own contrast; Student's t over seeds. p of the t-test, after "
        "Holm's correction over the 12 tests in training and on held-out problems, and of the sign-flip test; the last "
        "column is the effect that these seeds would find with 80 % probability."
    )
    caption = {"training": explained, "equal accuracy": "A check, outside the tests that are corrected."}
    return TextTable(
        f"effects-{where.replace(' ', '-')}",
        f"effects {PLACES[where]}, in tokens",
        caption.get(where, ""),
        ("factor", "answers", "effect", "p", "Holm", "flip", "could see"),
        tuple(rows),
    )


def _theory_table(result: LengthBias) -> TextTable:
    by_answers = {answers: {one.arm: one for one in result.arms if one.answers == answers} for answers in ANSWERS}
    rows = []
    for arm, gap in result.gap.items():
        wrong, right = by_answers["wrong"][arm], by_answers["right"][arm]
        rows.append(
            (
                arm,
                tokens(gap, "+.2f"),
                tokens(wrong.drift, "+.2f"),
                tokens(wrong.change.estimate),
                tokens(right.drift, "+.2f"),
                tokens(right.change.estimate),
            )
        )
    return TextTable(
        "theory",
        "theory, from each arm's own first rollouts",
        "1/L gap: mean of w p (1 − p) {E[1/L | right] − E[1/L | wrong]} over groups, per 1000 tokens: what division by "
        "length maximises. Push: how the arm's own weights push mean lengths, in units of GRPO's push on wrong "
        "answers; exactly 0 where weights ignore length. A sign and a relative size, not tokens. Beside it the change "
        "observed in training.",
        ("arm", "1/L gap", "push on wrong", "seen (wrong)", "push on right", "seen (right)"),
        tuple(rows),
    )


def _diagnostics_table(diagnostics: Sequence[Diagnostic]) -> TextTable:
    arms = list(diagnostics[0].by_arm) if diagnostics else []
    rows = [(row.name, *(number(row.by_arm[arm].estimate) for arm in arms)) for row in diagnostics]
    return TextTable(
        "diagnostics",
        "what may hide an effect, or stand in for one",
        "Means over seeds. Shares are fractions; norms are of the whole gradient and of the weights' change.",
        ("mean over seeds", *arms),
        tuple(rows),
    )


def bare_p(p_value: float) -> str:
    """A p-value for a column of them.

    >>> bare_p(0.0002), bare_p(0.031), bare_p(float("nan"))
    ('< .001', '.031', '–')
    """
    return "–" if math.isnan(p_value) else show_p(p_value).removeprefix("p = ").removeprefix("p ")


def number(value: float) -> str:
    """Three significant digits.

    >>> number(0.12345), number(0.0000123), number(float("nan")), number(0.0)
    ('0.123', '1.23e-05', '–', '0')
    """
    return f"{value:.3g}" if math.isfinite(value) else "–"


# ---------------------------------------------------------------------------------------------------------------------
# The terminal


def render(result: LengthBias) -> RenderableType:
    """Verdicts, tables and notes."""
    parts: list[RenderableType] = [Text(headline(result), style="bold"), Text()]
    parts += [Text(f"• {sentence}") for sentence in (*result.verdicts, result.expectation)]
    for table in study_tables(result):
        parts += [Text(), terminal_table(table)]
    parts += [Text()] + [Text(f"note: {note}", style="dim") for note in result.notes]
    return Group(*parts)


def headline(result: LengthBias) -> str:
    count = len(result.seeds)
    return f"{result.study}: 2 x 2 arms, {count} seed{'s' if count > 1 else ''} of {result.steps} steps"


# ---------------------------------------------------------------------------------------------------------------------
# The page


def sections(measured: Mapping[str, Sequence[MeasuredRun]], result: LengthBias) -> list[Section]:
    """Lengths, effects, theory and diagnostics, with their figures."""
    tables = {table.key: table for table in study_tables(result)}
    training, held_out = draw_effects(result.effects)
    arms = zip(measured, draw_arms(measured), strict=True)
    return [
        Section(
            "lengths",
            "Lengths in training",
            "Running means over 5 steps; lines are means over seeds, bands 95 % intervals (Student's t over seeds). "
            "Wrong is every response that is not correct, truncated ones included.",
            (),
            (tables["lengths-wrong"], tables["lengths-right"]),
            tuple(Panel(arm, "", figure) for arm, figure in arms),
        ),
        Section(
            "effects",
            "What each division does",
            "",
            (),
            tuple(tables[key] for key in ("effects-training", "effects-held-out", "effects-equal-accuracy")),
            (Panel("in training", "", training), Panel("on held-out problems", "", held_out)),
        ),
        Section("theory", "What theory says", "", (result.expectation,), (tables["theory"],)),
        Section(
            "branches",
            "The smallest policy under the same four objectives",
            "Two branches, right and wrong with probability one half, that each learn when to stop and nothing else: "
            "nothing is gained by any length. Dashes are the predicted drift, bands the middle 90 % of 20 seeds.",
            (),
            (),
            (Panel("", "", draw_theory(tuple(measured))),),
        ),
        Section("diagnostics", "What may hide an effect", "", (), (tables["diagnostics"],)),
    ]
