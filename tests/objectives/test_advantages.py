"""Baselines and scales by hand."""

import math

import pytest
import torch

from r1zero.objectives import BatchSize
from r1zero.objectives import advantages as adv
from r1zero.objectives.aggregation import NORMALIZERS, response_weights


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


ONE_OF_FOUR = table([1.0, 0.0, 0.0, 0.0])


def test_group_advantages_are_the_reward_minus_the_mean_over_the_bessel_corrected_std():
    assert adv.minus_group_mean(ONE_OF_FOUR, None).tolist() == [[0.75, -0.25, -0.25, -0.25]]
    divided = adv.over_group_std(adv.minus_group_mean(ONE_OF_FOUR, None), ONE_OF_FOUR, eps=0.0)
    torch.testing.assert_close(divided, table([1.5, -0.5, -0.5, -0.5]))
    assert (divided[0, 0] != 0.75 / math.sqrt(3 / 16)).item()  # what dividing by G would give


def test_every_group_has_its_own_baseline():
    rewards = table([1.0, 0.0], [5.0, 7.0])
    assert adv.minus_group_mean(rewards, None).tolist() == [[0.5, -0.5], [-1.0, 1.0]]
    assert adv.minus_others_mean(rewards, None).tolist() == [[1.0, -1.0], [-2.0, 2.0]]


def test_leave_one_out_compares_with_the_others_alone():
    """6 - (2 + 1) / 2, 2 - (6 + 1) / 2, 1 - (6 + 2) / 2."""
    found = adv.minus_others_mean(table([6.0, 2.0, 1.0]), None)
    torch.testing.assert_close(found, table([4.5, -1.5, -3.0]))


def test_the_length_weighted_baseline_listens_to_long_responses():
    """(30 * 1 + 10 * 0) / 40 = 3/4, where the mean is 1/2; with equal lengths it is the mean."""
    rewards = table([1.0, 0.0])
    assert adv.minus_length_weighted_mean(rewards, table([30.0, 10.0])).tolist() == [[0.25, -0.75]]
    assert adv.minus_length_weighted_mean(rewards, table([8.0, 8.0])).tolist() == [[0.5, -0.5]]
    with pytest.raises(ValueError, match="lengths"):
        adv.minus_length_weighted_mean(rewards, None)


def test_the_best_response_gets_its_lead_and_a_tie_gets_nothing():
    rewards = table([0.2, 0.9, 0.5], [1.0, 1.0, 0.0])
    torch.testing.assert_close(adv.best_minus_runner_up(rewards, None), table([0.0, 0.4, 0.0], [0.0, 0.0, 0.0]))


def test_sign_and_no_baseline_look_at_no_other_response():
    assert adv.sign(table([1.0, 0.0]), None).tolist() == [[1.0, -1.0]]
    assert adv.sign(table([1.0]), None).tolist() == [[1.0]]
    rewards = table([0.3, 0.4])
    found = adv.no_baseline(rewards, None)
    assert torch.equal(found, rewards) and found is not rewards


def test_over_group_mean_gives_zeros_where_nobody_earned_anything():
    """(1 - 1/2) / (1/2) and 0; a mean below 0 has no meaning as an accuracy and gives zeros too."""
    rewards = table([1.0, 0.0], [0.0, 0.0], [-1.0, 0.0])
    found = adv.over_group_mean(adv.minus_group_mean(rewards, None), rewards)
    assert found.tolist() == [[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]]


def test_over_batch_std_uses_the_deviation_of_all_rewards():
    """R = (1, 0), (1, 1): m = 3/4, v = (3/16 + 9/16) / 3 = 1/4, so everything is doubled."""
    rewards = table([1.0, 0.0], [1.0, 1.0])
    found = adv.over_batch_std(adv.minus_group_mean(rewards, None), rewards, eps=0.0)
    torch.testing.assert_close(found, table([1.0, -1.0], [0.0, 0.0]))
    assert adv.over_batch_std(table([2.0]), table([2.0]), eps=0.0).item() == 2.0


def test_token_whitening_counts_a_response_once_a_token():
    """A = (1, 0) over 1 and 3 tokens: m = 1/4, v = (9/16 + 3/16) / 3 = 1/4.  With 1 and 1: m = 1/2, v = 1/2."""
    found = adv.token_whitened(table([1.0, 0.0]), table([1.0, 3.0]), eps=0.0)
    torch.testing.assert_close(found, table([1.5, -0.5]))
    found = adv.token_whitened(table([1.0, 0.0]), table([1.0, 1.0]), eps=0.0)
    torch.testing.assert_close(found, table([1.0, -1.0]) / math.sqrt(2))


def test_token_whitening_of_a_single_token_or_of_equal_advantages_is_zero():
    assert adv.token_whitened(table([5.0, 5.0]), table([2.0, 9.0])).tolist() == [[0.0, 0.0]]
    assert adv.token_whitened(table([5.0, 1.0]), table([1.0, 0.0])).tolist() == [[0.0, 0.0]]


def test_gpg_s_factor_counts_groups_so_that_a_zero_inside_a_mixed_group_dilutes_nothing():
    assert adv.over_nonzero_share(table([-1.0, 0.0, 1.0])).tolist() == [[-1.0, 0.0, 1.0]]
    diluted = adv.over_nonzero_share(table([-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]))
    assert diluted.tolist() == [[-2.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    assert adv.over_nonzero_share(table([0.0, 0.0])).tolist() == [[0.0, 0.0]]


# ---------------------------------------------------------------------------------------------------------------------
# What the sum is divided by


def test_each_normalizer_by_hand():
    """Two problems, L = (2, 3) and (5, 10), 20 tokens of 4 responses, M = 50; A = + - and + +."""
    lengths, advantages = table([2.0, 3.0], [5.0, 10.0]), table([1.0, -1.0], [2.0, 1.0])
    expected = {
        "response_length": table([1 / 8, 1 / 12], [1 / 20, 1 / 40]),
        "constant": table([1 / 200] * 2, [1 / 200] * 2),
        "batch_tokens": table([1 / 20] * 2, [1 / 20] * 2),
        "responses": table([1 / 4] * 2, [1 / 4] * 2),
        # half a group on 2 tokens, half on 3; a whole group on 15; half the step each
        "sign_balanced": table([1 / 8, 1 / 12], [1 / 30, 1 / 30]),
        "microbatch_tokens": table([1.0, 1.0], [1.0, 1.0]),
    }
    assert set(expected) == set(NORMALIZERS)
    for name, weights in expected.items():
        torch.testing.assert_close(response_weights(lengths, advantages, name, BatchSize(4, 20, 50)), weights)


def test_token_weights_of_a_step_add_up_to_what_their_name_says():
    """Over all tokens: 1 for a mean of means, of tokens or of signs; tokens / (B M); tokens / B."""
    lengths, advantages = table([2.0, 3.0], [5.0, 10.0]), table([1.0, -1.0], [2.0, 1.0])
    sums = {"response_length": 1.0, "batch_tokens": 1.0, "sign_balanced": 1.0, "constant": 0.1, "responses": 5.0}
    for name, total in sums.items():
        weights = response_weights(lengths, advantages, name, BatchSize(4, 20, 50))
        assert (weights * lengths).sum().item() == pytest.approx(total)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_a_response_without_tokens_weighs_nothing_and_makes_no_other_undefined(name):
    weights = response_weights(table([0.0, 4.0]), table([1.0, -1.0]), name, BatchSize(2, 4, 8))
    assert weights[0, 0] == 0 and torch.isfinite(weights).all() and weights[0, 1] > 0


@pytest.mark.parametrize("name", NORMALIZERS)
def test_a_step_without_any_token_has_weights_of_zero(name):
    assert response_weights(table([0.0, 0.0]), table([1.0, -1.0]), name, BatchSize(2, 0, 8)).tolist() == [[0.0, 0.0]]


def test_grpo_s_and_dr_grpo_s_weights_agree_when_every_response_has_the_maximal_length():
    lengths, size = table([6.0, 6.0, 6.0]), BatchSize(3, 18, 6)
    by_length = response_weights(lengths, lengths, "response_length", size)
    torch.testing.assert_close(by_length, response_weights(lengths, lengths, "constant", size))


def test_an_unknown_normalizer_is_refused():
    with pytest.raises(ValueError, match="response_length, constant"):
        response_weights(table([1.0]), table([1.0]), "median", BatchSize(1, 1, 1))
