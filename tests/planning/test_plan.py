"""Parts, traffic and advice, by hand."""

from dataclasses import replace

import pytest

from r1zero.planning import advise, make_plan, movements, read_shape
from r1zero.planning.activations import layer_bytes
from r1zero.planning.demand import GIB
from r1zero.planning.shapes import Shape

TOY = Shape("toy", layers=3, width=8, heads=4, kv_heads=2, head_width=2, inner=16, vocabulary=100, tied=True)
SEVEN = read_shape("Qwen/Qwen2.5-7B")
SMALL = read_shape("Qwen/Qwen2.5-1.5B")


def parts(plan):
    return {part.name: part for part in plan.parts}


def test_what_a_layer_keeps_by_hand():
    # D=8, Q=8, K=4, I=16, H=4; two inverse norms of 4 bytes
    assert layer_bytes(TOY, "float32", 1.0) == 4 * (6 * 8 + 2 * 8 + 4 * 16) + 8 + 4 * 2 * (8 + 4) + 4 * 4
    assert layer_bytes(TOY, "autocast", 2.0) == (
        4 * (4 * 8 + 8) + 2 * (5 * 8 + 8 + 4 * 16) + 8 + 2 * (2 * 2 * (8 + 4) + 4 * 4)
    )
    assert layer_bytes(TOY, "bfloat16", 1.0) == (
        4 * (2 * 8 + 8) + 2 * (4 * 8 + 8 + 4 * 16) + 8 + 2 * 2 * (8 + 4) + 4 * 4
    )
    heads = layer_bytes(replace(TOY, norms_heads=True), "float32", 1.0) - layer_bytes(TOY, "float32", 1.0)
    assert heads == 8 * (8 + 4)  # what the norm of queries and keys was given, and made


def test_ranks_divide_weights_gradients_and_moments_and_nothing_else_changes_hands(demand):
    one, eight = (make_plan(SEVEN, demand({"learner.dtype": "bfloat16"}, gpus=gpus)) for gpus in (1, 8))
    for name in ("weights", "gradients", "optimizer"):
        assert parts(one)[name].backward == pytest.approx(8 * parts(eight)[name].backward, rel=1e-6)
    assert parts(one)["optimizer"].sampling == 8 * 7_615_616_512
    assert "units gathered" not in parts(one)
    whole = make_plan(SEVEN, demand({"learner.dtype": "bfloat16", "sharding.weights": "none"}, gpus=8))
    assert {name: parts(whole)[name] for name in ("weights", "optimizer")} == {
        name: parts(one)[name] for name in ("weights", "optimizer")
    }


def test_offloaded_parts_leave_the_gpu(demand):
    plan = make_plan(SEVEN, demand({"sharding.offload": True}, gpus=8))
    assert not {"weights", "gradients", "optimizer"} & set(parts(plan))
    assert "activations" in parts(plan)


def test_adapters_alone_have_gradients_and_moments(demand):
    plan = make_plan(SMALL, demand({}, lora_rank=16))
    adapters = SMALL.adapters(16)
    assert parts(plan)["weights"].sampling == 4 * (SMALL.parameters + adapters)
    assert (parts(plan)["gradients"].backward, parts(plan)["optimizer"].backward) == (4 * adapters, 8 * adapters)


def test_a_reference_is_one_more_copy(demand):
    with_one, without = (make_plan(SMALL, demand({}, reference=needed)) for needed in (True, False))
    assert with_one.peak - without.peak == parts(with_one)["reference"].sampling == 4 * SMALL.parameters


def test_the_cache_of_the_fast_engine_by_hand(demand):
    settings = {"engine.name": "fast", "engine.max_concurrent": 100, "sampling.max_tokens": 1000}
    plan = make_plan(SMALL, demand(settings, prompt_tokens=100))
    a_token = 2 * 28 * 2 * 128 * 4  # keys and values, layers, heads, their width, float32
    assert parts(plan)["KV cache"].sampling == 100 * 1152 * a_token  # 1,100 tokens in columns of 64


def test_vllm_takes_its_share_and_gives_it_back_while_it_sleeps(demand):
    settings = {"engine.name": "vllm", "engine.gpu_memory": 0.25, "sampling.max_tokens": 1000}
    awake, asleep = (
        make_plan(SMALL, demand(settings | {"engine.sleep": sleeps}, gpu_memory=80.0)) for sleeps in (False, True)
    )
    for plan in (awake, asleep):
        claimed = parts(plan)["vLLM weights"].sampling + parts(plan)["vLLM KV cache"].sampling
        assert claimed == 20 * GIB
        held = parts(plan)["vLLM KV cache"].sampling
        assert plan.cached_sequences == held // (2 * 28 * 2 * 128 * 2 * 1200)  # bfloat16, 200 + 1,000 tokens
    assert awake.total("backward") - asleep.total("backward") == 20 * GIB


def test_gpus_that_only_sample_carry_the_engine(demand):
    plan = make_plan(SMALL, demand({"engine.name": "vllm"}, gpus=2, sampler_gpus=6))
    assert not any(name.startswith("vLLM") for name in parts(plan))
    sampling = {part.name: part.sampling for part in plan.sampler_parts}
    assert sampling["float32 beside vLLM"] == 4 * SMALL.parameters  # docs/cluster.md
    assert sampling["vLLM weights"] + sampling["vLLM KV cache"] == 40 * GIB


def test_what_moves_in_a_step_by_hand(demand):
    settings = {
        "problems_per_step": 16, "responses_per_problem": 8, "sampling.max_tokens": 1000,
        "learner.tokens_per_microbatch": 8200, "learner.updates_per_rollout": 2, "learner.dtype": "bfloat16",
    }  # fmt: skip
    four = demand(settings, gpus=4)
    assert (four.microbatches, four.updates, four.scores) == (2, 2, True)  # 4 problems of 8,200 tokens a rank
    moved = {movement.what: movement.bytes for movement in movements(SMALL, four)}
    whole = 2 * 28 * SMALL.layer + 4 * SMALL.outside
    assert moved["gather weights"] == round(whole * 3 / 4 * (4 * 2 + 4))  # forward and back, and once to score
    assert moved["sum gradients"] == round(4 * SMALL.parameters * 3 / 4 * 4)
    assert moved["checkpoint"] == 12 * SMALL.parameters
    assert moved["prompts and responses"] == 128 * 1000 * 10
    alone = {movement.what: movement.bytes for movement in movements(SMALL, demand(settings | {"engine.name": "fast"}))}
    assert alone["new weights"] == 0 and "gather weights" not in alone


@pytest.mark.parametrize(("shape", "gpu_memory"), [(SMALL, 24.0), (SMALL, 40.0), (SEVEN, 24.0), (SEVEN, 80.0)])
def test_advice_ends_in_a_plan_that_fits(shape, gpu_memory, demand):
    settings = {"sampling.max_tokens": 3000, "learner.updates_per_rollout": 8, "problems_per_step": 128}
    plan = make_plan(shape, demand(settings, gpu_memory=gpu_memory))
    assert not plan.fits
    changes = advise(plan)
    assert [change.fits for change in changes] == [False] * (len(changes) - 1) + [True]
    assert changes[-1].peak <= plan.room
    assert len({change.flag.split()[0] for change in changes}) == len(changes)  # each knob once


def test_a_plan_that_fits_needs_no_advice(demand):
    assert advise(make_plan(read_shape("tiny-search"), demand({}))) == ()


def test_more_ranks_than_problems_are_refused(demand):
    with pytest.raises(ValueError, match=r"problems_per_step=4 on 8 GPUs: each needs a group; use fewer"):
        demand({"problems_per_step": 4}, gpus=8)


def test_engines_over_several_gpus_are_refused_where_every_rank_has_one(demand):
    settings = {"engine.name": "vllm", "engine.tensor_parallel": 2}
    with pytest.raises(ValueError, match=r"engine\.tensor_parallel=2 on 4 GPUs that learn: each rank has an"):
        demand(settings, gpus=4)
    assert demand(settings, gpus=4, sampler_gpus=4).tensor_parallel == 2
