"""Weights worked out by hand: groups of 4, half right, so that GRPO's advantage is .5 / .57735 = .8660."""

import math
from dataclasses import replace

import pytest
import torch

from r1zero.audit import ObjectiveUnderAudit, UserLoss, as_dict, audit
from r1zero.audit.batch import ProbeBatch, response_means
from r1zero.audit.probes import clip_curve, difficulty, invariances, length_table, reward_response, silent_beyond
from r1zero.objectives import OBJECTIVES
from r1zero.objectives.difficulty import difficulty_weight


def row(name, **factors):
    return ObjectiveUnderAudit(replace(OBJECTIVES[name], **factors))


def trains_padding(batch):
    advantages = (batch.rewards_B - batch.group_rewards_BG.mean(-1))[:, None]
    return -(batch.logprobs_BT * advantages).sum() / (batch.step_responses * batch.max_tokens)


def test_grpo_weighs_a_token_by_advantage_over_length():
    table = length_table(row("grpo"), 4, 64)
    assert [r.length for r in table] == [4, 8, 16, 32, 64]
    advantage = 0.5 / (math.sqrt(1 / 3) + 1e-6)
    assert [r.right for r in table] == pytest.approx([advantage * 64 / r.length for r in table])
    assert [r.wrong for r in table] == pytest.approx([-advantage * 64 / r.length for r in table])


def test_dr_grpo_weighs_every_token_by_its_advantage():
    assert [(r.right, r.wrong) for r in length_table(row("dr_grpo"), 4, 64)] == [(0.5, -0.5)] * 5


@pytest.mark.parametrize("name", ["grpo", "grpo_no_std", "dr_grpo", "rloo", "max_rl", "sign", "pass_at_k"])
@pytest.mark.parametrize("accuracy", [0.05, 0.3, 0.9])
def test_difficulty_by_enumeration_is_the_closed_form_of_the_objectives_room(name, accuracy):
    exact = [difficulty_weight(OBJECTIVES[name], 6, p) for p in (accuracy, 0.5)]
    assert difficulty(row(name), 6, 64).relative(accuracy) == pytest.approx(exact[0] / exact[1], rel=1e-6)


@pytest.mark.parametrize("group_size", [2, 3])
def test_dividing_by_the_std_has_no_difficulty_bias_in_groups_of_two_and_three(group_size):
    found = difficulty(row("grpo"), group_size, 64)
    assert [found.relative(p) for p in (0.01, 0.2, 0.9)] == pytest.approx([1, 1, 1])


def test_dr_grpos_difficulty_weight_is_g_minus_1_over_g():
    assert difficulty(row("grpo_no_std"), 8, 64).weight(0.3) == pytest.approx(7 / 8)


def test_rewards_shifted_and_scaled():
    dr_grpo, grpo, reinforce = (reward_response(row(name), 4, 64) for name in ("dr_grpo", "grpo", "reinforce"))
    assert dr_grpo.shift_change < 1e-12
    assert dr_grpo.scale_factor == pytest.approx(2)
    assert grpo.shift_change < 1e-5
    assert grpo.scale_factor == pytest.approx(1, abs=1e-5)
    assert reinforce.shift_change == pytest.approx(0.5)  # the largest reward is 1, the shift a half


def test_equal_rewards_give_exact_zeros_where_the_baseline_is_the_groups():
    assert reward_response(row("grpo"), 4, 64).constant_at == ()
    assert reward_response(row("reinforce"), 4, 64).constant_at == (0.1, 1.0)
    assert reward_response(row("sign"), 4, 64).constant_at == (0.0, 0.1, 1.0)


def test_only_the_micro_batch_mean_feels_the_split():
    assert invariances(row("dapo"), 4, 64).split < 1e-12
    assert invariances(row("bnpo"), 4, 64).split > 0.1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_padding_order_and_side_leave_every_row_as_it_is(name):
    found = invariances(row(name), 3, 32)
    assert max(found.padding, found.padding_side, found.order) < 1e-12
    assert found.outside == 0


def test_padding_that_is_trained_is_noticed():
    assert invariances(UserLoss("trains_padding", trains_padding), 4, 64).outside > 0


def test_ppos_clip_silences_right_answers_above_and_wrong_ones_below():
    found = silent_beyond(row("dapo"), 4, 64)
    assert (found.right_above, found.wrong_below) == pytest.approx((1.28, 0.8), abs=1e-4)
    assert (found.right_below, found.wrong_above) == (0.0, math.inf)


def test_the_clip_curve_follows_the_ratio_until_it_is_silent():
    curve = clip_curve(row("grpo"), 4, 64, (0.5, 1.0, 1.1, 1.5))
    assert curve.right == pytest.approx((0.5, 1.0, 1.1, 0.0))
    assert curve.wrong == pytest.approx((0.0, 1.0, 1.1, 1.5))


def test_cispo_bounds_a_weight_without_silencing_it():
    curve = clip_curve(row("cispo"), 4, 64, (0.5, 1.0, 4.0, 8.0))
    assert curve.right == pytest.approx((0.5, 1.0, 4.0, 5.0))
    assert silent_beyond(row("cispo"), 4, 64).right_above == math.inf


def test_sequence_ratio_weighs_tokens_by_the_geometric_mean_of_their_ratios():
    lengths_PG = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    rewards_PG = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    log_ratio_BT = torch.tensor([[0.2, -0.2], [0.0, 0.0]], dtype=torch.float64)
    batch = ProbeBatch(rewards_PG, lengths_PG, 16, 2, log_ratio_BT=log_ratio_BT)
    loss = row("gspo", divide_by_std=False)
    assert loss.token_weights(batch)[0].tolist() == pytest.approx([0.125, 0.125])  # A / (B L) = .5 / 4, s = 1


def test_micro_batches_add_up_to_the_whole_step():
    batch = ProbeBatch(torch.eye(4, dtype=torch.float64)[:2], torch.full((2, 4), 5.0, dtype=torch.float64), 16, 8)
    cut = replace(batch, microbatches=((0, 3), (1, 2, 4), (5, 6, 7)))
    whole = response_means(row("dapo"), batch)
    torch.testing.assert_close(response_means(row("dapo"), cut), whole, rtol=1e-12, atol=0)


def test_verdicts_name_the_length_bias_of_grpo_and_its_absence_in_dr_grpo():
    grpo, dr_grpo = audit(row("grpo"), 4, 64), audit(row("dr_grpo"), 4, 64)
    assert grpo.verdicts()[0].startswith("Length bias: a token of a 4-token answer weighs 16 times one of a 64-token")
    assert dr_grpo.verdicts() == [
        "No length bias: a token weighs the same however long its response or any other is.",
        "No difficulty bias: easy and hard problems weigh the same.",
    ]


@pytest.mark.parametrize(("group_size", "max_tokens"), [(1, 64), (4, 8)])
def test_sizes_that_cannot_be_probed_are_refused(group_size, max_tokens):
    with pytest.raises(ValueError, match="at least"):
        audit(row("grpo"), group_size, max_tokens)


def test_the_json_of_an_audit_has_no_undefined_numbers():
    found = as_dict(audit(row("reinforce"), 4, 64))
    assert found["silent"]["wrong_above"] is None  # a wrong answer has no weight in REINFORCE
    assert found["classification"]["label"] == "constant"
    assert found["difficulty"]["by_accuracy"]["0.5"]["relative"] == 1
