"""The section of a probe that asks whether reflecting helps: contrasts within questions, transitions, occurrences."""

from __future__ import annotations

import math
from collections.abc import Mapping

from r1zero.analysis.contrast import Contrast
from r1zero.analysis.helping import HelpingResult
from r1zero.analysis.occurrences import OccurrenceRow
from r1zero.analysis.transitions import BEHAVIOURS, TransitionRates
from r1zero.facts.trajectory import TRANSITIONS
from r1zero.reports.cells import shown
from r1zero.reports.probe.helping_figures import TRANSITION_NAMES, draw_effects, draw_questions, draw_transitions
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.statistics.intervals import Interval, short, show_p

ENOUGH = 10  # problems below which a contrast is not read
DRAWN = 3  # questions from which on their differences are drawn
NOTES = (
    "An association, not an effect: responses with a cue may differ in more than the cue. The causal test cuts them at "
    "the cue and goes on with it kept, banned or replaced.",
    "First answers are found by rules: boxes, tags, “the answer is”, the result that a cue puts in question. A "
    "response that goes on to questions of its own is graded by its last answer, and may count as damaging its first.",
)


def section(results: Mapping[str, HelpingResult]) -> Section:
    """The section for one model or several side by side."""
    found = {model: result for model, result in results.items() if result.responses}
    several = len(found) > 1
    findings = [
        f"{model}: {sentence}" if several else sentence
        for model, result in found.items()
        for sentence in _sentences(result)
    ]
    if not found:
        findings = ["Cannot be told: no response has both a known correctness and counted cues."]
    return Section(
        key="helping",
        title="Does reflecting help?",
        question="On the same question, are responses that reflect right more often? What becomes of first answers?",
        findings=tuple(findings),
        tables=_tables(found) if found else (),
        panels=_panels(found) if found else (),
        notes=NOTES,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Sentences


def _sentences(result: HelpingResult) -> list[str]:
    return [_contrast_sentence(result), *_transition_sentences(result), *_occurrence_sentences(result)]


def _contrast_sentence(result: HelpingResult) -> str:
    best = result.contrast
    has = f"{result.reflecting:,} of {result.responses:,} responses have a cue"
    if not best.num_questions:
        return (
            f"Within questions nothing can be told: {has}, and no question has responses of both kinds "
            f"({_left_out(best)}); {ENOUGH} problems with both are needed."
        )
    size = f"at least {best.min_size} of either kind" if best.min_size > 1 else "responses of both kinds"
    basis = f"{_count(best.num_questions, 'question')} of {_count(best.num_problems, 'problem')} with {size}"
    if best.num_problems < ENOUGH:
        return (
            f"Within questions it cannot be told whether reflecting helps: {basis}, {ENOUGH} problems are needed "
            f"({has}); the difference so far is {best.effect}."
        )
    more = "more" if best.effect.estimate > 0 else "less"
    if best.effect.low > 0 or best.effect.high < 0:
        verdict = f"responses with a cue are right {more} often than the others"
    else:
        verdict = "responses with a cue cannot be shown to be right more or less often than the others"
    return (
        f"On the same question, {verdict}: a difference of {best.effect} ({show_p(best.p_permutation)}; {basis}). "
        f"Pooled over questions the difference would be {result.naive}."
    )


def _left_out(one: Contrast) -> str:
    parts = (
        (one.single, "with one response only"),
        (one.never, "without a cue in any"),
        (one.always, "with a cue in all"),
        (one.too_few, f"with fewer than {one.min_size} of a kind"),
    )
    return ", ".join(f"{number:,} {what}" for number, what in parts if number) or "there are none"


def _transition_sentences(result: HelpingResult) -> list[str]:
    sentences = []
    cued = result.with_cue
    if cued.responses:
        superficial = f"{cued.counts['TF']:,} turn a right answer wrong and {cued.counts['none']:,} end without one"
        sentences.append(
            f"Of {_count(cued.responses, 'response')} with a cue, {cued.counts['TT']:,} are right first and last, "
            f"{cued.counts['FT']:,} correct a wrong answer, {superficial} (superficial: {cued.superficial}); "
            f"{cued.counts['FF_same'] + cued.counts['FF_other']:,} are wrong throughout, a cell the original omits."
        )
    every = result.all
    if every.responses:
        sentences.append(
            f"A wrong first answer ends right in {every.correction} of cases, a right one wrong in {every.damage}; "
            f"from first to last answer accuracy goes from {every.first_right} to {every.last_right}, and "
            f"{every.share_after} of the text stands behind the first answer."
        )
    return sentences


def _occurrence_sentences(result: HelpingResult) -> list[str]:
    row = result.occurrences[-1]
    if not row.right.cues + row.wrong.cues:
        return []
    right, wrong = row.right, row.wrong
    said = f"Right responses hold {_count(right.cues, 'cue')} and wrong ones {wrong.cues:,}: "
    said += f"per thousand {result.per_thousand_of} {right.per_thousand:.2f} and {wrong.per_thousand:.2f}"
    if math.isfinite(row.odds_ratio.estimate):
        said += f"; the odds of a cue in right over wrong responses are {row.odds_ratio:.2f}"
        within = row.odds_ratio_within
        said += f", within questions {within:.2f}" if math.isfinite(within.estimate) else ""
    return [f"{said}."]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _tables(results: Mapping[str, HelpingResult]) -> tuple[TextTable, ...]:
    return (_contrasts(results), _behaviours(results), _rates(results), _occurrences(results))


def _named(results: Mapping[str, HelpingResult], model: str, row: tuple[str, ...]) -> tuple[str, ...]:
    """The row, behind its model where there are several."""
    return (model, *row) if len(results) > 1 else row


def _contrasts(results: Mapping[str, HelpingResult]) -> TextTable:
    columns = (
        *("of either kind", "within questions", "p", "questions", "left out", "problems", "better : worse"),
        *("p (sign)", "inverse variance", "length adjusted", "own > 0 : < 0"),
    )
    rows = [
        _named(results, model, _contrast_cells(one))
        for model, result in results.items()
        for one in sorted(result.contrasts, key=lambda one: -one.min_size)
    ]
    rows += [
        _named(
            results,
            model,
            ("pooled, ignoring them", shown(result.naive), *["–"] * 3, f"{result.problems:,}", *["–"] * 5),
        )
        for model, result in results.items()
    ]
    return TextTable(
        "contrasts",
        "right with a cue minus right without, on the same question",
        "Questions: problem, template and temperature; left out are those with fewer of a kind. Within questions: "
        "Mantel–Haenszel weights, 95 % interval over problems. p: labels permuted within questions. Better : worse: "
        "problems. Length adjusted: among responses of one length, of which reflecting is in part the cause. Own: "
        "questions whose own 95 % interval leaves 0 out.",
        _named(results, "model", columns),
        tuple(rows),
    )


def _contrast_cells(one: Contrast) -> tuple[str, ...]:
    return (
        f"{one.min_size} or more",
        shown(one.effect),
        _p(one.p_permutation),
        f"{one.num_questions:,}",
        f"{one.single + one.never + one.always + one.too_few:,}",
        f"{one.num_problems:,}",
        f"{one.better} : {one.worse}",
        _p(one.p_sign),
        shown(one.inverse_variance),
        shown(one.length_adjusted),
        f"{one.above} : {one.below}",
    )


def _p(value: float) -> str:
    return show_p(value).removeprefix("p ").removeprefix("= ") if math.isfinite(value) else "–"


def _behaviours(results: Mapping[str, HelpingResult]) -> TextTable:
    several = len(results) > 1
    columns = [
        (f"{model}, {kind}" if several else kind, rates)
        for model, result in results.items()
        for kind, rates in (("with a cue", result.with_cue), ("without", result.without_cue))
    ]
    rows = [(name, *(_behaviour_cell(rates, number) for _, rates in columns)) for number, name in enumerate(BEHAVIOURS)]
    rows.append(("superficial: 3 and 4", *(str(rates.superficial) for _, rates in columns)))
    rows += [
        (f"{key}: {TRANSITION_NAMES[key]}", *(shown(rates.shares[key]) for _, rates in columns)) for key in TRANSITIONS
    ]
    rows.append(("responses", *(f"{rates.responses:,}" for _, rates in columns)))
    return TextTable(
        "behaviours",
        "what became of first answers",
        "The four behaviours of superficial self-reflection and the fifth that oat-zero omits; then the transitions "
        "from first to last answer (T right, F wrong) with 95 % intervals over problems.",
        ("behaviour", *(name for name, _ in columns)),
        tuple(rows),
    )


def _behaviour_cell(rates: TransitionRates, number: int) -> str:
    transitions = list(BEHAVIOURS.values())[number]
    return f"{sum(rates.counts[one] for one in transitions):,} ({short(rates.share(transitions))})"


def _rates(results: Mapping[str, HelpingResult]) -> TextTable:
    columns = (
        *("which", "responses", "first right", "last right", "gain", "corrected", "damaged"),
        *("two or more", "of these corrected", "of these damaged", "share behind"),
    )
    rows = []
    for model, result in results.items():
        for kind, one in (("all", result.all), ("with a cue", result.with_cue), ("without", result.without_cue)):
            cells = (one.first_right, one.last_right, one.gain, one.correction, one.damage, one.several)
            more = (one.correction_of_several, one.damage_of_several)
            texts = map(shown, (*cells, *more, one.share_after))
            rows.append(_named(results, model, (kind, f"{one.responses:,}", *texts)))
    return TextTable(
        "first_and_last",
        "first answers and last ones",
        "Corrected: the last answer is right where the first was wrong, FT / (FT + FF). Damaged: TF / (TF + TT). "
        "Gain: accuracy of last answers minus that of first ones. Two or more: states several answers; of these: the "
        "same among them. Behind: the part of the text that stands behind the first answer.",
        _named(results, "model", columns),
        tuple(rows),
        folded=True,
    )


def _occurrences(results: Mapping[str, HelpingResult]) -> TextTable:
    units = {result.per_thousand_of for result in results.values()}
    per = f"per 1000 {units.pop() if len(units) == 1 else 'tokens or characters'}"
    columns = (
        *("temperature", "in right", "in wrong", "a right one", "a wrong one"),
        *(f"right, {per}", f"wrong, {per}", "odds ratio", "within questions"),
    )
    rows = [
        _named(results, model, _occurrence_cells(row))
        for model, result in results.items()
        for row in result.occurrences
    ]
    return TextTable(
        "occurrences",
        "cues in right and wrong responses",
        "Raw counts follow how many responses are wrong, and how long they are; rates and odds ratios (of having a "
        "cue, right over wrong) do not.",
        _named(results, "model", columns),
        tuple(rows),
        folded=True,
    )


def _occurrence_cells(row: OccurrenceRow) -> tuple[str, ...]:
    numbers: tuple[Interval, ...] = (
        row.right.per_response,
        row.wrong.per_response,
        row.right.per_thousand,
        row.wrong.per_thousand,
        row.odds_ratio,
        row.odds_ratio_within,
    )
    name = "all" if row.temperature is None else f"{row.temperature:g}"
    return (name, f"{row.right.cues:,}", f"{row.wrong.cues:,}", *(shown(one, ".2f") for one in numbers))


# ---------------------------------------------------------------------------------------------------------------------
# Panels


def _panels(results: Mapping[str, HelpingResult]) -> tuple[Panel, ...]:
    panels = []
    if any(result.reflecting for result in results.values()):
        panels.append(
            Panel(
                "With a cue against without",
                "Share right with a cue minus without. Pooling mixes in which questions invite reflection.",
                draw_effects(results),
            )
        )
    for model, result in results.items():
        if result.contrast.num_questions >= DRAWN:
            name = f", {model}" if len(results) > 1 else ""
            panels.append(
                Panel(
                    f"Every question’s own difference{name}",
                    f"Questions with {result.contrast.min_size} or more of either kind; the band is the weighted mean.",
                    draw_questions(result.contrast),
                )
            )
    if any(result.all.responses for result in results.values()):
        panels.append(
            Panel(
                "From first to last answer",
                "Share of responses. Corrected: first wrong, last right; damaged: first right, last wrong.",
                draw_transitions(results),
            )
        )
    return tuple(panels)
