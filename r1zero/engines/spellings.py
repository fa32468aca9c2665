"""The token sequences that spell a pool's cues, to be banned.

The tokenizer's own spellings are banned, those before usual endings too, and others: every spelling with as many
tokens, and for cues of one or two tokens those with one more; at a word's start, lower-case, capitalised and in
capitals, with or without white space in the first token, or behind a bracket or quote that some vocabularies glue to a
word.  The last token may go on as the cue may.
What is banned is a little wider than the pool: the first token may also stand inside a word ("a|wait"), and a cue's
last token may be the beginning of a longer word ("wait|er").  What is not banned, such as a cue spelled letter by
letter, can still be sampled: whoever bans counts what leaked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from transformers import PreTrainedTokenizerBase

from r1zero.engines.stopping import decode
from r1zero.facts.cues import CuePool

Ids = tuple[int, ...]
_ANCHOR = "a"  # decoded before a token, since some tokenizers drop the space that opens a text
_SHORT = 2  # tokens of a cue up to which spellings with one more are found
_ENDINGS = ("", "e", "es", "ed", "ing", "ion", "s")  # with which the tokenizer's own spellings are looked at
_FEWEST = 2  # of a cue's characters that the last token holds where it goes on within the word


def cue_sequences(tokenizer: PreTrainedTokenizerBase, pool: CuePool) -> tuple[Ids, ...]:
    """Token sequences of which every cue of the pool completes one, each without another one at its end."""
    vocabulary = _Vocabulary(_pieces(tokenizer))
    found: set[Ids] = set()
    for cue in pool.cues:
        stem = " ".join(cue.strip("*").split())
        for spelling in _written(stem):
            own = tuple(tokenizer.encode(spelling, add_special_tokens=False))
            found.update(_own(tokenizer, spelling, _ENDINGS if cue.endswith("*") else ("",)))
            found.update(vocabulary.spell(spelling, len(own), open_end=cue.endswith("*")))
    kept = (ids for ids in found if not any(ids[start:] in found for start in range(1, len(ids))))
    return tuple(sorted(kept, key=lambda ids: (len(ids), ids)))


def _own(tokenizer: PreTrainedTokenizerBase, spelling: str, endings: Iterable[str]) -> Iterator[Ids]:
    """How the tokenizer itself writes a cue, alone and behind a space, up to the token that completes it.

    Not all of it is among the other spellings: behind a space a rare word may take a token more, before an ending it is
    divided elsewhere, and a character may be several tokens.
    """
    for text in (lead + spelling + ending for lead in ("", " ") for ending in endings):
        ids = tokenizer.encode(text, add_special_tokens=False)
        ends = (k for k in range(1, len(ids) + 1) if len(decode(tokenizer, ids[:k]).lstrip()) >= len(spelling))
        if (end := next(ends, None)) is not None:
            yield tuple(ids[:end])


def _written(stem: str) -> Iterable[str]:
    """A cue as it may be written.

    >>> sorted(_written("let's see"))
    ["LET'S SEE", 'LET’S SEE', "Let's see", 'Let’s see', "let's see", 'let’s see']
    """
    apostrophes = {stem.replace("’", "'"), stem.replace("'", "’")}
    return {cased for s in apostrophes for cased in (s.lower(), s[:1].upper() + s[1:].lower(), s.upper()) if cased}


def _pieces(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The text that each id adds inside a response, without special tokens and parts of characters."""
    anchor_ids = tokenizer.encode(_ANCHOR, add_special_tokens=False)
    anchor, special = len(decode(tokenizer, anchor_ids)), set(tokenizer.all_special_ids)
    texts = {id: decode(tokenizer, [*anchor_ids, id])[anchor:] for id in range(len(tokenizer)) if id not in special}
    return {id: text for id, text in texts.items() if text and "\ufffd" not in text}


class _Index:
    """Texts with the ids that have them; those that begin alike are found together."""

    def __init__(self, pairs: Iterable[tuple[str, int]]) -> None:
        ids: dict[str, set[int]] = {}
        for text, id in pairs:
            ids.setdefault(text, set()).add(id)
        self.ids: Mapping[str, set[int]] = ids
        self.texts = sorted(ids)

    def completing(self, rest: str, *, open_end: bool) -> Iterator[int]:
        """Ids whose text begins with `rest` and goes on as a cue may: not within a word, unless its end is open."""
        for text in self.texts[bisect_left(self.texts, rest) :]:
            if not text.startswith(rest):
                return
            if text == rest or not _is_word(text[len(rest)]) or (open_end and len(rest) >= _FEWEST):
                yield from self.ids[text]


class _Vocabulary:
    """Pieces of text, as the first token of a cue and as a later one."""

    def __init__(self, pieces: Mapping[int, str]) -> None:
        starts = [
            (text[:at], text[at:], id)
            for id, text in pieces.items()
            for at in range(len(text))
            if at == 0 or (not _is_word(text[at - 1]) and _is_word(text[at]))
        ]
        self.whole = _Index((text, id) for id, text in pieces.items())
        self.spaced = _Index((tail, id) for lead, tail, id in starts if not lead.strip())
        self.glued = _Index((tail, id) for lead, tail, id in starts if lead.strip())

    def spell(self, spelling: str, budget: int, *, open_end: bool) -> Iterator[Ids]:
        """Every sequence of about `budget` tokens at most that completes the spelling with its last one."""

        @cache
        def later(rest: str, left: int) -> tuple[Ids, ...]:
            return tuple(within(self.whole, rest, left))

        def within(index: _Index, rest: str, left: int) -> Iterator[Ids]:
            yield from ((id,) for id in index.completing(rest, open_end=open_end))
            for length in range(1, len(rest)) if left > 1 else ():
                first = index.ids.get(rest[:length])
                if first:
                    yield from ((id, *ids) for ids in later(rest[length:], left - 1) for id in first)

        yield from within(self.spaced, spelling, budget + (budget <= _SHORT))
        yield from within(self.glued, spelling, budget)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
