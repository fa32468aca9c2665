import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, LlamaConfig, Qwen2Config, Qwen3Config

from r1zero.models import attention
from r1zero.models.logprobs import Head, token_logprobs
from r1zero.models.packing import Tree, causal_attention, pack

SHAPE = dict(  # noqa: C408
    vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
CONFIGS = {
    "qwen2": Qwen2Config(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE),
    "llama": LlamaConfig(**SHAPE),
    "gemma2": Gemma2Config(**SHAPE, sliding_window=5, attn_logit_softcapping=2.0),
    "gemma3": Gemma3TextConfig(**SHAPE, sliding_window=5),
}
TREES = [Tree((3, 4, 5), ((6, 7), (8, 9, 10, 11, 12, 13), (14,))), Tree((20,), ((21, 22, 23, 24),))]


def model_of(name, implementation=attention.NAME):
    attention.register()
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name]), attn_implementation=implementation).eval()


def packed_logits(model, trees):
    packed = pack(trees)
    hidden = attention.hidden_states(model, packed.input_ids_N, packed.position_ids_N, packed)
    return packed, hidden[packed.predicting_M]


@pytest.mark.parametrize("name", CONFIGS)
def test_packed_hidden_states_equal_each_sequence_run_alone(name):
    model = model_of(name)
    plain = model_of(name, "eager")
    packed, hidden_MD = packed_logits(model, TREES)
    row = 0
    for tree in TREES:
        for response in tree.responses:
            ids = torch.tensor([[*tree.prompt_ids, *response]])
            alone = plain.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0]
            expected = alone[len(tree.prompt_ids) - 1 : -1]
            torch.testing.assert_close(hidden_MD[packed.row_M == row], expected, atol=2e-5, rtol=1e-4)
            row += 1


def test_gradient_of_a_shared_prompt_equals_the_sum_over_its_responses_run_alone():
    model = model_of("qwen2")

    def gradient(list_of_trees):
        model.zero_grad()
        for trees in list_of_trees:
            packed, hidden = packed_logits(model, trees)
            logits = model.lm_head(hidden)
            torch.nn.functional.cross_entropy(logits, packed.target_ids_M, reduction="sum").backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    together = gradient([TREES])
    alone = gradient([[Tree(tree.prompt_ids, (response,))] for tree in TREES for response in tree.responses])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_a_prompt_is_computed_once_for_its_group():
    packed = pack(TREES)
    assert len(packed.input_ids_N) == 3 + 2 + 6 + 1 + 1 + 4
    assert packed.position_ids_N.tolist()[:4] == [0, 1, 2, 0]


def test_attention_off_the_cpu_takes_what_autocast_leaves_it():
    """Under bfloat16 autocast the rotary embedding hands on queries and keys in float32, which torch would refuse."""
    query, key = (torch.empty(2, heads, 5, 8, device="meta") for heads in (4, 2))
    value = torch.empty(2, 2, 5, 8, device="meta", dtype=torch.bfloat16)
    attended = causal_attention(query, key, value, scale=0.3)
    assert (attended.shape, attended.dtype) == (query.shape, torch.bfloat16)


def test_padded_puts_each_value_at_its_row_and_column():
    packed = pack(TREES)
    padded = packed.padded(packed.target_ids_M)
    assert padded.tolist() == [
        [6, 7, 0, 0, 0, 0], [8, 9, 10, 11, 12, 13], [14, 0, 0, 0, 0, 0], [21, 22, 23, 24, 0, 0],
    ]  # fmt: skip


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="empty prompt"):
        pack([Tree((), ((1, 2),))])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_chunked_logprobs_and_gradients_equal_the_full_softmax(temperature):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(30, 8, generator=generator, requires_grad=True)
    hidden = torch.randn(11, 8, generator=generator, requires_grad=True)
    targets = torch.randint(0, 27, (11,), generator=generator)
    weights = torch.randn(11, generator=generator)
    head = Head(weight, None, 27, None, 1.0)  # three padded rows
    logprobs, entropies = token_logprobs(head, hidden, targets, temperature=temperature, chunk=4)
    (logprobs * weights).sum().backward()
    got = (weight.grad.clone(), hidden.grad.clone())
    weight.grad = hidden.grad = None
    full = torch.log_softmax(hidden @ weight[:27].T / temperature, dim=-1)
    (full.gather(-1, targets[:, None])[:, 0] * weights).sum().backward()
    torch.testing.assert_close(logprobs, full.gather(-1, targets[:, None])[:, 0])
    torch.testing.assert_close(entropies, -(full.exp() * full).sum(-1))
    torch.testing.assert_close(got, (weight.grad, hidden.grad))
    assert weight.grad[27:].abs().sum() == 0
