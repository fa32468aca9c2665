"""Places in a response: from characters to tokens and back, exactly, and where a cue stands or could stand.

A place is a number of tokens: the response is broken off after so many.  Characters become tokens by decoding, since
only that is what the model's text is made of; a place never splits a character.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from r1zero.engines.stopping import decode
from r1zero.facts.cues import CuePool, find_cues

MOST_LEADING_WORDS, MOST_LEADING_CHARACTERS = 4, 80
_LEADING_WORDS = re.compile(rf"(?:[^\W\d_]+(?:['’][^\W\d_]+)? ){{1,{MOST_LEADING_WORDS}}}\Z")
_CLAUSE_ENDS = "\n.,;:!?)>*"
_SENTENCE_STARTS = re.compile(r"(?:\A|\n\s*|[.!?] +)(?=\S)")


@dataclass(frozen=True)
class TokenText:
    """A response's tokens with their text.  `ids` are without the end token."""

    tokenizer: PreTrainedTokenizerBase
    ids: tuple[int, ...]
    text: str  # decode(ids)

    @staticmethod
    def of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> TokenText:
        return TokenText(tokenizer, tuple(ids), decode(tokenizer, ids))

    def first(self, count: int) -> str:
        """The text of the first `count` tokens."""
        return decode(self.tokenizer, self.ids[:count]) if count else ""

    def before(self, offset: int) -> int:
        """The most tokens whose text ends at or before the character `offset`."""
        count = bisect_right(range(len(self.ids) + 1), offset, key=lambda k: len(self.first(k))) - 1
        while not self._is_whole(count):
            count -= 1
        return count

    def through(self, offset: int) -> int:
        """The fewest tokens whose text reaches the character `offset` (is at least so long)."""
        count = bisect_left(range(len(self.ids) + 1), offset, key=lambda k: len(self.first(k)))
        while not self._is_whole(count):
            count += 1
        return count

    def _is_whole(self, count: int) -> bool:
        """Whether no character is split there: half of one decodes to something else."""
        return self.text.startswith(self.first(count))


@dataclass(frozen=True)
class CuePlace:
    """The first cue of a response: tokens start:end are the cue with the words that lead up to it."""

    start: int
    end: int
    text: str  # what these tokens say, without white space around it


def first_cue(response: TokenText, pool: CuePool) -> CuePlace | None:
    """Where the first cue stands, with the lead-in of its clause ("Let me" before "try again"); None without a cue.

    An arm that replaces the cue then does not begin with half of its phrase.  Where the clause has more than
    MOST_LEADING_WORDS words before the cue, the cue alone is meant.
    """
    spans = find_cues(response.text, pool)
    if not spans:
        return None
    offset = lead_in(response.text, spans[0].start)
    start, end = response.before(offset), response.through(spans[0].end)
    return CuePlace(start, end, response.text[offset : spans[0].end])


def lead_in(text: str, offset: int) -> int:
    """Where the clause begins whose first few words lead up to the character `offset`; else `offset` itself.

    >>> text = "= 5, no. Let me try again"
    >>> text[lead_in(text, text.index("try")):], lead_in("The sum of these two should recheck", 28)
    ('Let me try again', 28)
    """
    found = _LEADING_WORDS.search(text, max(0, offset - MOST_LEADING_CHARACTERS), offset)
    if found is None:
        return offset
    before = text[: found.start()].rstrip(" ")
    return found.start() if not before or before[-1] in _CLAUSE_ENDS else offset


def sentence_starts(text: str) -> list[int]:
    """Characters at which a line or a sentence begins, the very first included.

    >>> sentence_starts("1+2=3.\\nSo 3. Then 1.5")
    [0, 7, 13]
    """
    return [match.end() for match in _SENTENCE_STARTS.finditer(text.rstrip())]  # linear: every run of space ends
