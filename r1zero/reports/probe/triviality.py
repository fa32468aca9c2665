"""The section on triviality: is the thinking about its question, and does the answer need it?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from r1zero.analysis.triviality import ALARM, TOGETHER, ThinkingTexts, TrivialityResult
from r1zero.probe.thinking import ThinkingResult
from r1zero.reports.cells import fine, negated, shown
from r1zero.reports.dots import dots
from r1zero.reports.sections import Panel, Section, TextTable
from r1zero.reports.traces import Figure
from r1zero.statistics.intervals import Interval, show_p

TITLE = "Triviality of thinking"
QUESTION = "Is the thinking about its question, and does the answer need it?"
WORDS = {"own": "their own thinking", "deleted": "none", "swapped": "another question's"}
SHARE = {"range": [-0.02, 1.02]}


def section(results: Mapping[str, TrivialityResult], thinking: Mapping[str, ThinkingResult] | None = None) -> Section:
    """Models side by side; `thinking` is what deleting and swapping the thinking did, where that was tried."""
    tried = dict(thinking or {})
    many = len({**results, **tried}) > 1
    said: list[str] = []
    for name in {**tried, **results}:
        who = f"{name}: " if many else ""
        if name in tried:
            said += needs(tried[name], who)
        if name in results:
            said += findings(results[name], who)
    tables = (_arms(tried, many), _effects(tried, many), _texts(results, many), _repetition(results, many))
    return Section(
        "triviality",
        TITLE,
        QUESTION,
        tuple(said),
        tuple(table for table in tables if table.rows),
        tuple(_panels(results, tried, many)),
        tuple(_notes(results, tried)),
    )


def findings(result: TrivialityResult, who: str = "") -> list[str]:
    """What the texts say, in sentences."""
    if not result.templates:
        return [f"{who}There are no responses to read."]
    return [who + _alike(one) for one in result.templates] + [
        f"{who}Under {one.template or 'its template'}, {one.alarm} of responses mostly repeat themselves (more than "
        "half of their 3-grams stood there before)."
        for one in result.templates
        if one.alarm.estimate >= 0.05
    ]


def _alike(one: ThinkingTexts) -> str:
    under = f"Under {one.template}, " if one.template else ""
    across, excess = one.similar.across, one.similar.excess
    if not math.isfinite(across.estimate):
        few = f"{under}{one.none} of {one.num_responses:,} responses have no thinking before the answer"
        return f"{few}; the others are too few to compare."
    at_once = f"{one.none} of responses have no thinking before the answer; " if one.none.estimate >= 0.05 else ""
    text = (
        f"{under}{at_once}thinking about different questions shares {fine(across)} of its 3-grams "
        f"({fine(one.wording.across)} with numbers left out)"
    )
    if not math.isfinite(excess.interval.estimate):
        return f"{text}; no question has two responses to compare."
    closer = f"thinking about one question shares {fine(excess.interval)} more ({show_p(excess.p_value)})"
    if excess.interval.low > 0:
        return f"{text}; {closer}: it is about its question."
    if excess.interval.high < 0:
        return f"{text}; thinking about one question shares no more than that ({fine(excess.interval)})."
    return f"{text}; that thinking about one question shares more cannot be told ({fine(excess.interval)})."


def needs(result: ThinkingResult, who: str = "") -> list[str]:
    """What deleting and swapping did, in sentences."""
    if not result.responses:
        return [f"{who}No response had thinking that could be deleted or swapped."]
    accuracy = {one.arm: one.accuracy for one in result.arms}
    effects = {(effect.contrast.arm, effect.contrast.against): effect for effect in result.effects}
    shares = ", ".join(f"{accuracy[arm]} after {name}" for arm, name in WORDS.items() if arm in accuracy)
    said = [f"{who}Of {result.responses:,} answers given anew, {shares} are right."]
    own = effects.get(("own", "deleted"))
    if own is not None:
        drop, p_value = own.accuracy, own.p_holm if math.isfinite(own.p_holm) else own.p_value
        if drop.low > 0 and p_value < 0.05:
            said.append(f"{who}The answer needs the thinking: without it {drop} fewer are right ({show_p(p_value)}).")
        elif drop.high < 0 and p_value < 0.05:
            said.append(f"{who}The thinking does harm: without it {negated(drop)} more are right ({show_p(p_value)}).")
        else:
            said.append(
                f"{who}That the answer needs the thinking cannot be told from chance ({drop}, {show_p(p_value)})."
            )
    return said


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _arms(tried: Mapping[str, ThinkingResult], many: bool) -> TextTable:
    rows = [
        (*((name,) if many else ()), WORDS.get(one.arm, one.arm), str(one.accuracy), shown(one.unchanged),
         shown(one.tokens, ".0f"))
        for name, result in tried.items()
        for one in result.arms
        if math.isfinite(one.accuracy.estimate)
    ]  # fmt: skip
    return TextTable(
        "thinking",
        "answers after other thinking",
        "The model answers anew after the thinking named; same answer: the share that answers as after its own.",
        (*(("model",) if many else ()), "after", "right", "same answer", "tokens of the answer"),
        tuple(rows),
    )


def _effects(tried: Mapping[str, ThinkingResult], many: bool) -> TextTable:
    rows = [
        (*((name,) if many else ()), one.contrast.name, str(one.accuracy), show_p(one.p_value),
         show_p(one.p_holm), f"{one.prefixes:,}", f"{one.problems:,}")
        for name, result in tried.items()
        for one in result.effects
        if math.isfinite(one.accuracy.estimate)
    ]  # fmt: skip
    return TextTable(
        "thinking-effects",
        "what deleting and swapping the thinking does",
        "Paired differences of the share right; p by flipping signs of whole problems, and Holm's correction of it.",
        (*(("model",) if many else ()), "contrast", "difference", "p", "p, Holm", "responses", "problems"),
        tuple(rows),
    )


def _texts(results: Mapping[str, TrivialityResult], many: bool) -> TextTable:
    rows = [
        (*_place(name, one, many), f"{one.num_questions:,}", f"{one.num_responses:,}", str(one.none),
         fine(one.similar.across), fine(one.similar.within), fine(one.wording.across), fine(one.wording.within))
        for name, one in _each(results)
    ]  # fmt: skip
    return TextTable(
        "similarity",
        "shared thinking",
        "3-grams (runs of three words) that two pieces of thinking share, over those of either (Jaccard), across and "
        "within questions; wording: with every number as 0.",
        (
            *(("model",) if many else ()), "template", "questions", "responses", "no thinking", "across", "within",
            "wording across", "wording within",
        ),
        tuple(rows),
    )  # fmt: skip


def _repetition(results: Mapping[str, TrivialityResult], many: bool) -> TextTable:
    rows = [
        (*_place(name, one, many), shown(one.characters, ".0f"), shown(one.compressed), shown(one.joint),
         shown(one.repeated), shown(one.alarm))
        for name, one in _each(results)
        if math.isfinite(one.characters.estimate)
    ]  # fmt: skip
    return TextTable(
        "repetition",
        "compression and repetition",
        "Compressed: bytes after zlib over bytes before (near 1 in short texts, whatever they say). Together: "
        f"{TOGETHER} questions' thinking compressed as one, over apart; low where it is alike. Repeated: 3-grams that "
        f"stood before in the same thinking; alarm: responses with more than {ALARM:.0%} of them.".replace("%", " %"),
        (
            *(("model",) if many else ()), "template", "characters", "compressed", "together", "repeated", "alarm",
        ),
        tuple(rows),
        folded=True,
    )  # fmt: skip


def _each(results: Mapping[str, TrivialityResult]) -> list[tuple[str, ThinkingTexts]]:
    return [(name, one) for name, result in results.items() for one in result.templates]


def _place(name: str, one: ThinkingTexts, many: bool) -> tuple[str, ...]:
    return (*((name,) if many else ()), one.template or "–")


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _panels(results: Mapping[str, TrivialityResult], tried: Mapping[str, ThinkingResult], many: bool) -> list[Panel]:
    panels = []
    answered = {name: result for name, result in tried.items() if any(_known(one.accuracy) for one in result.arms)}
    if answered:
        series = {
            name: {WORDS.get(one.arm, one.arm): one.accuracy for one in result.arms}
            for name, result in answered.items()
        }
        drawn = dots(list(WORDS.values()), series, "share right", x_axis=SHARE)
        panels.append(Panel("Right after which thinking?", "Answers given anew, with 95 % intervals.", drawn))
    texts = [(name, one) for name, one in _each(results) if _known(one.similar.across)]
    if texts:
        caption = (
            "Shared 3-grams with 95 % intervals. Apart: about the question. Together and far right: one text for all."
        )
        panels.append(Panel("Is thinking alike across questions?", caption, _similar(texts, many)))
    return panels


def _similar(texts: list[tuple[str, ThinkingTexts]], many: bool) -> Figure:
    names = [", ".join(part for part in (name if many else "", one.template) if part) or "all" for name, one in texts]
    rows = dict(zip(names, (one for _, one in texts), strict=True))
    series = {
        "across questions": {row: one.similar.across for row, one in rows.items()},
        "same question": {row: one.similar.within for row, one in rows.items()},
        "across, wording only": {row: one.wording.across for row, one in rows.items()},
    }
    return dots(list(rows), series, "3-grams shared (Jaccard)", x_axis={"range": [-0.02, 1.02]})


def _known(interval: Interval) -> bool:
    return math.isfinite(interval.estimate)


def _notes(results: Mapping[str, TrivialityResult], tried: Mapping[str, ThinkingResult]) -> list[str]:
    notes = []
    if results and not tried:
        notes.append(
            "Whether answers need their thinking was not tried: that takes the model, not only its responses (`r1zero "
            "probe MODEL`, of a run RUN/model)."
        )
    for result in tried.values():
        if result.without_answer or result.dropped:
            notes.append(
                f"{result.without_answer:,} responses without an answer and {result.dropped:,} that no longer fit the "
                "context were not given anew."
            )
    if results:
        notes.append(
            "Thinking is the text before the answer's opener (a closing think tag or an answer tag, the sentence of "
            "the last box, the last line that begins with “Answer:”); without any, the whole response."
        )
    return notes
