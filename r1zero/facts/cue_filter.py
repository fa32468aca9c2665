"""Which texts may hold a cue at all: one scan by a compiled automaton, so that the exact search runs on few of them.

The scan never misses a text that `find_cues` finds something in; it may pass texts in which that finds nothing.  The
two engines differ in what they call a word character, a space and an upper-case letter, so the scan is kept wider.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from r1zero.facts.cues import CuePool, Span, find_cues

APART = r"[^0-9A-Za-z_]"  # what both engines agree may stand beside a word is among these
SPACE = r"[\s\x1c-\x1f]+"  # Python's \s knows the four separators too
TOGETHER, LONGEST = 200, 100  # cues, and characters of one, that a pattern holds: polars refuses a huge one
DOTTED = "[i\u0130\u0131]"  # to Python three cases of one letter; of all other letters both engines think alike


def find_all_cues(texts: pl.Series, pool: CuePool) -> list[Sequence[Span]]:
    """`find_cues` of each text, in order.

    >>> [len(spans) for spans in find_all_cues(pl.Series(["Wait, wait.", "Done."]), CuePool("mine", ("wait",)))]
    [2, 0]
    """
    found: list[Sequence[Span]] = [()] * len(texts)
    for place in may_hold(texts, pool).arg_true():
        found[place] = find_cues(texts[place], pool)
    return found


def may_hold(texts: pl.Series, pool: CuePool) -> pl.Series:
    """False only where `find_cues` finds no cue of the pool in a text.  [N] -> [N]"""
    cues = [cue for cue in pool.cues if cue.strip("* ")]
    flags = pl.repeat(False, len(texts), eager=True)
    for at in range(0, len(cues), TOGETHER):
        flags |= texts.str.contains(possible(cues[at : at + TOGETHER]))
    return flags


def possible(cues: Sequence[str]) -> str:
    r"""A pattern of polars that is found in every text in which `find_cues` finds one of the cues.

    >>> print(possible(("hm", "re-do*", "*retry*")))
    (?i)(?:^|[^0-9A-Za-z_])(?:hm(?:$|[^0-9A-Za-z_])|re\x2ddo)|retry
    """
    anywhere = [_phrase(cue) for cue in cues if cue.startswith("*")]
    at_a_word = "|".join(_phrase(cue) for cue in cues if not cue.startswith("*"))
    cases = [f"(?:^|{APART})(?:{at_a_word})"] if at_a_word else []
    return "(?i)" + "|".join([*cases, *anywhere])


def _phrase(cue: str) -> str:
    """A cue, or how a long one begins."""
    text = cue.strip("*")
    end = "" if cue.endswith("*") or len(text) > LONGEST else f"(?:$|{APART})"
    words = ("".join(map(_character, word.lower())) for word in text[:LONGEST].split())
    return SPACE.join(words) + end


def _character(character: str) -> str:
    """A pattern for it in either case."""
    if character in "'’":
        return "['’]"
    if character in "i\u0131":
        return DOTTED
    return character if character.isalnum() or not character.isascii() else rf"\x{ord(character):02x}"
