"""Sampler corrections by hand: rho = pi_old / beta, beta what the engine drew from."""

import math
from dataclasses import replace

import pytest
import torch

from r1zero.objectives import OBJECTIVES, TokenBatch
from r1zero.objectives.correction import CORRECTIONS, correction_weights, mismatch_sums


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


RHO = table([3.0, 0.5], [1.0, 0.25])  # products 3/2 and 1/4


def factors(kind, rho_BT=RHO, mask_BT=None, low=0.4, high=2.0):
    mask_BT = torch.ones_like(rho_BT) if mask_BT is None else mask_BT
    found, acted = correction_weights(rho_BT.log(), torch.zeros_like(rho_BT), mask_BT, kind, low=low, high=high)
    return found.tolist(), acted.tolist()


def test_without_a_correction_every_factor_is_1():
    assert factors("none") == ([[1.0, 1.0], [1.0, 1.0]], [[False, False], [False, False]])


def test_token_truncation_bounds_each_token_s_ratio_from_above_alone():
    found, acted = factors("token_truncate")
    assert found == [pytest.approx([2.0, 0.5]), pytest.approx([1.0, 0.25])]
    assert acted == [[True, False], [False, False]]


def test_sequence_truncation_gives_all_tokens_the_bounded_product():
    found, acted = factors("sequence_truncate", high=1.2)
    assert found == [pytest.approx([1.2, 1.2]), pytest.approx([0.25, 0.25])]
    assert acted == [[True, True], [False, False]]


def test_token_masking_drops_what_is_outside_on_either_side():
    found, acted = factors("token_mask")
    assert found == [pytest.approx([0.0, 0.5]), pytest.approx([1.0, 0.0])]
    assert acted == [[True, False], [False, True]]


def test_sequence_masking_drops_whole_responses():
    found, acted = factors("sequence_mask")
    assert found == [pytest.approx([1.5, 1.5]), [0.0, 0.0]]
    assert acted == [[False, False], [True, True]]


def test_rejection_drops_responses_by_their_mean_estimate_and_weighs_the_rest_alike():
    """KL(beta || pi_old) at log rho = (ln 3, -ln 2) and (0, -ln 4).

    k1 = -log rho, mean (ln 2 - ln 3) / 2 = -0.20 and ln 2 = 0.69; k2 = (log rho)^2 / 2: 0.42 and 0.48;
    k3 = rho - 1 - log rho: (0.90 + 0.19) / 2 = 0.55 and (0.64 + 0) / 2 = 0.32.
    """
    for kind, high, kept in (("reject_k1", 0.5, [1, 0]), ("reject_k2", 0.45, [1, 0]), ("reject_k3", 0.4, [0, 1])):
        found, acted = factors(kind, high=high)
        assert found == [[kept[0]] * 2, [kept[1]] * 2]
        assert acted == [[not kept[0]] * 2, [not kept[1]] * 2]


@pytest.mark.parametrize("kind", CORRECTIONS)
def test_padding_enters_no_product_no_mean_and_no_count(kind):
    mask = table([1.0, 0.0, 1.0], [1.0, 1.0, 0.0])
    padded = table([3.0, torch.nan, 0.5], [1.0, 0.25, 1e9])
    found, acted = correction_weights(padded.log(), torch.zeros(2, 3).double(), mask, kind, low=0.4, high=0.45)
    plain, plainly = correction_weights(
        RHO.log(), torch.zeros(2, 2).double(), torch.ones(2, 2).double(), kind, low=0.4, high=0.45
    )
    inside = mask > 0
    torch.testing.assert_close(found[inside], plain.flatten())
    assert acted[inside].tolist() == plainly.flatten().tolist() and not acted[~inside].any()


@pytest.mark.parametrize("kind", [kind for kind in CORRECTIONS if kind != "none"])
def test_a_ratio_that_is_not_a_number_is_not_silently_accepted(kind):
    rho = table([1.0, torch.nan])
    found, _ = correction_weights(rho.log(), torch.zeros(1, 2).double(), torch.ones(1, 2), kind, low=0.5, high=2.0)
    assert found.isnan().any()


def test_a_steady_gap_makes_sequence_masks_drop_long_responses_and_token_masks_none():
    """d = 0.012 nats a token: the product e^(d L) passes 3 between 91 tokens (2.98) and 92 (3.02).

    So what is learned from depends on length: a bias that no setting of the objective shows.  Below the edge the
    factor itself grows with length, as under truncation, where it stays at the bound.
    """
    lengths = (10, 91, 92, 200)
    mask = (torch.arange(200) < torch.tensor(lengths)[:, None]).double()
    gaps = 0.012 * mask

    def first(kind):
        return correction_weights(gaps, torch.zeros_like(gaps), mask, kind, low=0.0, high=3.0)[0][:, 0].tolist()

    assert first("sequence_mask") == pytest.approx([math.exp(0.12), math.exp(1.092), 0.0, 0.0])
    assert first("sequence_truncate") == pytest.approx([math.exp(0.12), math.exp(1.092), 3.0, 3.0])
    assert first("token_mask") == pytest.approx([math.exp(0.012)] * 4)
    assert first("reject_k1") == [1.0] * 4  # a mean over tokens does not grow with their number


def test_the_correction_multiplies_the_policy_gradient_and_leaves_the_divergence_alone():
    """grpo with token_truncate at 2: rho = (3, 1/2) on policy, A = 1, weight 1: pushes (2, 1/2).

    k3 with the reference at the policy has gradient 0 but value 0 too; a gap of 1 nat tells them apart.
    """
    row = replace(OBJECTIVES["grpo"], correction="token_truncate", correction_high=2.0, kl_coef=0.5, kl_estimator="k1")
    logprobs = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    ones = torch.ones(1, 2).double()
    batch = TokenBatch(logprobs, torch.zeros(1, 2).double(), ones, ones[:, :1], ones[0, :1])
    batch = replace(batch, sampler_logprobs_BT=-RHO[:1].log(), reference_logprobs_BT=-ones)
    loss, sums = row.loss(batch)
    assert loss.item() == pytest.approx(-(2 + 0.5) + 0.5 * 2)
    assert torch.autograd.grad(loss, logprobs)[0].tolist() == [pytest.approx([-2 + 0.5, -0.5 + 0.5])]
    assert sums["corrected"].item() == 1


def test_mismatch_sums_by_hand():
    """rho = (3, 1/2, padding): |log rho| ln 3 + ln 2; k3 of each; the effective sample size is 3.5^2 / 9.25 of 2."""
    padded = table([3.0, 0.5, torch.nan])
    found = mismatch_sums(padded.log(), torch.zeros(1, 3).double(), table([1.0, 1.0, 0.0]))
    numbers = {name: value.item() for name, value in found.items()}
    assert numbers == pytest.approx(
        {
            "gap_abs": math.log(3) + math.log(2),
            "gap_k3": (3 - 1 - math.log(3)) + (0.5 - 1 + math.log(2)),
            "rho": 3.5,
            "rho_squared": 9.25,
            "max_gap_abs": math.log(3),
        }
    )
    assert 1 < numbers["rho"] ** 2 / numbers["rho_squared"] < 2


def test_the_estimated_gap_averages_to_the_divergence_of_sampler_from_learner():
    """Sum over tokens weighted by beta of k3 = KL(beta || pi_old)."""
    beta, old = table([0.5, 0.3, 0.2]), table([0.2, 0.5, 0.3])
    each = [mismatch_sums(old[:, [i]].log(), beta[:, [i]].log(), torch.ones(1, 1))["gap_k3"] for i in range(3)]
    torch.testing.assert_close(
        sum(b * e for b, e in zip(beta[0], each, strict=True)), (beta * (beta / old).log()).sum()
    )


def test_without_sampler_log_probabilities_nothing_is_reported_as_corrected():
    zeros = torch.zeros(1, 2).double()
    batch = TokenBatch(zeros, zeros, torch.ones_like(zeros), zeros[:, :1], torch.ones(1).double())
    _, sums = replace(OBJECTIVES["grpo"], correction="token_mask").loss(batch)
    assert set(sums) == {"clipped_positive", "clipped_negative", "tokens_positive", "tokens_negative"}
