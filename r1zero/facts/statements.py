"""Answers stated in mathematical prose, wherever they stand: boxes, answer tags, "the answer is", `####`, conclusions.

The rules are those of r1zero.grading.extract, which look for the last answer; here every one is found with its place.
Every rule reads the text a bounded number of times, whatever it contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from r1zero.facts.cues import Span
from r1zero.grading.extract import ANSWER_IS, BOX_TOKEN, OPENING_MARKS, SENTENCE_END

MAX_ANSWER = 500  # characters; what is longer is no answer
WINDOW = 300  # characters before a cue, or the end, in which a result is looked for

_FINAL = re.compile(r"(?i:final\s)$")
_MARK = re.compile(r"####[ \t]*(?!\d{1,2}\.\s)((?:[-+$\\(\[]|\d)[^\n]{0,200})")
_EMPTY_BOX = re.compile(
    r"\\(?:phantom|hphantom|quad|square|Box|blacksquare|ldots|cdots|dots)(?![a-zA-Z])|[\s_.?~\\,;]*$"
)
_TAG = re.compile(r"<answer>|</answer>")
_FENCE = re.compile(r"```")
# "let's check each factor" looks ahead: it puts no result in question
_AHEAD = re.compile(
    r"(?i:let(?:['’]s| me| us) (?:check|verify)(?: for| each| if| whether| which| some| all| possible| the possible)\b)"
)
CLOSING = 40  # characters that may follow the result of a closing sentence
_CONCLUSION = re.compile(
    r"(?:(?<=[.:,;!?\]$) ])|(?<=\n)|^)[ \t]*(?:Therefore|Thus|Hence|So|Consequently|In conclusion)\b"
)
_MATH = re.compile(r"\\\[(.*?)\\\]|\\\((.*?)\\\)|\$\$?([^$]+)\$", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.^_{])-?(?:\\?\$\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?%?(?![\w^_])")
_EQUALS = re.compile(r"=|≈|\\approx|\\implies|\\Rightarrow|⇒")
_GIVES = re.compile(r"(?:=|≈|:|\b(?:is|are|be|was|were|get|gets|gives?|equals?|obtain|have|has|of))[\s$*]*$")
_VALUE = re.compile(r"[^\W_]|\\")
# what follows "the answer is" when it is judged rather than given
_JUDGED = re.compile(
    r"(?i:not|no|in?correct|wrong|right|in?valid|in?consistent|reasonable|unreasonable|obtained|given|found|the same|"
    r"correct|close|clear|in the|a |an )\b"
)


@dataclass(frozen=True)
class Stated:
    """One answer stated on the way: text[start:end] says it.  Example: Stated("5", 31, 40) for "\\boxed{5}" """

    answer: str
    start: int
    end: int


def explicit_answers(text: str) -> list[Stated]:
    """Boxes, answer tags, "the answer is ..." and `#### ...`, in order; of overlapping ones the innermost box, else
    the tag or `####`, else the sentence.

    >>> [one.answer for one in explicit_answers("The answer is 4. No: the answer is \\\\boxed{5}. <answer>5</answer>")]
    ['4', '5', '5']
    """
    strong = _boxes(text)
    marked = _tags(text) + _marks(text)
    kept = strong + apart(marked, strong)
    return sorted(kept + apart(_sentences(text), kept), key=lambda one: one.start)


def apart(weak: Sequence[Stated], strong: Sequence[Stated]) -> list[Stated]:
    """Those of `weak`, in order, that overlap none of `strong`; in one pass over both."""
    strong, kept, at = sorted(strong, key=lambda one: one.start), [], 0
    for one in sorted(weak, key=lambda one: one.start):
        while at < len(strong) and strong[at].end <= one.start:
            at += 1
        if at == len(strong) or strong[at].start >= one.end:
            kept.append(one)
    return kept


def _boxes(text: str) -> list[Stated]:
    """Every complete box that holds no other, braces matched in one pass."""
    first = text.find("\\boxed")
    if first < 0:
        return []
    found: list[Stated] = []
    open_braces: list[tuple[int, int] | None] = []  # start and end of what opens a box; None is any other brace
    innermost = -1  # where the last complete box begins
    for token in BOX_TOKEN.finditer(text, first):
        mark = token.group()
        if mark == "}":
            opening = open_braces.pop() if open_braces else None
            if opening and opening[0] > innermost:
                innermost = opening[0]
                answer = text[opening[1] : min(token.start(), opening[1] + MAX_ANSWER + 1)].strip()
                if len(answer) <= MAX_ANSWER and not _EMPTY_BOX.match(answer):
                    found.append(Stated(answer, opening[0], token.end()))
        elif mark.endswith("{") and mark != "\\{":
            open_braces.append(None if mark == "{" else token.span())
    return found


def _tags(text: str) -> list[Stated]:
    """Every <answer>...</answer>."""
    if "<answer>" not in text:
        return []
    found, opening = [], -1
    for tag in _TAG.finditer(text):
        if tag.group() == "<answer>":
            opening = tag.start()
        elif opening >= 0:
            at = opening + len("<answer>")
            if tag.start() - at <= MAX_ANSWER and (answer := text[at : tag.start()].strip()):
                found.append(Stated(answer, opening, tag.end()))
            opening = -1
    return found


def _marks(text: str) -> list[Stated]:
    """The rest of every line that has `####` before a value; before words it is a heading."""
    if "####" not in text:
        return []
    found = []
    for mark in _MARK.finditer(text):
        if answer := mark.group(1).strip():
            found.append(Stated(answer, mark.start(), mark.end()))
    return found


def _sentences(text: str) -> list[Stated]:
    """What follows every "answer is", up to the end of its sentence or the next such words; code apart.

    "The result is" mostly announces a step on the way, and counts as "the final result is" only.
    """
    found: list[Stated] = []
    for mark in _mentions(text):
        if (
            mark.end() - mark.start() > 6
            and text[mark.start()] in "rR"
            and not _FINAL.search(text[max(0, mark.start() - 8) : mark.start()])
        ):
            continue
        at = min(OPENING_MARKS.match(text, mark.end()).end(), mark.end() + WINDOW)  # type: ignore[union-attr]
        if found and mark.start() < found[-1].end:  # "the answer is: the answer is 5"
            found.pop()
        end = SENTENCE_END.search(text, at, at + MAX_ANSWER)
        stop = end.start() if end else min(len(text), at + MAX_ANSWER)
        said = text[at:stop].strip().strip("*").strip()
        if (
            _VALUE.search(said)
            and not _JUDGED.match(said)
            and (len(said) <= 30 or any(map(str.isdigit, said)) or "\\" in said)
        ):
            found.append(Stated(said, mark.start(), stop))
    if found and "```" in text:
        code = [Stated("", start, end) for start, end in _code(text)]
        return apart(found, code)
    return found


def _mentions(text: str) -> Iterator[re.Match[str]]:
    """Every match of ANSWER_IS that counts; where only "answer" and "final result" begin one, they are looked for."""
    if "A:" in text or "NSWER" in text:
        yield from ANSWER_IS.finditer(text)
        return
    places = [*_places(text, "nswer", -1), *_places(text, "inal result", 5)]
    end = 0
    for at in sorted(places):
        if at >= end and (mark := ANSWER_IS.match(text, at)):
            yield mark
            end = mark.end()


def _places(text: str, words: str, offset: int) -> Iterator[int]:
    """Where `words` stand, moved by `offset`, but for what lies before the text."""
    at = text.find(words)
    while at >= 0:
        if at + offset >= 0:
            yield at + offset
        at = text.find(words, at + 1)


# ---------------------------------------------------------------------------------------------------------------------
# Results that are no explicit answers


def implied_answers(text: str, explicit: Sequence[Stated], cues: Sequence[Span]) -> list[Stated]:
    """Results that stand for an answer where none is explicit.

    The text is cut at its cues and at its blocks of code.  A stretch that ends in a cue puts its last result in
    question, unless an explicit answer stands near that cue.  The end of a text without any explicit answer concludes
    with "Therefore ... = x" where that is its last sentence; elsewhere such a sentence is mostly a step on the way.
    Code states nothing.

    >>> from r1zero.facts.cues import find_cues
    >>> text = "5 - 3 = 8 eggs. Wait, 5 - 3 = 2 eggs. So 2 * 3 = 6. Thus she has 2 * 3 = 6 eggs left."
    >>> [one.answer for one in implied_answers(text, [], find_cues(text))]
    ['8', '6']
    """
    found: list[Stated] = []
    at = 0
    for start, end, by_cue in _stretches(text, cues):
        if not by_cue:
            continue
        while at < len(explicit) and explicit[at].end <= start:
            at += 1
        last, near = _last_before(explicit, at, end), max(start, end - WINDOW)
        if (last is None or last.end <= near) and (result := _result(text, near, end)):
            found.append(result)
    if not explicit and (closing := _closing(text)) and not (found and found[-1].end > closing.start):
        found.append(closing)
    return found


def _last_before(explicit: Sequence[Stated], at: int, end: int) -> Stated | None:
    last = None
    while at < len(explicit) and explicit[at].start < end:
        last, at = explicit[at], at + 1
    return last


def _stretches(text: str, cues: Sequence[Span]) -> list[tuple[int, int, bool]]:
    """(start, end, whether a cue ends it) of the pieces outside code."""
    cuts = [(cue.start, cue.end, True) for cue in cues if not _AHEAD.match(text, cue.start)]
    cuts += [(start, end, False) for start, end in _code(text)]
    pieces, start = [], 0
    for cut, resume, by_cue in sorted(cuts):
        if cut >= start:  # a cue inside code cuts nothing
            pieces.append((start, cut, by_cue))
        start = max(start, resume)
    return [*pieces, (start, len(text), False)]


def _code(text: str) -> list[tuple[int, int]]:
    """Where blocks of code begin and end; what never closes goes to the end of the text."""
    if "```" not in text:
        return []
    fences = [fence.start() for fence in _FENCE.finditer(text)]
    closings = [fence + 3 for fence in fences[1::2]] + [len(text)]
    return list(zip(fences[::2], closings, strict=False))


def _closing(text: str) -> Stated | None:
    """The result of the text's last sentence, where that begins with Therefore, Thus, Hence or So."""
    start = max(0, len(text) - WINDOW)
    last = None
    for mark in _CONCLUSION.finditer(text, start):
        last = mark
    result = _result(text, last.end(), len(text)) if last else None
    return result if result and len(text) - result.end <= CLOSING else None


def _result(text: str, start: int, end: int) -> Stated | None:
    """The last formula or number of text[start:end], where it stands behind an "=", an "is" or the like.

    Of a formula that equates, what follows its last "=".
    """
    piece = text[start:end]
    formulas = list(_MATH.finditer(piece))
    last: tuple[int, int, str] | None = None
    if formulas:
        body = next(part for part in formulas[-1].groups() if part is not None)
        equated = _EQUALS.split(body)
        if len(equated) > 1 or _GIVES.search(piece[: formulas[-1].start()][-20:]):
            last = formulas[-1].start(), formulas[-1].end(), equated[-1].strip().rstrip(".,;").strip()
    for number in _NUMBER.finditer(piece, formulas[-1].end() if formulas else 0):
        if _GIVES.search(piece[: number.start()][-20:]):
            last = number.start(), number.end(), number.group()
    if last is None or not last[2]:
        return None
    return Stated(last[2], start + last[0], start + last[1])
