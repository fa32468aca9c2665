"""Denominators are found by experiment; the expected ones are those of the definitions."""

import pytest
import torch

from r1zero.audit import ObjectiveUnderAudit, UserLoss
from r1zero.audit.classify import classify
from r1zero.objectives import OBJECTIVES

OWN, BATCH, LIMIT, ONE = "1 over own length", "1 over batch tokens", "constant 1/M", "constant"
EXPECTED = {
    "reinforce": ONE,
    "rloo": ONE,
    "sign": ONE,
    "opo": ONE,
    "grpo": OWN,
    "grpo_no_std": OWN,
    "grpo_no_length": LIMIT,
    "dr_grpo": LIMIT,
    "dapo": BATCH,
    "bnpo": "1 over micro-batch tokens",
    "luspo": ONE,
    "balanced_aggregation": "1 over group tokens of its sign",
    "gspo": OWN,
    "gspo_token": OWN,
    "hoelder": OWN,
    "gmpo": OWN,
    "cispo": BATCH,
    "ctpo": BATCH,
    "sapo": OWN,
    "gpg": BATCH,
    "max_rl": LIMIT,
    "pass_at_k": OWN,
    "reinforce_pp": BATCH,
    "reinforce_pp_baseline": BATCH,
    "sppo": BATCH,
    "ppo": BATCH,
}


def user(function):
    return UserLoss(function.__name__, function)


def centred(batch):
    return (batch.rewards_B - batch.group_rewards_BG.mean(-1))[:, None]


def surrogate(batch):
    return torch.exp(batch.logprobs_BT - batch.old_logprobs_BT) * centred(batch) * batch.mask_BT


def over_padded_width(batch):
    return -surrogate(batch).mean() / batch.num_microbatches


def over_microbatch_tokens(batch):
    return -surrogate(batch).sum() / batch.mask_BT.sum() / batch.num_microbatches


def over_own_length(batch):
    return -(surrogate(batch).sum(-1) / batch.lengths_B).sum() / batch.step_responses


def over_longest_of_microbatch(batch):
    return -surrogate(batch).sum() / (batch.lengths_B.max() * batch.step_responses)


def over_root_of_length(batch):
    return -(surrogate(batch).sum(-1) / batch.lengths_B.sqrt()).sum() / batch.step_responses


def constant_but_summed(batch):
    return -surrogate(batch).sum() / batch.max_tokens


def mean_of_each_microbatch(batch):
    return -(surrogate(batch).sum(-1) / batch.lengths_B).mean()


def test_every_row_of_the_table_has_an_expected_denominator():
    assert set(EXPECTED) == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("group_size", [4, 5])
def test_rows_divide_by_what_their_definition_says(name, group_size):
    found = classify(ObjectiveUnderAudit(OBJECTIVES[name]), group_size, 64)
    assert found.label == EXPECTED[name]
    assert found.averages_step
    assert found.uniform
    assert found.split_factor == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (over_padded_width, "1 over padded width"),
        (over_microbatch_tokens, "1 over micro-batch tokens"),
        (over_own_length, "1 over own length"),
        (over_longest_of_microbatch, "1 over longest of micro-batch"),
        (over_root_of_length, "mixed"),
    ],
)
def test_a_users_denominator_is_found(function, expected):
    assert classify(user(function), 4, 64).name == expected


def test_a_baseline_weighted_by_length_is_told_by_a_right_answer_that_grows_alone():
    """Half of four right, one of them twice as long: the baseline goes from 2/4 to 3/5, its advantage from .5 to .4."""
    found = classify(ObjectiveUnderAudit(OBJECTIVES["opo"]), 4, 64)
    assert found.name == "constant"
    assert found.alone_factor == pytest.approx(0.8)
    assert found.length_in_advantages


@pytest.mark.parametrize("name", OBJECTIVES)
def test_only_means_over_tokens_let_lengths_into_advantages(name):
    row = OBJECTIVES[name]
    expected = row.baseline == "length_weighted" or row.batch_scale == "token_whitening"
    assert classify(ObjectiveUnderAudit(row), 4, 64).length_in_advantages == expected


def test_a_mixed_verdict_comes_with_the_reactions_that_show_why():
    reactions = {r.change: r for r in classify(user(over_root_of_length), 4, 64).reactions}
    assert reactions["own length x2"].right == pytest.approx(2**-0.5)
    assert reactions["own length x2"].wrong == pytest.approx(2**-0.5)
    assert reactions["padded width x2"].right == pytest.approx(1)


def test_a_loss_summed_over_the_step_is_told_from_a_mean():
    found = classify(user(constant_but_summed), 4, 64)
    assert (found.label, found.averages_step) == ("constant 1/M", False)


def test_micro_batch_means_that_are_added_are_caught_by_the_split():
    found = classify(user(mean_of_each_microbatch), 4, 64)
    assert found.name == "1 over own length"
    assert found.split_factor == pytest.approx(2)


def test_a_loss_without_gradient_is_said_to_have_none():
    assert classify(user(lambda batch: batch.rewards_B.sum()), 4, 64).name == "no gradient"
