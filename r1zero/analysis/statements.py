"""Answers stated in mathematical prose, wherever they stand: boxes, answer tags, "the answer is", `####`, conclusions.

The rules are those of r1zero.grading.extract, which look for the last answer; here every one is found with its place.
Every rule reads the text a bounded number of times, whatever it contains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from r1zero.analysis.reflection import Span
from r1zero.grading.extract import ANSWER_IS, BOX_TOKEN, OPENING_MARKS, SENTENCE_END

MAX_ANSWER = 500  # characters; what is longer is no answer
WINDOW = 300  # characters before a cue, or after "Therefore", in which a result is looked for

_TAG = re.compile(r"<answer>|</answer>")
_FENCE = re.compile(r"```")
_CONCLUSION = re.compile(r"(?:(?<=[.:,;!?\]$) ])|(?<=\n)|^)[ \t]*(?:Therefore|Thus|Hence|So|Consequently|In conclusion)\b")
_MATH = re.compile(r"\\\[(.*?)\\\]|\\\((.*?)\\\)|\$\$?([^$]+)\$", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.^_{])-?(?:\\?\$\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?%?(?![\w^_])")
_EQUALS = re.compile(r"=|≈|\\approx|\\implies|\\Rightarrow|⇒")
_STOP = re.compile(r"(?<=[\w)\]}%$])\.(?=\s|$)|\n\s*\n")
# what follows "the result is" or "the answer is" when it is judged rather than given
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
                if token.start() - opening[1] <= MAX_ANSWER and (answer := text[opening[1] : token.start()].strip()):
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
    """The rest of every line that has `####`."""
    found = []
    at = text.find("####")
    while at >= 0:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        answer = text[at + 4 : end].strip() if end - at <= MAX_ANSWER else ""
        if any(map(str.isdigit, answer)):  # a heading otherwise
            found.append(Stated(answer, at, end))
        at = text.find("####", end)
    return found


def _sentences(text: str) -> list[Stated]:
    """What follows every "answer is", up to the end of its sentence or the next such words."""
    if "nswer" not in text and "esult" not in text and "A:" not in text and "NSWER" not in text:
        return []
    found: list[Stated] = []
    for mark in ANSWER_IS.finditer(text):
        at = min(OPENING_MARKS.match(text, mark.end()).end(), mark.end() + WINDOW)  # type: ignore[union-attr]
        if found and mark.start() < found[-1].end:  # "the answer is: the result is 5"
            found.pop()
        end = SENTENCE_END.search(text, at, at + MAX_ANSWER)
        stop = end.start() if end else min(len(text), at + MAX_ANSWER)
        said = text[at:stop].strip().strip("*").strip()
        if said and not _JUDGED.match(said) and (len(said) <= 30 or any(map(str.isdigit, said)) or "\\" in said):
            found.append(Stated(said, mark.start(), stop))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Results that are no explicit answers


def implied_answers(text: str, explicit: Sequence[Stated], cues: Sequence[Span]) -> list[Stated]:
    """Results that stand for an answer where none is explicit.

    The text is cut at its cues and at its blocks of code.  A stretch that ends in a cue puts its last result in
    question, unless an explicit answer stands near that cue; a stretch that ends in code or with the text
    concludes with its last "Therefore ... = x", unless it has an explicit answer.  Code states nothing.

    >>> from r1zero.analysis.reflection import find_cues
    >>> text = "5 - 3 = 8 eggs. Wait, 5 - 3 = 2 eggs. Thus she has 2 * 3 = 6 eggs left."
    >>> [one.answer for one in implied_answers(text, [], find_cues(text))]
    ['8', '6']
    """
    found, at = [], 0
    for start, end, by_cue in _stretches(text, cues):
        while at < len(explicit) and explicit[at].end <= start:
            at += 1
        nearest_needed = max(start, end - WINDOW) if by_cue else start
        last = _last_before(explicit, at, end)
        if last is not None and last.end > nearest_needed:
            continue
        result = _last_result(text, nearest_needed, end) if by_cue else _conclusion(text, start, end)
        if result:
            found.append(result)
    return found


def _last_before(explicit: Sequence[Stated], at: int, end: int) -> Stated | None:
    last = None
    while at < len(explicit) and explicit[at].start < end:
        last, at = explicit[at], at + 1
    return last


def _stretches(text: str, cues: Sequence[Span]) -> list[tuple[int, int, bool]]:
    """(start, end, whether a cue ends it) of the pieces outside code."""
    fences = [fence.start() for fence in _FENCE.finditer(text)] if "```" in text else []
    cuts = [(cue.start, cue.end, True) for cue in cues]
    for i in range(0, len(fences), 2):  # from an opening fence to the one that closes it
        closing = fences[i + 1] + 3 if i + 1 < len(fences) else len(text)
        cuts.append((fences[i], closing, False))
    pieces, start = [], 0
    for cut, resume, by_cue in sorted(cuts):
        if cut >= start:  # a cue inside code cuts nothing
            pieces.append((start, cut, by_cue))
        start = max(start, resume)
    return [*pieces, (start, len(text), False)]


def _conclusion(text: str, start: int, end: int) -> Stated | None:
    """The result of the last sentence of text[start:end] that begins with Therefore, Thus, Hence or So."""
    last = None
    for mark in _CONCLUSION.finditer(text, start, end):
        last = mark
    if last is None:
        return None
    stop = min(end, last.end() + WINDOW)
    sentence_end = _STOP.search(text, last.end(), stop)
    return _last_result(text, last.end(), sentence_end.end() if sentence_end else stop)


def _last_result(text: str, start: int, end: int) -> Stated | None:
    """The last formula (what follows its last "=") or number of text[start:end]."""
    piece = text[start:end]
    formulas = [found for found in _MATH.finditer(piece)]
    last: tuple[int, int, str] | None = None
    if formulas:
        body = next(part for part in formulas[-1].groups() if part is not None)
        last = formulas[-1].start(), formulas[-1].end(), _EQUALS.split(body)[-1].strip().rstrip(".,;").strip()
    for number in _NUMBER.finditer(piece, last[1] if last else 0):
        last = number.start(), number.end(), number.group()
    if last is None or not last[2] or len(last[2]) > MAX_ANSWER:
        return None
    return Stated(last[2], start + last[0], start + last[1])
