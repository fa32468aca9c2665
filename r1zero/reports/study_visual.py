"""What a study on pictures found, as a reader sees it: sentences and tables on the terminal, sections of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from r1zero.experiments.studies.factorial import tokens
from r1zero.experiments.studies.visual_measures import AT_ONCE, RESPONSE_TOKENS, TOTAL, MeasuredRun
from r1zero.experiments.studies.visual_result import ACCURACY, BEHAVIOUR, SUBTASKS, Difference, PictureStudy
from r1zero.experiments.studies.visual_verdicts import fraction
from r1zero.reports.sections import Panel, Paragraph, Section, TextTable, terminal_table
from r1zero.reports.study_lengths import bare_p
from r1zero.reports.study_visual_figures import draw_accuracy, draw_curves
from r1zero.statistics.intervals import Interval, short

NAMES = {
    RESPONSE_TOKENS: "held-out tokens",
    AT_ONCE: "at once",
    "think_tokens": "thinking tokens",
    "cue_share": "with a cue",
    "copied": "copied words",
}


def headline(result: PictureStudy) -> str:
    count, steps = len(result.seeds), max(result.steps.values())
    return f"{result.study}: {len(result.steps)} arms, {count} seed{'s' if count > 1 else ''}, {steps} steps of RL"


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def picture_tables(result: PictureStudy) -> dict[str, TextTable]:
    """By key, in the order of the terminal."""
    tables = [
        _accuracy_table(result),
        _differences_table(result, ACCURACY),
        _behaviour_table(result),
        _thinking_table(result),
        _repetition_table(result),
        _differences_table(result, SUBTASKS),
        _differences_table(result, BEHAVIOUR),
        _seeds_table(result),
    ]
    return {table.key: table for table in tables if table.rows}


def _accuracy_table(result: PictureStudy) -> TextTable:
    kinds = list(dict.fromkeys(one.kind for one in result.subtasks))
    rows = []
    for kind in (TOTAL, *(kind for kind in kinds if kind != TOTAL)):
        for one in result.subtasks:
            if one.kind == kind:
                controls = (short(number) for number in (one.chance, one.prior, one.blank, one.read))
                change = fraction(one.change) if result.steps[one.arm] else "–"
                rows.append((kind, one.arm, short(one.before.estimate), shares(one.after), *controls, change))
    return TextTable(
        "accuracy",
        "held-out accuracy",
        "Of the first model and of the final one, means over seeds with Student's t intervals. Chance: one of the "
        "choices at random; prior: always the place that is right most often; blank: the same model before pictures "
        "with nothing in them; read: responses that name exactly one choice.",
        ("sub-task", "arm", "start", "end", "chance", "prior", "blank", "read", "change"),
        tuple(rows),
    )


def _seeds_table(result: PictureStudy) -> TextTable:
    return TextTable(
        "seeds",
        "accuracy seed by seed",
        "Of the final models on held-out questions.",
        ("sub-task", "arm", *(f"seed {seed}" for seed in result.seeds)),
        tuple((one.kind, one.arm, *map(short, one.by_seed)) for one in result.subtasks),
        folded=True,
    )


def _differences_table(result: PictureStudy, family: str) -> TextTable:
    found = [one for one in result.differences if one.family == family]
    rows = []
    for one in found:
        outcome = () if family == ACCURACY else (NAMES.get(one.outcome, one.outcome),)
        shown = (bare_p(p) for p in (one.p_value, one.holm_p, one.sign_flip_p))
        rows.append((one.comparison.says, *outcome, sized(one, one.interval), *shown, sized(one, one.detectable, "–")))
    where = {ACCURACY: "in total accuracy", SUBTASKS: "by sub-task", BEHAVIOUR: "in behaviour"}[family]
    return TextTable(
        f"differences-{family}",
        f"differences {where}",
        "Each seed its own difference, at the end; Student's t over seeds. p of the t-test, after Holm's correction "
        f"over the {sum(not math.isnan(one.p_value) for one in found)} tests of this table, and of the sign-flip test; "
        "the last column is the difference that these seeds would find with 80 % probability.",
        ("what", *(() if family == ACCURACY else ("outcome",)), "difference", "p", "Holm", "flip", "could see"),
        tuple(rows),
        folded=family != ACCURACY,
    )


def sized(one: Difference, value: Interval | float, undefined: str = "") -> str:
    """In tokens or as a fraction, as the outcome is."""
    if isinstance(value, float) and not math.isfinite(value):
        return undefined
    if "tokens" in one.outcome:
        return tokens(value) if isinstance(value, Interval) else f"{value:.1f}"
    return fraction(value) if isinstance(value, Interval) else short(value)


def _behaviour_table(result: PictureStudy) -> TextTable:
    rows = []
    for arm in result.steps:
        own = {one.what: one for one in result.behaviour if one.arm == arm}
        cells = []
        for what in NAMES:
            ends = [own[what].first.estimate, own[what].last.estimate]
            shown = [f"{end:.1f}" if "tokens" in what else short(end) for end in ends]
            cells.append(" → ".join(shown) if all(map(math.isfinite, ends)) else "–")
        rows.append((arm, *cells))
    return TextTable(
        "behaviour",
        "length and reflection",
        "Means over seeds. At the first and the last evaluation: tokens of a held-out response, share of those that "
        "answer at once, with nothing before the first tag. In training, first to last steps: tokens of the thinking "
        "before the answer, share of responses with a reflection cue, share of a response's words that stand in a "
        "passage copied from earlier in it.",
        ("arm", *NAMES.values()),
        tuple(rows),
    )


def _thinking_table(result: PictureStudy) -> TextTable:
    rows = [
        (
            one.arm,
            short(one.without_thinking.estimate),
            *(short(part.estimate) for part in (one.own, one.deleted, one.swapped)),
            fraction(one.own_minus_deleted),
            fraction(one.own_minus_swapped),
        )
        for one in result.thinking
    ]
    return TextTable(
        "thinking",
        "is the thinking trivial?",
        "Held-out responses of the final models, answered anew by the likeliest tokens after their own thinking, none, "
        "and another question's. None: share of responses with nothing before the last tags that open an answer; they "
        "are left out of the rest, and so are seeds without any other. Means over seeds, differences with Student's t "
        "intervals over them.",
        ("arm", "none", "own", "deleted", "swapped", "own − deleted", "own − swapped"),
        tuple(rows),
    )


def _repetition_table(result: PictureStudy) -> TextTable:
    rows = [
        (one.arm, shares(one.first), shares(one.last), f"{one.sounded} of {one.seeds}") for one in result.repetition
    ]
    return TextTable(
        "repetition",
        "do responses repeat themselves?",
        "Share of training responses beyond a bar that comes from the run's own first responses: passages copied, or "
        "text that packs better than they did. The alarm sounds in a seed where the last steps have more of them than "
        "chance and the first steps account for.",
        ("arm", "first steps", "last steps", "seeds with alarm"),
        tuple(rows),
    )


def shares(value: Interval) -> str:
    """A fraction with its interval; a dash where it is undefined.

    >>> shares(Interval(0.842, 0.8, 0.884))
    '.84 [.80, .88]'
    """
    if not math.isfinite(value.low):
        return short(value.estimate)
    return f"{short(value.estimate)} [{short(value.low)}, {short(value.high)}]"


# ---------------------------------------------------------------------------------------------------------------------
# The terminal and the page


def render(result: PictureStudy) -> RenderableType:
    """Verdicts, tables and notes."""
    parts: list[RenderableType] = [Text(headline(result), style="bold"), Text()]
    parts += [Paragraph(sentence, "• ") for sentence in result.verdicts]
    parts += [Paragraph(f"{name}: {said}", "start ", "dim") for name, said in result.starts.items()]
    tables = picture_tables(result).values()
    for table in tables:
        if not table.folded:
            parts += [Text(), terminal_table(table)]
    parts += [Text()] + [Paragraph(note, "note: ", "dim") for note in result.notes]
    return Group(*parts)


def sections(measured: Mapping[str, Sequence[MeasuredRun]], result: PictureStudy) -> list[Section]:
    """Accuracy, behaviour over training, thinking, repetition."""
    tables = picture_tables(result)

    def shown(*keys: str) -> tuple[TextTable, ...]:
        return tuple(tables[key] for key in keys if key in tables)

    curves = draw_curves(measured)
    starts = tuple(f"Start “{name}”: {said}." for name, said in result.starts.items())
    answers = [Section("accuracy", "Who is right", "", starts, shown("accuracy", "seeds"), (_accuracy_panel(result),))]
    answers.append(
        Section(
            "differences",
            "What differs",
            "",
            (),
            shown(*(f"differences-{family}" for family in (ACCURACY, SUBTASKS, BEHAVIOUR))),
        )
    )
    if curves:
        caption = "Training responses; means over seeds of running means over 5 steps, bands 95 % intervals over seeds."
        panels = tuple(Panel(title, "", figure) for title, figure in curves)
        answers.append(Section("training", "Over training", caption, (), shown("behaviour", "repetition"), panels))
    answers.append(Section("thinking", "Does the answer need its thinking?", "", (), shown("thinking")))
    return [section for section in answers if section.tables]


def _accuracy_panel(result: PictureStudy) -> Panel:
    caption = "Final models; bars are 95 % intervals over seeds. Crosses: before blank pictures; lines: chance."
    return Panel("held-out accuracy", caption, draw_accuracy(result))
