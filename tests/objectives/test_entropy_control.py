"""The entropy bonus, its control, and learning only where the policy was undecided."""

import math

import pytest
import torch

from r1zero.objectives import OBJECTIVES, TokenBatch
from r1zero.objectives.entropy import EntropyControl, entropy_threshold


def test_below_the_target_the_bonus_grows_and_above_it_shrinks_and_is_off():
    control = EntropyControl(coefficient=0.01, target=0.2, rate=0.005)
    low = control.after(0.1)
    assert low.coefficient == pytest.approx(0.015) and low.bonus == pytest.approx(0.015)
    high = low.after(0.3)
    assert high.coefficient == pytest.approx(0.010) and high.bonus == 0.0
    assert high.after(0.1).bonus == pytest.approx(0.015)  # what was learned while it was off is not lost


def test_the_coefficient_never_turns_negative():
    assert EntropyControl(coefficient=0.002, target=0.2).after(5.0).coefficient == 0.0


def test_without_a_target_the_bonus_stays_and_an_unknown_entropy_changes_nothing():
    fixed = EntropyControl(coefficient=0.01)
    assert fixed.after(9.0) is fixed and fixed.bonus == 0.01
    adaptive = EntropyControl(coefficient=0.01, target=0.2)
    assert adaptive.after(math.nan) is adaptive


def test_the_control_finds_the_coefficient_that_holds_the_target():
    """A policy whose entropy is 10 times its bonus holds 0.2 nats at a coefficient of 0.02; from 0 it gets there."""
    control = EntropyControl(target=0.2, rate=0.001)
    for _ in range(100):
        control = control.after(10 * control.bonus)
    assert control.coefficient == pytest.approx(0.02, abs=0.002)


def test_the_threshold_is_the_entropy_that_the_share_reaches():
    entropies = torch.arange(10.0)
    assert entropy_threshold(entropies, 0.2) == 8.0
    assert (entropies >= entropy_threshold(entropies, 0.5)).sum() == 5
    assert entropy_threshold(entropies, 0.01) == 9.0  # at least one token learns


def test_a_share_of_1_and_a_step_without_tokens_keep_everything():
    assert entropy_threshold(torch.zeros(3), 1.0) < 0
    assert entropy_threshold(torch.zeros(0), 0.2) < 0


def test_the_bonus_raises_every_token_s_entropy_by_its_weight():
    entropies = torch.tensor([[0.5, 1.5]], dtype=torch.float64, requires_grad=True)
    zeros = torch.zeros(1, 2).double()
    weights = torch.tensor([0.25], dtype=torch.float64)
    batch = TokenBatch(zeros, zeros, zeros + 1, zeros[:, :1], weights, entropies_BT=entropies, entropy_bonus=0.1)
    loss, _ = OBJECTIVES["grpo"].loss(batch)
    assert loss.item() == pytest.approx(-0.1 * 0.25 * 2.0)
    assert torch.autograd.grad(loss, entropies)[0].tolist() == [pytest.approx([-0.025, -0.025])]


def test_tokens_left_out_by_the_entropy_mask_keep_their_weight_but_add_no_gradient():
    """The normaliser still counts them: the others weigh as before."""
    logprobs = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    ones = torch.ones(1, 2).double()
    learns = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    batch = TokenBatch(logprobs, 0 * ones, ones, ones[:, :1], torch.tensor([0.5]).double(), learns_BT=learns)
    loss, _ = OBJECTIVES["grpo"].loss(batch)
    assert torch.autograd.grad(loss, logprobs)[0].tolist() == [[0.0, -0.5]]
