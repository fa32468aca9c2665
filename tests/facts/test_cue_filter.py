"""The scan for texts that may hold a cue misses none that the exact search finds something in."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1zero.facts.cue_filter import find_all_cues, may_hold
from r1zero.facts.cues import POOLS, CuePool, find_cues

DATA = Path(os.environ.get("R1ZERO_DATA") or Path(__file__).parents[3] / "shared" / "data") / "responses"
ODD = CuePool("odd", ("wait", "*ait a*", "'tis", "a.b*", "*$x", "Re-think", "等等", "Überprüf*", "naïve", "*ΣΑΣ*", "k"))
TESTED = (*POOLS.values(), ODD)
WORDS = [word for pool in TESTED for cue in pool.cues for word in cue.strip("*").split()]
BETWEEN = [
    "",
    " ",
    "\n",
    "\x1c",
    "\x85",
    "\u00a0",
    "\u2003",
    ".",
    "_",
    "é",
    "\u0301",
    "²",
    "’",
    "'",
    "s",
    "ing",
    "ı",
    "ſ",
    "K",
]
TWINS = str.maketrans("ski", "ſ\u212aı")
twisted = st.sampled_from([str, str.upper, str.title, str.swapcase, lambda s: s.translate(TWINS)])
pieces = st.one_of(st.builds(lambda f, w: f(w), twisted, st.sampled_from(WORDS)), st.text(max_size=3))
texts = st.lists(st.tuples(pieces, st.sampled_from(BETWEEN)), max_size=8).map(lambda ps: "".join(p + b for p, b in ps))


def as_lists(found):
    return [list(spans) for spans in found]


@settings(max_examples=400, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6))
def test_cues_are_exactly_those_of_the_exact_search(made):
    for pool in TESTED:
        assert as_lists(find_all_cues(pl.Series(made), pool)) == [find_cues(text, pool) for text in made]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([(pool, cue) for pool in TESTED for cue in pool.cues]), twisted, *[st.sampled_from(BETWEEN)] * 2)
def test_every_single_cue_in_every_guise_is_found(chosen, twist, before, after):
    pool, cue = chosen
    text = f"x {before}{twist(cue.strip('*'))}{after} y"
    assert as_lists(find_all_cues(pl.Series([text]), pool)) == [find_cues(text, pool)]


def test_whatever_letter_python_takes_for_another_polars_does_too():
    """Every letter in all its cases, and those that share one: k, K and the sign of kelvin."""
    for code in range(sys.maxunicode + 1):
        letter = chr(code)
        cases = {c for c in (letter, letter.lower(), letter.upper(), letter.title()) if len(c) == 1}
        for cue in cases if len(cases) > 1 else ():
            pool = CuePool("one", (f"*{cue}*",))
            assert as_lists(find_all_cues(pl.Series([letter]), pool)) == [find_cues(letter, pool)], (cue, letter)


@pytest.mark.parametrize("pool", TESTED, ids=lambda pool: pool.name)
def test_words_may_stand_apart_by_whatever_python_takes_for_a_space(pool):
    spaces = re.findall(r"\s", "".join(map(chr, range(sys.maxunicode + 1))))
    phrases = pl.Series([cue.strip("*").replace(" ", space) for cue in pool.cues for space in spaces])
    assert len(spaces) > 20 and all(as_lists(find_all_cues(phrases, pool)))


def test_ordinary_prose_is_passed_by():
    prose = pl.Series(["The waiter awaits an algorithm.", "We checked that 3 + 8 = 11.", "A mistake was made."])
    assert not may_hold(prose, POOLS["extended"]).any()


def test_a_pool_without_cues_finds_nothing():
    assert as_lists(find_all_cues(pl.Series(["wait", ""]), CuePool("none", ("*",)))) == [[], []]


def test_a_pool_of_thousands_of_cues_or_one_as_long_as_a_page_is_no_obstacle():
    pool = CuePool("huge", (*(f"cue number {i} of all" for i in range(3000)), "so " * 3000 + "on", "x" * 5000))
    texts = ["Cue number 2999 of all", "cue number 3000 of all", "so " * 2999 + "on", "so " * 3000 + "on", "X" * 5000]
    found = as_lists(find_all_cues(pl.Series(texts), pool))
    assert [len(spans) for spans in found] == [1, 0, 0, 1, 1]
    assert found == [find_cues(text, pool) for text in texts]


@pytest.mark.skipif(not DATA.is_dir(), reason="no stored responses: set R1ZERO_DATA to the directory above them")
def test_real_responses_have_the_same_cues():
    files = sorted(DATA.glob("*.jsonl"))
    responses = [json.loads(line)["response"] for file in files for line in file.open(encoding="utf-8")]
    for pool in POOLS.values():
        found = as_lists(find_all_cues(pl.Series(responses), pool))
        assert found == [find_cues(response, pool) for response in responses]
        assert sum(map(len, found)) > 10
