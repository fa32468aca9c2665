"""A banned pool's cues are not sampled, however they are spelled."""

from __future__ import annotations

import re

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from r1zero.config import EngineConfig, SamplingConfig, TaskConfig
from r1zero.engines import build_engine
from r1zero.engines.spellings import cue_sequences
from r1zero.evaluation.ask import encode
from r1zero.facts.cues import POOLS, CuePool, count_cues, has_cue
from r1zero.models.load import Policy, load_policy
from r1zero.tasks import build_task
from r1zero.tasks.templates import TEMPLATES


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy("tiny-search", "cpu")


def of_words(*words: str) -> PreTrainedTokenizerFast:
    """A tokenizer of characters and these words; a space is "Ġ" in it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: id for id, word in enumerate(dict.fromkeys([*alphabet, *words]))}
    merges = [(word[:cut], word[cut:]) for word in words for cut in range(1, len(word))]
    merges = [(a, b) for a, b in merges if a in vocabulary and b in vocabulary]
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def pieces(tokenizer: PreTrainedTokenizerFast, pool: CuePool) -> set[tuple[str, ...]]:
    return {tuple(tokenizer.decode([id]) for id in ids) for ids in cue_sequences(tokenizer, pool)}


def test_a_cue_is_found_in_every_case_and_with_what_is_glued_to_it() -> None:
    tokenizer = of_words("wa", "it", "wait", "Ġw", "Ġwa", "Ġwait", "Wa", "Wait", "Ġh", "(wait", "wait,", "waits")
    found = pieces(tokenizer, CuePool("one", ("wait",)))
    assert {("wait",), (" wait",), ("Wait",), ("(wait",), ("wait,",), ("wa", "it"), (" wa", "it")} <= found
    assert ("waits",) not in found
    assert all(ids[-1] != "wait" or len(ids) == 1 for ids in found)  # nothing longer where less is banned already
    assert ("waits",) in pieces(tokenizer, CuePool("open", ("wait*",)))


def test_one_token_more_than_the_tokenizers_own_is_allowed_and_not_two() -> None:
    tokenizer = of_words("ho", "ld", "hold", "Ġo", "on", "Ġon")
    found = pieces(tokenizer, CuePool("one", ("hold on",)))
    assert {("hold", " on"), ("ho", "ld", " on"), ("hold", " o", "n"), ("hold", " ", "on")} <= found
    assert ("ho", "ld", " o", "n") not in found


def test_the_tokenizers_own_spelling_is_banned_also_where_it_takes_more_tokens() -> None:
    """Behind a space "recheck it" takes a token more than alone, and "rechecking" is divided within the cue."""
    tokenizer = of_words("re", "ch", "eck", "check", "recheck", "Ġit", "hi", "kin", "king")
    assert len(tokenizer.encode(" recheck it")) > len(tokenizer.encode("recheck it"))
    found = cue_sequences(tokenizer, CuePool("one", ("recheck it and", "reth*")))
    for text in (" recheck it and", "recheck it and", " rethi", "rething"):
        ids = tokenizer.encode(text)
        ends = [ids[start:end] for end in range(1, len(ids) + 1) for start in range(end)]
        assert any(tuple(end) in found for end in ends), text


def test_both_apostrophes_are_banned() -> None:
    tokenizer = of_words("it")
    found = {tokenizer.decode(ids) for ids in cue_sequences(tokenizer, CuePool("one", ("it's",)))}
    assert found == {"it's", "It's", "IT'S", "it’s", "It’s", "IT’S"}


def test_no_sequence_is_banned_that_spells_no_cue(policy: Policy) -> None:
    for pool in POOLS.values():
        for ids in cue_sequences(policy.tokenizer, pool):
            text = policy.tokenizer.decode(ids)
            stem = re.sub(r"^\W+", "", text)
            completions = (stem, f"{stem}e", f"{stem}ing")  # "re-evaluat" is a cue's stem and no cue's end
            assert any(has_cue(completion, pool) for completion in completions), text


@pytest.mark.parametrize("name", ["extended", "understand-r1-zero"])
def test_a_banned_pool_leaves_no_cue_in_what_is_sampled(name: str, policy: Policy) -> None:
    pool = POOLS[name]
    problems = build_task(TaskConfig(), 0).problems("eval", 0, 100)
    prompts = encode(problems, TEMPLATES["native"], policy)
    engine = build_engine(EngineConfig(), policy)

    def cues(banned: tuple[tuple[int, ...], ...]) -> int:
        sampling = SamplingConfig(max_tokens=96)
        groups = engine.generate(prompts, samples=2, sampling=sampling, address=(0,), banned=banned)
        return sum(count_cues(response.text, pool) for group in groups for response in group)

    assert cues(()) >= 15
    assert cues(cue_sequences(policy.tokenizer, pool)) == 0
