"""Reflection cues: what each pool finds, and what it does not."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest

from r1zero.facts.cues import POOLS, CuePool, Span, count_cues, find_cues, has_cue, load_pool


def test_the_published_pools_have_their_published_sizes_and_differ_as_published():
    oat, understand = set(POOLS["oat-zero"].cues), set(POOLS["understand-r1-zero"].cues)
    assert len(oat) == 11 and len(understand) == 15
    assert oat - understand == {"*try again*"}
    assert {cue.strip("*") for cue in understand - oat} == {
        "reassess",
        "reconsider",
        "reanalyze",
        "double-check",
        "verify again",
    }


def test_published_pools_match_substrings_whatever_their_case():
    assert count_cues("I RECHECKED it, then unrethinkable", POOLS["oat-zero"]) == 2
    assert not has_cue("wait, let me re-check by re-evaluating", POOLS["oat-zero"])


def test_the_extended_pool_finds_inflections_and_common_words_the_published_ones_miss():
    text = "Wait, let me re-check by re-evaluating. Hmm, that's not right; double check!"
    cues = [span.cue for span in find_cues(text)]
    assert cues == ["wait", "re-check*", "re-evaluat*", "hmm", "that's not right", "double check*"]
    assert not has_cue("The waiter awaits a whim; charm")


def test_spans_are_the_words_of_the_text_and_never_overlap():
    text = "So let me check again: 3+8"
    spans = find_cues(text)
    assert [(text[s.start : s.end], s.cue) for s in spans] == [("let me check", "let me check")]
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_a_cue_may_break_over_lines_and_use_a_curly_apostrophe():
    assert has_cue("go over\n  the steps") and has_cue("that’s not right")


def test_the_longer_of_two_cues_at_the_same_place_counts():
    pool = CuePool("t", ("re", "re-check*", "check"))
    assert [s.cue for s in find_cues("re-checked, re check", pool)] == ["re-check*", "re", "check"]


def test_a_part_of_a_compound_is_no_cue():
    assert find_cues("By AM-HM it holds.") == []
    assert [span.cue for span in find_cues("so it holds--wait, hm")] == ["wait", "hm"]


def test_cues_are_literal_text_not_patterns():
    assert count_cues("a+b a.b aab", CuePool("t", ("a+b", "a.b"))) == 2


def test_a_pool_is_read_from_a_file_and_a_wrong_name_lists_the_right_ones(tmp_path):
    (tmp_path / "mine.txt").write_text("# my cues\n\nperhaps\n  on second   thought \nperhaps\n")
    pool = load_pool(str(tmp_path / "mine.txt"))
    assert pool == CuePool("mine", ("perhaps", "on second thought"))
    assert load_pool("oat-zero") is POOLS["oat-zero"]
    (tmp_path / "empty.txt").write_text("# nothing\n*\n")
    with pytest.raises(ValueError, match=r"empty\.txt holds no cue"):
        load_pool(str(tmp_path / "empty.txt"))
    with pytest.raises(ValueError, match="did you mean oat-zero"):
        load_pool("oat-zer")


def test_a_pool_without_cues_finds_nothing():
    assert find_cues("wait", CuePool("none", ())) == []


def test_a_long_hostile_text_is_scanned_in_linear_work():
    """A text of spaces and near-misses: a backtracking pattern would not come back."""
    assert count_cues(("go over" + " " * 50 + "the step ") * 2000) == 0


def cue_by_cue(text, pool):
    """The definition, a cue and a place at a time: from left to right the longest cue that fits, then on behind it."""
    found, place = [], 0
    while place < len(text):
        ends = {cue: end_of(cue, text, place) for cue in pool.cues}
        if any(ends.values()):
            cue = max(
                (cue for cue in pool.cues if ends[cue]), key=lambda cue: len(cue.strip("*"))
            )  # the first of equals
            found.append(Span(place, ends[cue], cue))
            place = ends[cue]
        else:
            place += 1
    return found


def end_of(cue, text, place):
    """Where the cue ends that starts here; 0 where none does."""
    if not cue.startswith("*") and place and re.match(r"\w", text[place - 1]):
        return 0
    for word in (words := cue.strip("*").split()):
        if text[place : place + len(word)].lower().replace("’", "'") != word.lower():
            return 0
        place += len(word)
        if word is not words[-1]:
            rest = text[place:].lstrip()
            if len(rest) == len(text[place:]):
                return 0
            place = len(text) - len(rest)
    if cue.endswith("*"):
        while not cue.startswith("*") and place < len(text) and re.match(r"\w", text[place]):
            place += 1
        return place
    return 0 if place < len(text) and re.match(r"\w", text[place]) else place


MIXED_POOL = CuePool("mixed", ("wait", "*ait a*", "wait a bit", "'tis", "a.b*", "*a*", "$x", "Re-think"))


@pytest.mark.parametrize("pool", [*POOLS.values(), MIXED_POOL], ids=lambda pool: pool.name)
def test_cues_are_those_found_cue_by_cue_and_place_by_place(pool):
    rng = random.Random(0)
    pieces = [cue.strip("*") for cue in (*POOLS["extended"].cues, *MIXED_POOL.cues)] + [
        " ",
        "\n",
        "s",
        "ing",
        "’",
        ".",
        "X",
    ]
    for _ in range(150):
        text = "".join(rng.choice(pieces) + rng.choice(("", " ", " ")) for _ in range(rng.randint(1, 12)))
        text = rng.choice((text, text.upper(), text.replace("'", "’")))
        assert find_cues(text, pool) == cue_by_cue(text, pool), text
