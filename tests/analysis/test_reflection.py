"""Reflection cues: what each pool finds, and what it does not."""

from __future__ import annotations

from itertools import pairwise

import pytest

from r1zero.analysis.reflection import POOLS, CuePool, count_cues, cue_counts, find_cues, has_cue, load_pool


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


def test_cues_are_literal_text_not_patterns():
    assert count_cues("a+b a.b aab", CuePool("t", ("a+b", "a.b"))) == 2


def test_counts_are_per_cue_most_frequent_first():
    assert cue_counts(["wait wait", "hmm", "nothing"]) == {"wait": 2, "hmm": 1}


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
