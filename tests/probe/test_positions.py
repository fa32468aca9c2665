"""Places: characters to tokens, exactly, also where a character is several tokens."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerBase

from r1zero.facts.cues import POOLS, CuePool
from r1zero.models.load import load_policy
from r1zero.probe.positions import TokenText, first_cue, lead_in, sentence_starts


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return load_policy("tiny-search", "cpu").tokenizer


def read(tokenizer: PreTrainedTokenizerBase, text: str) -> TokenText:
    return TokenText.of(tokenizer, tokenizer.encode(text, add_special_tokens=False))


@pytest.mark.parametrize(
    "text", ["1+2=3, no.\nWait, let me try again: 14", "é→漢字 Wait, 4 — 🙂🙂 no.", "", "  a\n\n\nb "]
)
def test_places_are_the_nearest_whole_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    response = read(tokenizer, text)
    assert response.text == text
    clean = [k for k in range(len(response.ids) + 1) if text.startswith(response.first(k))]
    for offset in range(len(text) + 1):
        assert response.before(offset) == max(k for k in clean if len(response.first(k)) <= offset)
        assert response.through(offset) == min(k for k in clean if len(response.first(k)) >= offset)


def test_the_first_cue_is_found_with_its_lead_in(tokenizer: PreTrainedTokenizerBase) -> None:
    response = read(tokenizer, "1+2=3 vs 5, no.\nLet me try again: 2+3=5, so recheck")
    place = first_cue(response, POOLS["extended"])
    assert place is not None
    assert response.first(place.start) == "1+2=3 vs 5, no.\n"
    assert response.first(place.end) == "1+2=3 vs 5, no.\nLet me try again"
    assert place.text == "Let me try again"


def test_a_token_that_reaches_beyond_the_cue_belongs_to_it(tokenizer: PreTrainedTokenizerBase) -> None:
    response = read(tokenizer, "So, think.\n1+2")  # "think" and ".\n" are tokens
    place = first_cue(response, CuePool("mine", ("think.",)))
    assert place is not None
    assert (response.first(place.start), response.first(place.end)) == ("So,", "So, think.\n")


def test_without_a_cue_there_is_no_place(tokenizer: PreTrainedTokenizerBase) -> None:
    assert first_cue(read(tokenizer, "1+2=3"), POOLS["extended"]) is None


@pytest.mark.parametrize(
    ("text", "cue", "begin"),
    [
        ("Wait, no", "Wait", "Wait, no"),
        ("= 4. But we should recheck it", "recheck", "But we should recheck it"),
        ("= 4, and so we all should recheck it", "recheck", "recheck it"),  # five words: the cue alone
        ("= 4 recheck", "recheck", "recheck"),
        ("let’s recheck", "recheck", "let’s recheck"),
    ],
)
def test_a_lead_in_is_the_beginning_of_a_short_clause(text: str, cue: str, begin: str) -> None:
    assert text[lead_in(text, text.index(cue)) :] == begin


def test_long_texts_are_read_in_linear_time() -> None:
    assert lead_in("a" * 1_000_000, 999_999) == 999_999
    assert sentence_starts("\n" * 1_000_000) == []
    assert sentence_starts("a. " + " " * 1_000_000 + "b") == [0, 1_000_003]
