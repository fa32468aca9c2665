"""The plan beside what the learner and the engine really allocate on CPU, and beside a large model without data."""

import random
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, Qwen2Config

from benchmarks.live import LiveBytes, held
from r1zero.config import ArchitectureConfig, TrainConfig, build, nested
from r1zero.engines import fast
from r1zero.models import attention
from r1zero.models.attention import hidden_states
from r1zero.models.logprobs import Head, token_logprobs
from r1zero.models.packing import Tree, pack
from r1zero.models.tiny import fresh_policy, train_tokenizer
from r1zero.objectives import OBJECTIVES
from r1zero.planning import Machine, demand_of, make_plan, read_shape
from r1zero.planning.shapes import shape_of
from r1zero.records import Problem, Prompt
from r1zero.training.batching import Group
from r1zero.training.credit import weighed
from r1zero.training.learner import Learner

TOKENIZER = train_tokenizer(["Numbers: 3, 8, 5\nTarget: 23\n3 * 8 = 24\nAnswer: 3 * 8"], 300)
SMALL = ArchitectureConfig(
    hidden_size=64, num_layers=4, num_heads=4, num_kv_heads=2, intermediate_size=160, vocab_size=len(TOKENIZER)
)
DEEP = ArchitectureConfig(
    hidden_size=96, num_layers=5, num_heads=4, num_kv_heads=1, intermediate_size=400, vocab_size=len(TOKENIZER)
)


def planned(settings, shape, prompt):
    config = build(TrainConfig, nested({"learner.device": "cpu"} | settings))
    demand = demand_of(config, Machine(), reference=False, scores=False, prompt_tokens=prompt, padding=0.0)
    return config, make_plan(shape, demand, on_cpu=True)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "computed again"])
@pytest.mark.parametrize(("architecture", "dtype"), [(SMALL, "float32"), (DEEP, "bfloat16")], ids=["small", "deep"])
def test_the_learner_allocates_what_was_planned(architecture, dtype, checkpointing):
    policy = fresh_policy(architecture, TOKENIZER, seed=0)
    parameters, shape = list(policy.model.parameters()), shape_of("x", policy.model.config.to_dict())
    prompt, response, group, problems = 30, 120, 6, 2
    settings = {
        "problems_per_step": problems, "responses_per_problem": group, "learner.dtype": dtype,
        "learner.tokens_per_microbatch": prompt + group * response, "sampling.max_tokens": response,
        "model.gradient_checkpointing": checkpointing,
    }  # fmt: skip
    config, plan = planned(settings, shape, prompt)
    assert plan.demand.microbatches == problems
    learner = Learner(policy, config.learner, num_updates=2, gradient_checkpointing=checkpointing)
    rng = random.Random(0)
    groups = [
        Group(str(p), ids(rng, prompt), tuple(ids(rng, response) for _ in range(group)), (1.0, -1.0) * (group // 2))
        for p in range(problems)
    ]
    groups = weighed(groups, OBJECTIVES["dr_grpo"], response)
    peaks = {}
    step = learner._step

    def watched_step(groups):
        assert held(p.grad for p in parameters) == part(plan, "gradients").backward == 4 * shape.parameters
        peaks["computing"] = live.peak
        live.restart()
        metrics = step(groups)
        peaks["updating"] = live.peak
        return metrics

    with LiveBytes() as live:
        live.watch(parameters)
        learner.update(groups, OBJECTIVES["dr_grpo"].loss)  # afterwards the moments are there
        live.restart()
        learner._step = watched_step
        learner.update(groups, OBJECTIVES["dr_grpo"].loss)
    assert held(parameters) == part(plan, "weights").sampling == 4 * shape.parameters
    moments = [state[name] for state in learner.optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert held(moments) == part(plan, "optimizer").sampling == 8 * shape.parameters
    state = 16 * shape.parameters
    computing = max(plan.total("logits"), plan.total("backward"))
    band = (0.97, 1.13) if checkpointing else (0.99, 1.02)
    assert band[0] < (computing - state) / (peaks["computing"] - state) < band[1]
    assert 0.98 < plan.total("updating") / peaks["updating"] < 1.02


def ids(rng, count):
    return tuple(rng.randrange(1, len(TOKENIZER)) for _ in range(count))


def part(plan, name):
    return next(part for part in plan.parts if part.name == name)


@pytest.mark.parametrize(("problems", "concurrent"), [(4, 32), (8, 32)], ids=["all at once", "in turn"])
def test_the_fast_engine_allocates_what_was_planned(problems, concurrent, monkeypatch):
    monkeypatch.setattr(fast.onednn, "usable", lambda model: False)  # it keeps weights of its own, on CPU alone
    policy = fresh_policy(SMALL, TOKENIZER, seed=0)
    shape = shape_of("x", policy.model.config.to_dict())
    prompt, response, group = 30, 40, 8
    settings = {
        "problems_per_step": problems, "responses_per_problem": group, "sampling.max_tokens": response,
        "engine.max_concurrent": concurrent,
    }  # fmt: skip
    config, plan = planned(settings, shape, prompt)
    rng = random.Random(0)
    prompts = [Prompt(Problem(str(p), "countdown", "", "", {}), "x", "x", ids(rng, prompt)) for p in range(problems)]
    engine = fast.FastEngine(config.engine, policy)
    with LiveBytes() as live:
        live.watch(policy.model.parameters())
        groups = engine.generate(
            prompts, samples=group, sampling=config.sampling, address=(0,), banned=[(end,) for end in policy.end_ids]
        )
    assert all(response.num_tokens == 40 for group in groups for response in group)
    cache = concurrent * 128 * 2 * 4 * 32 * 4  # rows, columns in whole 64s, keys and values, layers, width, bytes
    assert part(plan, "KV cache").sampling == cache
    measured = live.peak - held(policy.model.parameters())
    assert 0.95 < (plan.total("sampling") - 12 * shape.parameters) / measured < 1.1


def test_a_wide_model_with_a_large_vocabulary_would_allocate_what_was_planned():
    """Six layers of Qwen2.5-0.5B, as tensors without data; benchmarks/plan.py does so with whole models."""
    shape = replace(read_shape("Qwen/Qwen2.5-0.5B"), layers=6)
    config = Qwen2Config(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.inner,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=True,
    )  # fmt: skip
    attention.register()
    prompt, response, group = 200, 974, 4
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME).train()
        packed = pack([Tree(tuple(range(prompt)), (tuple(range(response)),) * group)])
        head = Head(model.lm_head.weight, None, shape.vocabulary, None, 1.0)
        with LiveBytes() as live:
            live.watch(model.parameters())
            for _ in range(2):  # the second finds gradients from the first
                live.restart()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    hidden = hidden_states(model, packed.input_ids_N, packed.position_ids_N, packed)
                scored = hidden.index_select(0, packed.predicting_M)
                del hidden
                logprobs, _ = token_logprobs(head, scored, packed.target_ids_M)
                del scored
                torch.autograd.backward([logprobs], [torch.ones_like(logprobs)])
    settings = {
        "problems_per_step": 4, "responses_per_problem": group, "learner.dtype": "bfloat16",
        "learner.tokens_per_microbatch": prompt + group * response, "sampling.max_tokens": response,
    }  # fmt: skip
    _, plan = planned(settings, shape, prompt)
    weights_and_gradients = 8 * shape.parameters
    measured = live.peak - weights_and_gradients
    planned_bytes = max(plan.total("logits"), plan.total("backward")) - 16 * shape.parameters
    assert 0.98 < planned_bytes / measured < 1.02
