"""The token sequences that spell a pool's cues, to be banned.

A cue may be spelled by other tokens than the tokenizer's own: every spelling with at most one token more is found, at a
word's start, lower-case, capitalised and in capitals, the first token with or without the space, newline or bracket
that some vocabularies glue to a word, the last one with whatever may follow the cue.
What is banned is a little wider than the pool: the first token may also stand inside a word ("a|wait"), and a cue's
last token may be the beginning of a longer word ("wait|er").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from transformers import PreTrainedTokenizerBase

from r1zero.analysis.reflection import CuePool
from r1zero.engines.stopping import decode

Ids = tuple[int, ...]
_ANCHOR = "a"  # decoded before a token, since some tokenizers drop the space that opens a text
_MORE = 1  # tokens that a spelling may have beyond the tokenizer's own


def cue_sequences(tokenizer: PreTrainedTokenizerBase, pool: CuePool) -> tuple[Ids, ...]:
    """Token sequences of which every cue of the pool completes one, each without another one at its end."""
    vocabulary = _Vocabulary(_pieces(tokenizer))
    found: set[Ids] = set()
    for cue in pool.cues:
        stem = " ".join(cue.strip("*").split())
        for spelling in _written(stem):
            own = tuple(tokenizer.encode(spelling, add_special_tokens=False))
            found.add(own)  # not among the others where a character is several tokens
            found.update(vocabulary.spell(spelling, len(own) + _MORE, open_end=cue.endswith("*")))
    kept = (ids for ids in found if not any(ids[start:] in found for start in range(1, len(ids))))
    return tuple(sorted(kept, key=lambda ids: (len(ids), ids)))


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
            if open_end or text == rest or not _is_word(text[len(rest)]):
                yield from self.ids[text]


class _Vocabulary:
    """Pieces of text, as the first token of a cue and as a later one."""

    def __init__(self, pieces: Mapping[int, str]) -> None:
        self.whole = _Index((text, id) for id, text in pieces.items())
        self.tails = _Index(
            (text[at:], id)
            for id, text in pieces.items()
            for at in range(len(text))
            if at == 0 or (not _is_word(text[at - 1]) and _is_word(text[at]))
        )

    def spell(self, spelling: str, budget: int, *, open_end: bool) -> Iterator[Ids]:
        """Every sequence of at most `budget` tokens that completes the spelling with its last one."""

        @cache
        def later(rest: str, left: int) -> tuple[Ids, ...]:
            return tuple(within(self.whole, rest, left))

        def within(index: _Index, rest: str, left: int) -> Iterator[Ids]:
            yield from ((id,) for id in index.completing(rest, open_end=open_end))
            for length in range(1, len(rest)) if left > 1 else ():
                first = index.ids.get(rest[:length])
                if first:
                    yield from ((id, *ids) for ids in later(rest[length:], left - 1) for id in first)

        yield from within(self.tails, spelling, budget)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
