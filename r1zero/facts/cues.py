"""Reflection cues: phrases such as "wait" or "let me re-check" that may announce a second look.

A cue is a phrase matched at word boundaries, whatever its case; a `*` at either end opens that end, so "re-evaluat*"
is also "re-evaluating" and "*recheck*" is any text that contains it.  A pool is data: a row of `POOLS`, or a text file
with a cue a line.  Finding a cue says that the words are there, not that anything was reconsidered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from r1zero.config import nearest

APOSTROPHE = "['’]"  # a pattern: straight or curly


@dataclass(frozen=True)
class Span:
    """Where a cue stands in a text: text[start:end]."""

    start: int
    end: int
    cue: str  # as the pool writes it


@dataclass(frozen=True)
class CuePool:
    """A named list of cues.  Example: CuePool("mine", ("wait", "re-check*"))"""

    name: str
    cues: tuple[str, ...]


# The keyword list of oat-zero (11), matched anywhere in the text as there.
OAT_ZERO = """recheck, rethink, reevaluate, re-evaluate, reevaluation, re-examine, reexamine, try again, check again,
think again, go over the steps"""

# The keyword list of "Understanding R1-Zero-Like Training" (15; arXiv:2503.20783): without "try again", with five more.
UNDERSTAND_R1_ZERO = """recheck, rethink, reassess, reevaluate, re-evaluate, reevaluation, re-examine, reexamine,
reconsider, reanalyze, double-check, check again, think again, verify again, go over the steps"""

# Both, with inflections and spellings they miss, and the common words they leave out as prone to false positives.
EXTENDED = """wait, hold on, hmm, hm, oops, aha, try again, check again, think again, verify again, look again,
start over, let me check, let me verify, let's check, let's verify, go over the steps,
recheck*, re-check*, rethink*, re-think*, rethought, reevaluat*, re-evaluat*, reexamin*, re-examin*, reassess*,
re-assess*, reconsider*, re-consider*, reanaly*, re-analy*, recalculat*, re-calculat*, recomput*, re-comput*,
double-check*, double check*, backtrack*, another way, made a mistake, made an error, that's not right,
that is not right, not quite right"""


def _pool(name: str, cues: str, *, anywhere: bool = False) -> CuePool:
    phrases = [" ".join(cue.split()) for cue in cues.split(",")]
    return CuePool(name, tuple(f"*{phrase}*" if anywhere else phrase for phrase in phrases))


POOLS: dict[str, CuePool] = {
    "oat-zero": _pool("oat-zero", OAT_ZERO, anywhere=True),
    "understand-r1-zero": _pool("understand-r1-zero", UNDERSTAND_R1_ZERO, anywhere=True),
    "extended": _pool("extended", EXTENDED),
}


def load_pool(name_or_path: str) -> CuePool:
    """A pool of `POOLS`, or one read from a text file: a cue a line; empty lines and lines starting with # are none."""
    if name_or_path in POOLS:
        return POOLS[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise ValueError(
            f"no cue pool {name_or_path!r}: give a text file with a cue a line, or {nearest(name_or_path, POOLS)}"
        )
    lines = [" ".join(line.split()) for line in path.read_text(encoding="utf-8").splitlines()]
    cues = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not any(cue.strip("* ") for cue in cues):
        raise ValueError(f"{path} holds no cue: write one a line")
    return CuePool(path.stem, cues)


def pool_text(pool: CuePool) -> str:
    """The pool as a file that `load_pool` reads: a cue a line, to be edited."""
    how = "# A cue a line, whatever its case, at word boundaries; a * at either end opens that end."
    return "\n".join([f"# cue pool {pool.name}", how, *pool.cues]) + "\n"


def find_cues(text: str, pool: CuePool = POOLS["extended"]) -> list[Span]:
    """Every cue in the text, from left to right, never overlapping; of two that start together the longer one counts.

    >>> [text_span.cue for text_span in find_cues("Wait, re-evaluating: the waiter waits.")]
    ['wait', 're-evaluat*']
    """
    found = _matches(text, pool)
    return [Span(m.start(), m.end(), pool.cues[int((m.lastgroup or "c0")[1:])]) for m in found]


def count_cues(text: str, pool: CuePool = POOLS["extended"]) -> int:
    """How many cues the text holds."""
    return sum(1 for _ in _matches(text, pool))


def has_cue(text: str, pool: CuePool = POOLS["extended"]) -> bool:
    """Whether the text holds a cue."""
    return any(True for _ in _matches(text, pool))


def _matches(text: str, pool: CuePool) -> Iterator[re.Match[str]]:
    """Every cue; an ASCII text is lowered first, since a search that minds the case is half as long."""
    if text.isascii() and all(map(str.isascii, pool.cues)):
        return _pattern(pool.cues, re.NOFLAG).finditer(text.lower())
    return _pattern(pool.cues, re.IGNORECASE).finditer(text)


@lru_cache(maxsize=64)
def _pattern(cues: tuple[str, ...], case: re.RegexFlag) -> re.Pattern[str]:
    """One pattern for all, the longest first; an empty group c0, c1, ... behind each cue says which it was.

    Where all cues begin alike, at a word or anywhere, those of one first letter share it: most places of a text are
    then passed by with a glance, and a long response takes milliseconds.
    """
    order = sorted((i for i in range(len(cues)) if cues[i].strip("* ")), key=lambda i: -len(cues[i].strip("*")))
    if not order:
        return re.compile(r"(?!)")  # never matches
    starts = {_start(cues[i]) for i in order}
    if len(starts) > 1:
        cases = [f"{_start(cues[i])}{''.join(_letter_and_rest(cues[i]))}(?P<c{i}>)" for i in order]
        return re.compile("|".join(cases), case)
    rests: dict[str, list[str]] = {}
    for i in order:
        letter, rest = _letter_and_rest(cues[i])
        rests.setdefault(letter, []).append(f"{rest}(?P<c{i}>)")
    cases = [f"{letter}(?:{'|'.join(same)})" for letter, same in rests.items()]
    letters = "".join(rests).replace(APOSTROPHE, "'’")
    return re.compile(f"{starts.pop()}(?=[{letters}])(?:{'|'.join(cases)})", case)


def _start(cue: str) -> str:
    """Nothing, or a place where a word begins that is no part of a compound such as "AM-HM"."""
    return "" if cue.startswith("*") else r"(?<!\w)(?<!\w-)"


def _letter_and_rest(cue: str) -> tuple[str, str]:
    """The patterns of a cue's first letter and of what follows it."""
    words = [re.escape(word.lower()) for word in cue.strip("*").split()]
    escaped = 2 if words[0].startswith("\\") else 1
    letter, words[0] = words[0][:escaped], words[0][escaped:]
    end = (r"" if cue.startswith("*") else r"\w*") if cue.endswith("*") else r"(?!\w)"
    return _either_apostrophe(letter), _either_apostrophe(r"\s+".join(words)) + end


def _either_apostrophe(pattern: str) -> str:
    return pattern.replace("'", APOSTROPHE)
