"""Ratios, clips and divergence estimates by hand."""

import math

import pytest
import torch

from r1zero.objectives.clips import CLIPS, ClipRange, clip_log_tokens, ppo_clip
from r1zero.objectives.divergence import ESTIMATORS, kl_k1, kl_k2, kl_k3
from r1zero.objectives.ratios import RATIOS, log_ratio


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


RATIO_ROWS = table([2.0, 0.5, 4.0]).log()
FIRST_TWO = table([1.0, 1.0, 0.0])


def ratio(kind, log_ratios_BT, mask_BT, power=1.0):
    return RATIOS[kind](log_ratios_BT * mask_BT, mask_BT, power)


def slopes(kind, log_ratios_BT, mask_BT, power=1.0, position=0):
    """d ratio at this position / d log pi of each token."""
    leaf = (log_ratios_BT * mask_BT).clone().requires_grad_()
    return torch.autograd.grad(RATIOS[kind](leaf, mask_BT, power)[0, position], leaf)[0][0].tolist()


# ---------------------------------------------------------------------------------------------------------------------
# Ratios


def test_each_ratio_by_hand():
    """r = (2, 1/2), the 4 is padding: the geometric mean is 1; the arithmetic 5/4; the products 2 and 1."""
    expected = {
        "token": [2.0, 0.5],
        "sequence": [1.0, 1.0],
        "sequence_token": [1.0, 1.0],
        "power_mean": [1.25, 1.25],
        "prefix": [2.0, 1.0],
        "none": [1.0, 1.0],
    }
    assert set(expected) == set(RATIOS)
    for kind, numbers in expected.items():
        assert ratio(kind, RATIO_ROWS, FIRST_TWO)[0, :2].tolist() == pytest.approx(numbers)


def test_each_ratio_has_its_own_gradient():
    """At the second token, by log pi of the first and of the second.

    The power mean (p = 1) moves by r_t / L: 2/2 and .5/2.  The others: its own value, at the token itself or shared.
    """
    expected = {
        "token": [0.0, 0.5],
        "sequence": [0.5, 0.5],
        "sequence_token": [0.0, 1.0],
        "power_mean": [1.0, 0.25],
        "prefix": [0.0, 1.0],
        "none": [0.0, 1.0],
    }
    for kind, numbers in expected.items():
        assert slopes(kind, RATIO_ROWS, FIRST_TWO, position=1) == pytest.approx([*numbers, 0.0])


def test_power_means_rise_with_the_power_between_the_smallest_and_the_largest_ratio():
    """(2, 1/2): harmonic 4/5, geometric 1, arithmetic 5/4, quadratic sqrt(17/8)."""
    powers = (-60.0, -1.0, 0.0, 1.0, 2.0, 60.0)
    found = [ratio("power_mean", RATIO_ROWS, FIRST_TWO, p)[0, 0].item() for p in powers]
    assert found[1:5] == pytest.approx([0.8, 1.0, 1.25, math.sqrt(17 / 8)])
    assert 0.5 < found[0] < 0.51 and 1.97 < found[-1] < 2.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_power_means_pass_through_power_zero_without_a_jump(dtype):
    """A schedule meets p = 4e-16 in place of 0; (mean r^p)^(1/p) is then 1^(1/p) unless taken with care."""
    log_ratios = torch.tensor([[0.5, -0.3, 0.1]], dtype=dtype)
    mask = torch.ones(1, 3, dtype=dtype)
    geometric = math.exp(0.1)
    for power in (1e-3, 1e-8, 4e-16, 0.0, -4e-16, -1e-8, -1e-3):
        near = geometric * (1 + power * 0.32 / 3 / 2)  # e^(mean + p variance / 2 + ...), variance .32 / 3
        assert ratio("power_mean", log_ratios, mask, power)[0, 0].item() == pytest.approx(near, rel=1e-6)
    just_below, just_above = (ratio("power_mean", log_ratios, mask, p)[0, 0].item() for p in (0.0999999, 0.1000001))
    assert just_above == pytest.approx(just_below, rel=2e-6)


@pytest.mark.parametrize("kind", RATIOS)
@pytest.mark.parametrize("power", [-1.0, 0.0, 0.05, 2.0])
def test_a_response_without_tokens_has_finite_ratios_and_no_gradient(kind, power):
    mask = table([0.0, 0.0], [1.0, 1.0])
    leaf = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    found = RATIOS[kind](leaf, mask, power)
    (slope,) = torch.autograd.grad((found * mask).sum(), leaf)
    assert torch.isfinite(found).all() and slope[0].tolist() == [0.0, 0.0]


def test_log_ratios_are_cut_at_20_and_padding_is_0():
    found = log_ratio(table([-1.0, 50.0, torch.nan]), table([-3.0, 0.0, 0.0]), table([1.0, 1.0, 0.0]))
    assert found.tolist() == [[2.0, 20.0, 0.0]]


# ---------------------------------------------------------------------------------------------------------------------
# Clips


def test_ppo_s_clip_by_hand():
    """Down to 0.8 where A < 0, up to 1.28 where A > 0; on the other side of the advantage nothing is cut."""
    ratios, advantages = table([1.5, 0.5], [1.5, 0.5]), table([1.0, 1.0], [-1.0, -1.0])
    surrogate, acted = ppo_clip(ratios, advantages, torch.ones(2, 2), ClipRange(0.2, 0.28))
    torch.testing.assert_close(surrogate, table([1.28, 0.5], [-1.5, -0.8]))
    assert acted.tolist() == [[True, False], [False, True]]


def test_the_dual_clip_bounds_a_rising_wrong_token_and_no_other():
    """A = -1: r = 2 is left, r = 5 counts as 3.  A = 1: r = 5 counts as 1.2, as without."""
    ratios = table([2.0, 5.0, 0.5])
    wrong, acted = ppo_clip(ratios, -torch.ones(1, 3).double(), torch.ones(1, 3), ClipRange(0.2, 0.2, dual=3.0))
    right, _ = ppo_clip(ratios, torch.ones(1, 3).double(), torch.ones(1, 3), ClipRange(0.2, 0.2, dual=3.0))
    assert wrong.tolist() == [[-2.0, -3.0, -0.8]] and acted.tolist() == [[False, True, True]]
    assert right.tolist() == [[1.2, 1.2, 0.5]]


def test_the_dual_clip_silences_the_token_it_bounds():
    leaf = table([5.0]).requires_grad_()
    wrong = -torch.ones(1, 1).double()
    surrogate, _ = ppo_clip(leaf, wrong, torch.ones(1, 1), ClipRange(0.2, 0.2, dual=3.0))
    assert torch.autograd.grad(surrogate.sum(), leaf)[0].item() == 0.0


def test_gmpo_cuts_above_where_right_and_below_where_wrong():
    gaps, bounds = table([0.6, -0.6], [0.6, -0.6]), ClipRange(0.3, 0.4)
    cut, acted = clip_log_tokens(gaps, table([1.0, 1.0], [-1.0, -1.0]), bounds)
    assert cut.tolist() == [[0.4, -0.6], [0.6, -0.3]]
    assert acted.tolist() == [[True, False], [False, True]]
    assert clip_log_tokens(gaps, torch.zeros(2, 2), bounds)[0].tolist() == gaps.tolist()


def test_the_log_sqrt_clip_counts_positions_by_the_mask_not_by_the_column():
    """The same response padded on the left: its second token keeps the room of a second token, e^(0.1 sqrt 2)."""
    ratios, advantages = table([1.0, 9.0]), table([1.0, 1.0])
    bounds = ClipRange(0.1, 0.1)
    plain, _ = CLIPS["log_sqrt"](ratios, advantages, table([1.0, 1.0]), bounds)
    moved, _ = CLIPS["log_sqrt"](table([1.0, 1.0, 1.0, 9.0]), table([1.0] * 4), table([0.0, 0.0, 1.0, 1.0]), bounds)
    assert plain[0, 1].item() == pytest.approx(math.exp(0.1 * math.sqrt(2)))
    assert moved[0, 2:].tolist() == plain[0].tolist()


def test_the_gate_s_slope_falls_off_on_both_sides_and_faster_where_wrong():
    """4 sigma (1 - sigma) at tau (r - 1): 1 at r = 1, and .9 r-units away less where tau is larger."""
    leaf = table([0.1, 1.0, 1.9]).requires_grad_()
    slope = {}
    for sign in (1.0, -1.0):
        surrogate, _ = CLIPS["gate"](leaf, sign * torch.ones(1, 3).double(), torch.ones(1, 3), ClipRange(0.0, 0.0))
        slope[sign] = (sign * torch.autograd.grad(surrogate.sum(), leaf)[0][0]).tolist()
    sigma = 1 / (1 + math.exp(-0.9))
    assert slope[1.0] == pytest.approx([4 * sigma * (1 - sigma), 1.0, 4 * sigma * (1 - sigma)])
    assert slope[-1.0][1] == pytest.approx(1.0) and slope[-1.0][0] < slope[1.0][0]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_at_ratio_1_every_clip_has_the_slope_of_the_advantage(clip, sign):
    """On the edge itself too: bounds of 0 leave an unmoved policy free to move."""
    for bounds in (ClipRange(0.0, 0.0), ClipRange(0.2, 0.3, dual=3.0)):
        leaf = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        advantages = torch.full((1, 3), sign * 0.7, dtype=torch.float64)
        surrogate, acted = CLIPS[clip](leaf.exp(), advantages, torch.ones(1, 3).double(), bounds)
        torch.testing.assert_close(torch.autograd.grad(surrogate.sum(), leaf)[0], advantages)
        assert not acted.any()


# ---------------------------------------------------------------------------------------------------------------------
# Divergence


def test_each_estimate_by_hand():
    """log pi = -1, log ref = -1.5: x = -1/2."""
    policy, reference = table([-1.0]), table([-1.5])
    assert kl_k1(policy, reference).item() == 0.5
    assert kl_k2(policy, reference).item() == 0.125
    assert kl_k3(policy, reference).item() == pytest.approx(math.exp(-0.5) + 0.5 - 1)


def test_k1_and_k3_average_to_the_divergence_and_k2_does_not():
    p, q = table([0.5, 0.3, 0.2]), table([0.2, 0.5, 0.3])
    divergence = (p * (p / q).log()).sum()
    means = {name: (p * estimate(p.log(), q.log())).sum() for name, estimate in ESTIMATORS.items()}
    torch.testing.assert_close(means["k1"], divergence)
    torch.testing.assert_close(means["k3"], divergence)
    assert abs(means["k2"] - divergence) > 0.01


def test_k2_and_k3_are_never_negative_and_all_are_finite_for_impossible_tokens():
    gaps = torch.linspace(-1e4, 1e4, 101).double()
    for name, estimate in ESTIMATORS.items():
        found = estimate(gaps, torch.zeros_like(gaps))
        assert torch.isfinite(found).all()
        assert name == "k1" or (found >= 0).all()
