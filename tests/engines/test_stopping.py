"""Stop strings are found at the token that completes them, and nowhere else."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from transformers import PreTrainedTokenizerFast

from r1zero.engines.stopping import cut, decode, stop_strings, token_pieces
from r1zero.models.load import Policy

PolicyOf = Callable[[str], Policy]


def test_pieces_of_tokens_add_up_to_the_text(policy_of: PolicyOf, tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = token_pieces(policy_of("qwen2"))
    text = " 3 + 8 = 11, so <answer>3 + 8</answer>.\n\nLet me"
    assert "".join(pieces[i] for i in tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "strings", [("</answer>",), ("\n\n", "so"), (" check",), ("é",), ("漢字 →",), ("a", "ab", "b\n")]
)
def test_completion_is_found_at_the_same_token_as_by_decoding_everything(
    policy_of: PolicyOf, tokenizer: PreTrainedTokenizerFast, strings: tuple[str, ...]
) -> None:
    policy = policy_of("qwen2")
    stops = stop_strings(strings, policy, token_pieces(policy), keep=True)
    rng = random.Random(str(strings))
    found = 0
    for trial in range(60):
        ids = [rng.randrange(1, policy.vocab_size) for _ in range(rng.randrange(30))]
        for string in rng.sample(strings, rng.randrange(len(strings) + 1)):
            spelled = tokenizer.encode(string) if trial % 2 else [i for byte in string for i in tokenizer.encode(byte)]
            at = rng.randrange(len(ids) + 1)
            ids = ids[:at] + spelled + ids[at:]
        for length in range(1, len(ids) + 1):
            expected = any(s in decode(tokenizer, ids[:length]) for s in strings)
            candidate = bool(stops.completing_V[ids[length - 1]])
            assert (candidate and stops.completed(ids[:length])) == expected
            if expected:
                found += 1
                break
    assert found >= 10


def test_few_tokens_are_looked_at(policy_of: PolicyOf) -> None:
    policy = policy_of("qwen2")
    stops = stop_strings(("</answer>",), policy, token_pieces(policy), keep=True)
    assert 1 <= stops.completing_V.sum() < 0.05 * policy.vocab_size


def test_text_is_cut_at_the_stop_string_that_is_complete_first() -> None:
    assert cut("one</b></a>two", ("</a>", "</b>"), keep=True) == "one</b>"
    assert cut("one</b></a>two", ("</a>", "</b>"), keep=False) == "one"
    assert cut("x abcd", ("d", "bcd", "cd"), keep=False) == "x a"  # all end at once: nothing of any is left
    assert cut("nothing here", ("</a>",), keep=False) == "nothing here"


def test_an_empty_stop_string_is_refused(policy_of: PolicyOf) -> None:
    with pytest.raises(ValueError, match="empty stop string"):
        stop_strings(("",), policy_of("qwen2"), [], keep=True)
