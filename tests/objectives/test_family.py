"""Numbers below are worked out by hand from the definitions, for the group R = (1, 0, 0, 0), L = (10, 20, 40, 80)."""

from dataclasses import replace

import pytest
import torch

from r1zero.config import ObjectiveConfig
from r1zero.objectives import OBJECTIVES, BatchSize, TokenBatch, build_objective, likelihood_loss
from r1zero.objectives.advantages import group_advantages
from r1zero.objectives.aggregation import token_weights
from r1zero.objectives.ratios import clipped_surrogate, kl_k3

LENGTHS = (10, 20, 40, 80)
REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)


def mask_of(lengths, width=None):
    width = width or max(lengths)
    return (torch.arange(width) < torch.tensor(lengths)[:, None]).double()


def token_batch(logprobs_BT, advantages_B, mask_BT, old=None):
    old_BT = logprobs_BT.detach() if old is None else old
    return TokenBatch(logprobs_BT, old_BT, mask_BT, advantages_B)


def gradient_per_token(objective, advantages_B, mask_BT, size):
    """d loss / d logprob of each token: minus the weight with which the token is pushed up."""
    logprobs = torch.zeros_like(mask_BT, requires_grad=True)
    loss, _ = objective.loss(token_batch(logprobs, advantages_B, mask_BT), size)
    return torch.autograd.grad(loss, logprobs)[0]


def test_dr_grpo_advantages_are_reward_minus_group_mean():
    assert OBJECTIVES["dr_grpo"].advantages(REWARDS).tolist() == [[0.75, -0.25, -0.25, -0.25]]


def test_grpo_divides_by_the_bessel_corrected_std():
    advantages = group_advantages(REWARDS, divide_by_std=True, eps=0.0)
    torch.testing.assert_close(advantages, torch.tensor([[1.5, -0.5, -0.5, -0.5]], dtype=torch.float64))


def test_dr_grpo_advantage_is_the_leave_one_out_advantage_times_g_minus_1_over_g():
    rewards = torch.rand(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leave_one_out = rewards - (rewards.sum(-1, keepdim=True) - rewards) / 7
    torch.testing.assert_close(OBJECTIVES["dr_grpo"].advantages(rewards), leave_one_out * 7 / 8)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_a_group_of_equal_rewards_gives_exactly_zero(name, value):
    advantages = OBJECTIVES[name].advantages(torch.full((2, 7), value, dtype=torch.float32))
    assert torch.equal(advantages, torch.zeros(2, 7))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_constant_added_to_every_reward_changes_nothing(name):
    rewards = torch.tensor([[1.0, 0.0, 0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(OBJECTIVES[name].advantages(rewards + 3), OBJECTIVES[name].advantages(rewards))


def test_rewards_scaled_by_two_scale_dr_grpo_and_leave_grpo_as_it_is():
    rewards = torch.tensor([[1.0, 0.0, 0.5, 0.0]], dtype=torch.float64)
    dr_grpo, grpo = OBJECTIVES["dr_grpo"], OBJECTIVES["grpo"]
    torch.testing.assert_close(dr_grpo.advantages(2 * rewards), 2 * dr_grpo.advantages(rewards))
    torch.testing.assert_close(grpo.advantages(2 * rewards), grpo.advantages(rewards), rtol=1e-5, atol=0)


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        OBJECTIVES["grpo"].advantages(torch.zeros(3, 1))


def test_grpo_token_weights_shrink_with_the_response_length():
    mask, size = mask_of(LENGTHS), BatchSize(4, 150, 100)
    advantages = torch.tensor([1.5, -0.5, -0.5, -0.5], dtype=torch.float64)
    weights = -gradient_per_token(OBJECTIVES["grpo"], advantages, mask, size)
    expected = torch.tensor([0.0375, -0.00625, -0.003125, -0.0015625], dtype=torch.float64)
    torch.testing.assert_close(weights, expected[:, None] * mask)


def test_dr_grpo_token_weights_ignore_the_response_length():
    mask, size = mask_of(LENGTHS), BatchSize(4, 150, 100)
    advantages = torch.tensor([0.75, -0.25, -0.25, -0.25], dtype=torch.float64)
    weights = -gradient_per_token(OBJECTIVES["dr_grpo"], advantages, mask, size)
    torch.testing.assert_close(weights, advantages[:, None] / (4 * 100) * mask)


def test_batch_token_weights_are_one_over_all_tokens():
    weights = token_weights(mask_of((2, 3)), "batch_tokens", BatchSize(2, 5, 9))
    assert weights.tolist() == [[0.2, 0.2, 0.0], [0.2, 0.2, 0.2]]


def test_grpo_and_dr_grpo_agree_when_every_response_has_the_maximal_length():
    mask, size = mask_of((6, 6, 6)), BatchSize(3, 18, 6)
    advantages = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        gradient_per_token(OBJECTIVES["grpo"], advantages, mask, size),
        gradient_per_token(OBJECTIVES["dr_grpo"], advantages, mask, size),
    )


def test_an_unknown_normalizer_is_refused():
    with pytest.raises(ValueError, match="response_length, constant"):
        token_weights(mask_of((1,)), "median", BatchSize(1, 1, 1))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_is_the_sum_over_any_split_into_micro_batches_and_any_padding(name):
    generator = torch.Generator().manual_seed(1)
    mask, size = mask_of((3, 5, 2, 4)), BatchSize(4, 14, 8)
    logprobs = -torch.rand(4, 5, dtype=torch.float64, generator=generator)
    old = logprobs + 0.3 * torch.randn(4, 5, dtype=torch.float64, generator=generator)
    advantages = torch.tensor([1.0, -0.5, 0.2, -0.7], dtype=torch.float64)
    objective = OBJECTIVES[name]
    whole, _ = objective.loss(TokenBatch(logprobs, old, mask, advantages), size)
    parts = sum(
        objective.loss(TokenBatch(logprobs[rows], old[rows], mask[rows], advantages[rows]), size)[0]
        for rows in ([0], [3, 1], [2])
    )
    padded = [torch.nn.functional.pad(x, (0, 7)) for x in (logprobs, old, mask)]
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(objective.loss(TokenBatch(*padded, advantages), size)[0], whole)


def test_an_unchanged_policy_gives_the_reinforce_gradient_whatever_the_clip():
    mask, size = mask_of((3, 5)), BatchSize(2, 8, 5)
    advantages = torch.tensor([0.5, -0.5], dtype=torch.float64)
    tight = replace(OBJECTIVES["dr_grpo"], clip_low=0.0, clip_high=0.0)
    torch.testing.assert_close(
        gradient_per_token(tight, advantages, mask, size),
        gradient_per_token(OBJECTIVES["dr_grpo"], advantages, mask, size),
    )


def test_clipping_by_hand():
    ratios = torch.tensor([[1.5, 0.5], [1.5, 0.5]], dtype=torch.float64)
    advantages = torch.tensor([1.0, -1.0], dtype=torch.float64)
    surrogate, clipped = clipped_surrogate(
        ratios.log(), torch.zeros(2, 2, dtype=torch.float64), advantages, clip_low=0.2, clip_high=0.28
    )
    torch.testing.assert_close(surrogate, torch.tensor([[1.28, 0.5], [-1.5, -0.8]], dtype=torch.float64))
    assert clipped.tolist() == [[True, False], [False, True]]


def test_clip_counts_are_split_by_the_sign_of_the_advantage_and_skip_padding():
    logprobs = torch.tensor([[1.5, 1.5, 9.0], [0.5, 1.0, 1.0]], dtype=torch.float64).log()
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    advantages = torch.tensor([1.0, -1.0], dtype=torch.float64)
    tokens = token_batch(logprobs, advantages, mask, old=torch.zeros(2, 3, dtype=torch.float64))
    _, sums = OBJECTIVES["grpo"].loss(tokens, BatchSize(2, 5, 3))
    counts = {name: int(value) for name, value in sums.items()}
    assert counts == {"clipped_positive": 2, "clipped_negative": 1, "tokens_positive": 2, "tokens_negative": 3}


def test_k3_is_never_negative_and_averages_to_the_divergence():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    estimates = kl_k3(p.log()[None], q.log()[None])[0]
    assert (estimates >= 0).all()
    torch.testing.assert_close((p * estimates).sum(), (p * (p / q).log()).sum())


def test_the_kl_term_adds_its_weighted_mean_to_the_loss():
    mask, size = mask_of((2, 2)), BatchSize(2, 4, 2)
    logprobs = torch.full((2, 2), -1.0, dtype=torch.float64)
    reference = torch.full((2, 2), -1.5, dtype=torch.float64)
    tokens = replace(token_batch(logprobs, torch.zeros(2, dtype=torch.float64), mask), reference_logprobs_BT=reference)
    loss, sums = replace(OBJECTIVES["grpo"], kl_coef=0.1).loss(tokens, size)
    k3 = 2.718281828459045**-0.5 + 0.5 - 1
    assert loss.item() == pytest.approx(0.1 * k3)
    assert sums["kl_reference"].item() == pytest.approx(4 * k3)


def test_a_zero_advantage_is_ignored_only_without_a_kl_term():
    assert OBJECTIVES["grpo"].ignores(0.0)
    assert not OBJECTIVES["grpo"].ignores(0.1)
    assert not replace(OBJECTIVES["grpo"], kl_coef=0.1).ignores(0.0)


def test_likelihood_loss_is_the_mean_over_all_tokens():
    logprobs = torch.tensor([[-1.0, -3.0], [-2.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    loss, _ = likelihood_loss(token_batch(logprobs, torch.zeros(2), mask), BatchSize(2, 3, 2))
    assert loss.item() == 2.0


def test_config_overrides_single_factors_of_a_row():
    objective = build_objective(ObjectiveConfig(name="grpo", divide_by_std=False, clip_high=0.28))
    assert objective == replace(OBJECTIVES["grpo"], divide_by_std=False, clip_high=0.28)


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(ValueError, match="dr_grpo"):
        build_objective(ObjectiveConfig(name="drgrpo"))
