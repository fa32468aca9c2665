"""Credit token by token, by hand."""

import math
from dataclasses import replace

import pytest
import torch

from r1zero.objectives import OBJECTIVES, TokenBatch
from r1zero.objectives.returns import (
    generalized_advantages,
    returns_to_go,
    terminal_rewards,
    token_rewards,
    whitened,
)


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


MASK = table([1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])  # right-padded, left-padded, empty


def test_the_reward_stands_on_the_last_token_whichever_side_the_padding_is_on():
    found = terminal_rewards(table([5.0, 7.0, 9.0])[0], MASK)
    assert found.tolist() == [[0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 7.0], [0.0] * 4]


def test_every_token_pays_for_its_own_divergence():
    """R = 1 at the end, 0.1 a nat: (-0.1 * 2, 1 - 0.1 * 3); what stands in the padding is not paid."""
    kl = table([2.0, 3.0, 50.0, 50.0])
    found = token_rewards(table([1.0])[0], MASK[:1], kl, 0.1)
    torch.testing.assert_close(found, table([-0.2, 0.7, 0.0, 0.0]))


def test_returns_are_discounted_over_the_response_s_own_tokens():
    """r = (1, 2, 4), gamma = 1/2: 1 + 1 + 1, 2 + 2, 4; with a hole of padding inside, as if it were not there."""
    plain = returns_to_go(table([1.0, 2.0, 4.0]), torch.ones(1, 3).double(), gamma=0.5)
    holed = returns_to_go(table([1.0, 9.0, 2.0, 4.0]), table([1.0, 0.0, 1.0, 1.0]), gamma=0.5)
    assert plain.tolist() == [[3.0, 4.0, 4.0]] and holed.tolist() == [[3.0, 0.0, 4.0, 4.0]]


def test_generalized_advantages_by_hand_with_gamma_and_lambda_below_1():
    """r = (0, 0, 1), V = (1/2, 1/4, 3/4), gamma = 1/2, lambda = 1/4.

    d = (0 + 1/8 - 1/2, 0 + 3/8 - 1/4, 1 - 3/4) = (-3/8, 1/8, 1/4); gamma lambda = 1/8:
    A = (-3/8 + (1/8) (5/32), 1/8 + (1/8) (1/4), 1/4) = (-91/256, 5/32, 1/4).
    """
    found = generalized_advantages(
        table([0.0, 0.0, 1.0]), table([0.5, 0.25, 0.75]), torch.ones(1, 3).double(), gamma=0.5, lam=0.25
    )
    assert found.tolist() == [[-91 / 256, 5 / 32, 1 / 4]]


def test_lambda_1_gives_the_return_less_the_value_and_lambda_0_one_step_s_surprise():
    rewards, values, mask = table([0.0, 0.0, 1.0]), table([0.5, 0.25, 0.75]), torch.ones(1, 3).double()
    full = generalized_advantages(rewards, values, mask, gamma=0.5, lam=1.0)
    torch.testing.assert_close(full, returns_to_go(rewards, mask, gamma=0.5) - values)
    assert generalized_advantages(rewards, values, mask, gamma=0.5, lam=0.0).tolist() == [[-3 / 8, 1 / 8, 1 / 4]]


def test_values_in_the_padding_are_never_looked_at():
    mask = table([0.0, 1.0, 1.0, 0.0])
    values = table([torch.nan, 0.5, 0.25, torch.nan])
    found = generalized_advantages(table([0.0, 0.0, 1.0, 0.0]), values, mask, gamma=1.0, lam=1.0)
    assert found.tolist() == [[0.0, 0.5, 0.75, 0.0]]


def test_whitening_is_over_the_tokens_of_all_responses_together():
    """(1, 3 | 5): m = 3, v = (4 + 0 + 4) / 2 = 4."""
    found = whitened(table([1.0, 3.0], [5.0, torch.nan]), table([1.0, 1.0], [1.0, 0.0]), eps=0.0)
    assert found.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert whitened(table([7.0, 7.0]), table([1.0, 0.0])).tolist() == [[0.0, 0.0]]


def test_reinforce_pp_with_a_discount_whitens_the_discounted_returns():
    """R = 1 after two tokens, gamma = 1/2: (1/2, 1), whitened -+ 1/sqrt(2)."""
    row = replace(OBJECTIVES["reinforce_pp"], gamma=0.5)
    assert row.by_token and not OBJECTIVES["reinforce_pp"].by_token
    found = row.token_advantages(table([1.0])[0], torch.ones(1, 2).double())
    torch.testing.assert_close(found, table([-1.0, 1.0]) / math.sqrt(2), rtol=1e-6, atol=0)


def test_divergence_in_the_reward_reaches_every_earlier_token():
    """R = 1, k = (2, 3), coefficient 0.1: r = (-0.2, 0.7), so 0.5 and 0.7 from each token on."""
    row = replace(OBJECTIVES["reinforce"], kl_in="reward", kl_coef=0.1)
    found = row.token_advantages(table([1.0])[0], torch.ones(1, 2).double(), kl_BT=table([2.0, 3.0]))
    torch.testing.assert_close(found, table([0.5, 0.7]))


def test_divergence_in_the_reward_is_not_paid_a_second_time_in_the_loss():
    ones = torch.ones(1, 2).double()
    batch = TokenBatch(0 * ones, 0 * ones, ones, 0 * ones, ones[0, :1], reference_logprobs_BT=-ones)
    in_loss = replace(OBJECTIVES["reinforce"], kl_coef=0.1)
    assert in_loss.loss(batch)[0].item() == pytest.approx(0.1 * 2 * (math.exp(-1) + 1 - 1))
    loss, sums = replace(in_loss, kl_in="reward").loss(batch)
    assert loss.item() == 0.0 and sums["kl_reference"].item() == pytest.approx(2 * math.exp(-1))


# ---------------------------------------------------------------------------------------------------------------------
# The value head's error


def value_loss(row, values, old=None, targets=(1.0,), weights=(1.0,)):
    leaf = table(list(values)).requires_grad_()
    ones = torch.ones_like(leaf)
    batch = TokenBatch(
        0 * ones,
        0 * ones,
        ones,
        0 * ones,
        ones[0, :1],
        values_BT=leaf,
        old_values_BT=None if old is None else table(list(old)),
        value_targets_BT=table(list(targets)),
        value_weights_BT=table(list(weights)),
    )
    loss, sums = row.loss(batch)
    return loss.item(), torch.autograd.grad(loss, leaf)[0][0].tolist(), sums["value_error"].item()


def test_the_value_error_is_half_the_weighted_square_times_its_coefficient():
    """(1/4) (1/2 - 1)^2 / 2 + (3/4) (2 - 1)^2 / 2 = 1/32 + 12/32; the loss has half of it."""
    row = replace(OBJECTIVES["ppo"], value_clip=None)
    loss, slope, error = value_loss(row, (0.5, 2.0), targets=(1.0, 1.0), weights=(0.25, 0.75))
    assert error == pytest.approx(13 / 32) and loss == pytest.approx(13 / 64)
    assert slope == pytest.approx([0.5 * 0.25 * -0.5, 0.5 * 0.75 * 1.0])


def test_a_value_that_has_moved_far_towards_its_target_stops_and_one_that_moves_away_does_not():
    """From 0.1, clip 0.2, target 1: at 0.5 the clipped 0.3 is worse (0.49 > 0.25) and has no slope.

    At -0.5 the clipped -0.1 is better (1.21 < 2.25), so the plain error stays.
    """
    row = OBJECTIVES["ppo"]
    _, slope, error = value_loss(row, (0.5,), old=(0.1,))
    assert error == pytest.approx(0.49 / 2) and slope == [0.0]
    _, slope, error = value_loss(row, (-0.5,), old=(0.1,))
    assert error == pytest.approx(2.25 / 2) and slope == pytest.approx([0.5 * -1.5])


def test_values_without_targets_are_refused():
    ones = torch.ones(1, 1).double()
    batch = TokenBatch(ones, ones, ones, ones, ones[0], values_BT=ones)
    with pytest.raises(ValueError, match="without their targets"):
        OBJECTIVES["ppo"].loss(batch)
