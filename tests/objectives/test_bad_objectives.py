"""What is refused, and what is a documented zero."""

from dataclasses import replace

import pytest
import torch

from r1zero.config import ObjectiveConfig
from r1zero.objectives import OBJECTIVES, BatchSize, Objective, TokenBatch, build_objective
from r1zero.objectives.family import without_effect

NAMED_FACTORS = {
    "baseline": ("groupmean", "group_mean"),
    "batch_scale": ("token_whitned", "token_whitening"),
    "ratio": ("sequense", "sequence"),
    "clip": ("pppo", "ppo"),
    "normalizer": ("response_len", "response_length"),
    "kl_estimator": ("k4", "k3"),
    "kl_in": ("los", "loss"),
    "correction": ("token_truncated", "token_truncate"),
    "overlong": ("zeros", "zero"),
}
GROUPED = [name for name, row in OBJECTIVES.items() if row.needs_group]


@pytest.mark.parametrize("factor", NAMED_FACTORS)
def test_an_unknown_factor_names_itself_and_the_nearest(factor):
    wrong, right = NAMED_FACTORS[factor]
    with pytest.raises(ValueError, match=rf"objective\.{factor}='{wrong}'.*{right}"):
        build_objective(ObjectiveConfig(name="grpo", **{factor: wrong}))


def test_an_unknown_row_names_the_nearest():
    with pytest.raises(ValueError, match="dr_grpo"):
        build_objective(ObjectiveConfig(name="drgrpo"))


@pytest.mark.parametrize(
    ("name", "factors", "words"),
    [
        ("grpo", {"divide_by_mean": True}, "exclude each other"),
        ("ppo", {"divide_by_std": True}, "no group to divide by"),
        ("reinforce", {"divide_by_std": True}, "divide by 0"),
        ("sign", {"divide_by_std": True}, "divide by 0"),
        ("grpo", {"gamma": 0.9}, "gamma=0.9"),
        ("grpo", {"top_entropy": 0.0}, "top_entropy=0.0"),
        ("grpo", {"clip_low": -0.1}, "clip_low=-0.1"),
        ("grpo", {"kl_coef": float("nan")}, "kl_coef=nan"),
        ("grpo", {"clip_dual": 0.5}, "clip_dual=0.5.*above 1"),
        ("ctpo", {"clip_dual": 0.0}, "clip_dual=0.0.*above 0"),
        ("reinforce", {"batch_scale": "std"}, "divide by 0"),
        ("sign", {"batch_scale": "std"}, "divide by 0"),
        ("sppo", {"batch_scale": "std"}, "divide by 0"),
        ("ppo", {"batch_scale": "std"}, "each token has an advantage"),
        ("ppo", {"batch_scale": "nonzero_share"}, "each token has an advantage"),
        ("reinforce", {"gamma": 0.9, "batch_scale": "nonzero_share"}, "each token has an advantage"),
        ("grpo", {"gae_lambda": 0.95}, r"gae_lambda=0\.95"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(name, factors, words):
    with pytest.raises(ValueError, match=words):
        replace(OBJECTIVES[name], **factors)


@pytest.mark.parametrize(("key", "value"), [("shadow_every", 0), ("reference_every", -1)])
def test_a_rhythm_that_never_comes_round_is_refused(key, value):
    with pytest.raises(ValueError, match=rf"objective\.{key}={value}: must be at least"):
        ObjectiveConfig(**{key: value})


@pytest.mark.parametrize(
    ("idle", "needed"),
    [
        ({"power": 2.0}, {"ratio": "power_mean"}),
        ({"clip_dual": 3.0, "clip": "detached"}, {"clip": "ppo"}),
        ({"clip_high": 0.3, "clip": "gate"}, {"clip": "ppo"}),
        ({"kl_estimator": "k2"}, {"kl_coef": 0.1}),
        ({"reference_every": 5}, {"kl_coef": 0.1}),
        ({"correction_low": 0.1, "correction": "token_truncate"}, {"correction": "token_mask"}),
        ({"correction_high": 3.0}, {"correction": "reject_k3"}),
        ({"value_clip": 0.5}, {"name": "sppo"}),
    ],
)
def test_a_key_without_effect_is_named_with_what_it_needs(idle, needed):
    (sentence,) = without_effect(ObjectiveConfig(**{"name": "dr_grpo"} | idle))
    key, value = next(iter(idle.items()))
    assert sentence.startswith(f"objective.{key}={value} has no effect")
    assert without_effect(ObjectiveConfig(**{"name": "dr_grpo"} | idle | needed)) == []


@pytest.mark.parametrize("name", OBJECTIVES)
def test_one_response_a_problem_is_refused_exactly_where_a_group_is_needed(name):
    row = OBJECTIVES[name]
    if name in GROUPED:
        with pytest.raises(ValueError, match=r"responses_per_problem=1.*at least 2"):
            row.check_group(1)
        with pytest.raises(ValueError, match="at least 2"):
            row.advantages(torch.ones(3, 1), torch.ones(3, 1))
    else:
        row.check_group(1)
        assert name in ("reinforce", "sign", "reinforce_pp", "sppo", "ppo")


def test_a_group_baseline_called_by_itself_refuses_a_group_of_one_too():
    with pytest.raises(ValueError, match="at least 2"):
        Objective("mine").advantages(torch.zeros(3, 1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_reward_that_is_not_finite_is_refused(name, bad):
    rewards, ones = torch.tensor([[1.0, bad], [0.0, 1.0]]), torch.ones(2, 2)
    row = OBJECTIVES[name]
    with pytest.raises(ValueError, match=f"a reward is {bad}"):
        if row.by_token:
            row.token_advantages(rewards.flatten(), torch.ones(4, 3), torch.zeros(4, 3))
        else:
            row.advantages(rewards, ones, ones)


def test_missing_lengths_and_values_are_named():
    with pytest.raises(ValueError, match="lengths"):
        OBJECTIVES["opo"].advantages(torch.ones(1, 2))
    with pytest.raises(ValueError, match="lengths"):
        OBJECTIVES["reinforce_pp"].advantages(torch.ones(1, 2))
    with pytest.raises(ValueError, match="value head"):
        OBJECTIVES["sppo"].advantages(torch.ones(1, 2))
    with pytest.raises(ValueError, match="value head"):
        OBJECTIVES["ppo"].token_advantages(torch.ones(1), torch.ones(1, 2))
    with pytest.raises(ValueError, match="token_advantages"):
        OBJECTIVES["ppo"].advantages(torch.ones(1, 2))


def micro_batch(row, mask_BT, logprobs_BT=None, fill=0.0):
    shape = torch.zeros_like(mask_BT)
    logprobs_BT = shape.clone() if logprobs_BT is None else logprobs_BT.clone()
    advantages_BT = shape + 0.5 if row.by_token else shape[:, :1] + 0.5
    return TokenBatch(
        logprobs_BT.requires_grad_(),
        shape + fill,
        mask_BT,
        advantages_BT,
        torch.ones_like(mask_BT[:, 0]),
        sampler_logprobs_BT=shape + fill,
        reference_logprobs_BT=shape + fill,
    )


@pytest.mark.parametrize("fill", [0.0, torch.nan])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_micro_batch_without_a_single_token_gives_exactly_0_and_no_gradient(name, fill):
    row = replace(OBJECTIVES[name], kl_coef=0.1, correction="sequence_mask")
    batch = micro_batch(row, torch.zeros(2, 3).double(), torch.full((2, 3), fill).double(), fill)
    loss, sums = row.loss(batch)
    assert loss.item() == 0.0
    assert torch.equal(torch.autograd.grad(loss, batch.logprobs_BT)[0], torch.zeros(2, 3).double())
    assert all(value.item() == 0 for value in sums.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_response_without_tokens_weighs_0_and_leaves_the_others_as_they_are(name):
    row, lengths = OBJECTIVES[name], torch.tensor([[0.0, 3.0]], dtype=torch.float64)
    weights = row.weights(lengths, torch.tensor([[1.0, -1.0]]).double(), BatchSize(2, 3, 4))
    assert weights[0, 0] == 0 and weights[0, 1] > 0
    batch = micro_batch(row, torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).double())
    with_empty, _ = row.loss(replace(batch, weights_B=weights[0]))
    alone = micro_batch(row, torch.ones(1, 3).double())
    without, _ = row.loss(replace(alone, weights_B=weights[0, 1:]))
    torch.testing.assert_close(with_empty, without)


@pytest.mark.parametrize("field", ["logprobs_BT", "old_logprobs_BT", "advantages_BT"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_number_lost_inside_the_mask_makes_the_loss_nan_so_that_the_learner_can_stop(name, field):
    row = OBJECTIVES[name]
    batch = micro_batch(row, torch.ones(2, 3).double())
    spoiled = getattr(batch, field).detach().clone()
    spoiled[0, 0] = torch.nan
    loss, _ = row.loss(replace(batch, **{field: spoiled}))
    assert loss.isnan()


@pytest.mark.parametrize("correction", ["token_truncate", "sequence_mask", "reject_k1", "reject_k3"])
def test_a_sampler_log_probability_that_is_nan_makes_the_loss_nan(correction):
    row = replace(OBJECTIVES["grpo"], correction=correction)
    batch = micro_batch(row, torch.ones(2, 3).double())
    spoiled = batch.sampler_logprobs_BT.clone()
    spoiled[1, 2] = torch.nan
    assert row.loss(replace(batch, sampler_logprobs_BT=spoiled))[0].isnan()


def test_clip_counts_are_split_by_the_sign_of_the_advantage_and_skip_padding():
    logprobs = torch.tensor([[1.5, 1.5, 9.0], [0.5, 1.0, 1.0]], dtype=torch.float64).log()
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    advantages = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    batch = TokenBatch(logprobs, torch.zeros(2, 3).double(), mask, advantages, torch.ones(2).double())
    _, sums = OBJECTIVES["grpo"].loss(batch)
    counts = {name: int(value) for name, value in sums.items()}
    assert counts == {"clipped_positive": 2, "clipped_negative": 1, "tokens_positive": 2, "tokens_negative": 3}


def test_a_zero_advantage_is_left_out_only_where_nothing_else_is_learned_from_the_response():
    assert OBJECTIVES["grpo"].ignores(0.0)
    assert not OBJECTIVES["grpo"].ignores(0.1)
    assert replace(OBJECTIVES["grpo"], kl_coef=0.1, kl_in="reward").ignores(0.0)
    for other in (
        replace(OBJECTIVES["grpo"], kl_coef=0.1),
        replace(OBJECTIVES["grpo"], entropy_coef=0.01),
        replace(OBJECTIVES["grpo"], entropy_target=0.2),
        OBJECTIVES["bnpo"],  # its normaliser counts the tokens that are there
        OBJECTIVES["sppo"],  # the critic learns
        replace(OBJECTIVES["reinforce_pp"], gamma=0.9),  # its tokens' advantages may cancel
    ):
        assert not other.ignores(0.0)
