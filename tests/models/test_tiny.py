from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1zero.config import ArchitectureConfig
from r1zero.models.load import load_policy, save_policy
from r1zero.models.tiny import END, fresh_policy, train_tokenizer, without_padding

TEXTS = ["Numbers: 25, 4, 7\nTarget: 93\n25*4=100, 100-7=93 vs 93, yes.\nAnswer: 25*4-7"] * 5
SHAPE = ArchitectureConfig(
    hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=1, intermediate_size=48, vocab_size=320
)  # fmt: skip
HOSTILE = "héllo 漢字 \t <think> x </think>\n\n  123456 ½ 🙂 don't\r\n"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 310)


def test_every_digit_is_one_token(tokenizer):
    assert [tokenizer.decode([i]) for i in tokenizer.encode("93 + 100", add_special_tokens=False)][:2] == ["9", "3"]
    assert len(tokenizer.encode("1234567890", add_special_tokens=False)) == 10


def test_any_text_survives_encoding_and_decoding(tokenizer):
    assert tokenizer.decode(tokenizer.encode(HOSTILE, add_special_tokens=False)) == HOSTILE


def test_words_of_the_corpus_become_single_tokens(tokenizer):
    assert len(tokenizer.encode("Answer", add_special_tokens=False)) == 1
    assert len(tokenizer.encode("25*4=100", add_special_tokens=False)) == 8


def test_the_prompt_and_its_response_are_cut_where_the_whole_document_is(tokenizer):
    prompt, response = "Numbers: 25, 4, 7\nTarget: 93\n", "25*4=100"
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in (prompt, response, prompt + response)]
    assert ids[0] + ids[1] == ids[2]


def test_the_end_token_ends_pads_and_stands_for_nothing_else(tokenizer):
    assert tokenizer.eos_token == tokenizer.pad_token == END
    assert tokenizer.convert_tokens_to_ids(END) not in tokenizer.encode(HOSTILE, add_special_tokens=False)


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    with pytest.raises(ValueError, match="vocab_size=200: must be above 256"):
        train_tokenizer(TEXTS, 200)


def test_heads_that_do_not_divide_the_width_are_refused(tokenizer):
    with pytest.raises(ValueError, match="num_heads=5"):
        fresh_policy(ArchitectureConfig(num_heads=5), tokenizer, 0)


def test_the_seed_alone_decides_the_weights_and_leaves_the_global_generator_as_it_was(tokenizer):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (fresh_policy(SHAPE, tokenizer, seed).model.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_a_saved_model_opens_with_the_auto_classes_and_cuts_text_as_it_did_in_training(tokenizer, tmp_path: Path):
    policy = fresh_policy(SHAPE, tokenizer, 0)
    save_policy(policy, tmp_path, torch.float32)
    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    opened = AutoTokenizer.from_pretrained(tmp_path)
    for text in (TEXTS[0], HOSTILE):
        assert opened.encode(text, add_special_tokens=False) == tokenizer.encode(text, add_special_tokens=False)
    ids = torch.tensor([tokenizer.encode(TEXTS[0], add_special_tokens=False)])
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, policy.model(ids).logits, atol=1e-5)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_embedding_rows_that_no_token_has_are_not_in_the_vocabulary(tokenizer, tmp_path: Path):
    policy = fresh_policy(SHAPE, tokenizer, 0)
    assert policy.vocab_size == len(tokenizer) < SHAPE.vocab_size == policy.model.config.vocab_size
    save_policy(policy, tmp_path)
    loaded = load_policy(str(tmp_path), "cpu")
    assert (loaded.vocab_size, loaded.end_ids, loaded.max_context) == (policy.vocab_size, policy.end_ids, 1024)


def test_taking_the_padding_away_changes_no_logit_of_a_token(tokenizer):
    padded = fresh_policy(SHAPE, tokenizer, 0)
    ids = torch.tensor([tokenizer.encode(TEXTS[0], add_special_tokens=False)])
    with torch.no_grad():
        before = padded.model(ids).logits[..., : len(tokenizer)]
        trimmed = without_padding(padded)
        after = trimmed.model(ids).logits
    assert after.shape[-1] == len(tokenizer)
    assert torch.allclose(before, after, atol=1e-6)
    assert trimmed.model.get_output_embeddings().weight is trimmed.model.get_input_embeddings().weight
