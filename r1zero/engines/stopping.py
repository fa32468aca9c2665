"""Stop strings: found the moment a token completes one, also when they span tokens.

Letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from r1zero.models.load import Policy

_ANCHOR = "a"  # decoded before a token, since some tokenizers drop the space that opens a text
_MARGIN = 8  # tokens decoded before the longest possible match, so that the seam cannot hide its first character


@dataclass(frozen=True)
class StopStrings:
    """Stop strings for one tokenizer, with the ids whose text could complete one of them."""

    strings: tuple[str, ...]
    keep: bool  # whether the string that ended a response stays in its text
    tokenizer: PreTrainedTokenizerBase
    completing_V: Tensor  # bool, on the CPU: only after these ids is text decoded and searched
    window: int  # tokens that hold the longest stop string

    def completed(self, token_ids: Sequence[int]) -> bool:
        """Whether the last of these response tokens completes a stop string."""
        text = decode(self.tokenizer, token_ids[-self.window :])
        return any(string in text for string in self.strings)


def stop_strings(strings: Sequence[str], policy: Policy, pieces_V: Sequence[str], *, keep: bool) -> StopStrings:
    """Prepare stop strings.  `pieces_V` is what `token_pieces` gives.  Raises ValueError for an empty string."""
    if any(not string for string in strings):
        raise ValueError("an empty stop string would stop at every token: remove it")
    completing = [any(_could_complete(piece, string) for string in strings) for piece in pieces_V]
    longest = max((len(string.encode()) for string in strings), default=0)
    completing_V = torch.tensor(completing, dtype=torch.bool)
    return StopStrings(tuple(strings), keep, policy.tokenizer, completing_V, longest + _MARGIN)


def token_pieces(policy: Policy) -> list[str]:
    """The text each id adds inside a response.  [V]"""
    anchor_ids = policy.tokenizer.encode(_ANCHOR, add_special_tokens=False)
    anchor = len(decode(policy.tokenizer, anchor_ids))
    return [decode(policy.tokenizer, [*anchor_ids, id])[anchor:] for id in range(policy.vocab_size)]


def decode(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """Exactly the text that was sampled: special tokens stay visible and spaces are not tidied."""
    text = tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


def cut(text: str, strings: Sequence[str], *, keep: bool) -> str:
    """`text` up to the stop string that is complete first; that string is kept or dropped.

    >>> cut("so <answer>1+2</answer> and", ("</answer>",), keep=True)
    'so <answer>1+2</answer>'
    >>> cut("a\\n\\nb", ("\\n\\n", "c"), keep=False)
    'a'
    """
    found = [(start + len(string), start) for string in strings if (start := text.find(string)) >= 0]
    if not found:
        return text
    end, start = min(found)
    return text[: end if keep else start]


def _could_complete(piece: str, string: str) -> bool:
    """Whether a stop string can end inside a token of this text: it lies in it, or its tail opens it."""
    if string in piece or any(piece.startswith(string[-k:]) for k in range(1, len(string))):
        return True
    return "\ufffd" in piece and not string.isascii()  # part of a character: its bytes are not visible here
