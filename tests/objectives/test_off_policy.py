"""Samples of one policy, the gradient of another: what ratios and corrections amount to, exactly.

A fresh policy first (pi = pi_old), where all rows of one advantage and weight are one; then stale ones, enumerated over
every sequence of a small world: samples of `old`, or of a `sampler` behind it.
"""

from dataclasses import replace

import pytest
import torch

from r1zero.objectives import OBJECTIVES, BatchSize, Objective, TokenBatch
from r1zero.objectives.clips import CLIPS
from r1zero.objectives.difficulty import difficulty_weight
from r1zero.objectives.ratios import RATIOS

TEXTBOOK = Objective("plain", baseline="none", ratio="none", clip="none", normalizer="responses")
WIDE = {"correction_low": 0.0, "correction_high": 1e8}
STALE = pytest.mark.parametrize("numbers", [(0, 1), (2, 3)])  # of the policy and of the one that drew


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def apart(first, second):
    return float((first - second).abs().max()) > 1e-4


# ---------------------------------------------------------------------------------------------------------------------
# Fresh


def fresh_gradient(objective, weights_B, advantages_B, mask_BT):
    """d loss / d log pi of each token where pi = pi_old, with numbers in the padding.  -> [B, T]"""
    generator = torch.Generator().manual_seed(3)
    logprobs = -torch.rand(mask_BT.shape, dtype=torch.float64, generator=generator)
    leaf = logprobs.clone().requires_grad_()
    old = torch.where(mask_BT > 0, logprobs, logprobs - 1)
    loss, _ = objective.loss(TokenBatch(leaf, old, mask_BT, advantages_B[:, None], weights_B))
    return torch.autograd.grad(loss, leaf)[0]


@pytest.fixture(scope="module")
def batch():
    """Two groups of two: lengths, advantages of both signs, and the mask.  [P, G], [P, G], [B, T]"""
    lengths = torch.tensor([[1.0, 5.0], [3.0, 2.0]], dtype=torch.float64)
    advantages = torch.tensor([[0.5, -0.5], [-1.25, 2.0]], dtype=torch.float64)
    mask = (torch.arange(6) < lengths.reshape(-1, 1)).double()
    return lengths, advantages, mask


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("ratio", RATIOS)
def test_a_fresh_policy_gets_weight_times_advantage_under_every_ratio_and_clip(batch, ratio, clip):
    """PPO's clip = CISPO = CTPO = SAPO = REINFORCE, whatever the level of the ratio."""
    lengths, advantages, mask = batch
    objective = Objective("any", ratio=ratio, clip=clip, power=-1.7, clip_low=0.03, clip_high=0.05)
    weights = objective.weights(lengths, advantages, BatchSize(4, 11, 6)).flatten()
    expected = -(weights * advantages.flatten())[:, None] * mask
    close(fresh_gradient(objective, weights, advantages.flatten(), mask), expected)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_row_gives_a_fresh_policy_its_weight_times_its_advantage(batch, name):
    lengths, advantages, mask = batch
    weights = OBJECTIVES[name].weights(lengths, advantages, BatchSize(4, 11, 6)).flatten()
    gradient = fresh_gradient(OBJECTIVES[name], weights, advantages.flatten(), mask)
    if name == "bnpo":  # it counts its own tokens
        weights = weights / 11
    close(gradient, -(weights * advantages.flatten())[:, None] * mask)


@pytest.mark.parametrize("power", [2.0, 1.0, 0.5, 1e-9, 0.0, -1.0, -2.0])
def test_gspo_and_hoelder_of_any_power_are_length_normalised_grpo_while_fresh(batch, power):
    lengths, advantages, mask = batch
    weights = 1 / (4 * lengths.flatten())
    expected = fresh_gradient(OBJECTIVES["grpo"], weights, advantages.flatten(), mask)
    for objective in (
        replace(OBJECTIVES["hoelder"], power=power, power_end=None),
        *(OBJECTIVES[name] for name in ("gspo", "gspo_token", "gmpo", "sapo")),
    ):
        own = objective.weights(lengths, advantages, BatchSize(4, 11, 6)).flatten()
        close(fresh_gradient(objective, own, advantages.flatten(), mask), expected)


# ---------------------------------------------------------------------------------------------------------------------
# Stale: the ratio


def improvement(world, rewards_S, theta, old, *, state_of):
    """sum over prefixes x of d(x) sum_v pi(v | x) Q_old(x v), d(x) the chance that `state_of` reaches x.

    Its gradient in theta is the policy gradient once states and futures are taken for granted.
    """
    old_probs, state_probs, total = world.probs(old), world.probs(state_of), 0.0
    prefixes = {tuple(row[:t]) for row in world.tokens_ST.tolist() for t in range(world.max_tokens)}
    for prefix in sorted(p for p in prefixes if 2 not in p):
        t = len(prefix)
        same = (world.tokens_ST[:, :t] == torch.tensor(prefix, dtype=torch.long)).all(-1)
        context = prefix[-1] if prefix else 2
        for token in range(3):
            through = same & (world.tokens_ST[:, t] == token)
            value = (old_probs * rewards_S)[through].sum() / old_probs[through].sum()
            total = total + state_probs[same].sum() * theta[context].softmax(-1)[token] * value
    return total


@STALE
@pytest.mark.parametrize("num_b", [0, 1])
def test_a_prefix_ratio_is_exact_in_states_and_tokens_with_the_old_policys_future(
    world, policies, gradient_of, numbers, num_b
):
    logits, old, rewards = policies(numbers[0]), policies(numbers[1]), world.rewards(num_b)
    update = world.expected_update(replace(TEXTBOOK, ratio="prefix"), rewards, logits, 1, old=old)
    expected = gradient_of(lambda theta: improvement(world, rewards, theta, old, state_of=logits), logits)
    close(update, expected)
    assert apart(update, world.gradient_of_mean(rewards, logits))  # the rest of the answer was pi_old's


@STALE
def test_a_token_ratio_is_exact_in_tokens_alone_with_the_old_policys_states_and_future(
    world, policies, gradient_of, numbers
):
    """PPO's surrogate before its clip (Kakade and Langford 2002)."""
    logits, old, rewards = policies(numbers[0]), policies(numbers[1]), world.rewards(1)
    update = world.expected_update(replace(TEXTBOOK, ratio="token"), rewards, logits, 1, old=old)
    expected = gradient_of(lambda theta: improvement(world, rewards, theta, old, state_of=old), logits)
    close(update, expected)
    assert apart(update, world.expected_update(replace(TEXTBOOK, ratio="prefix"), rewards, logits, 1, old=old))
    assert apart(update, world.gradient_of_mean(rewards, logits))


@pytest.mark.parametrize("ratio", ["none", "token", "prefix"])
@pytest.mark.parametrize("size", [2, 3])
def test_leave_one_out_baselines_stay_free_of_charge_off_policy(world, policies, ratio, size):
    """The others' mean is independent of the response, and a token's ratio times its score sums to 0 over tokens.

    Without a ratio it does not: E_old[s] is not 0, and the baseline leaks in.
    """
    logits, old, rewards = policies(0), policies(1), world.rewards(1)
    plain = replace(TEXTBOOK, ratio=ratio)
    alone = world.expected_update(plain, rewards, logits, 1, old=old)
    grouped = world.expected_update(replace(plain, baseline="leave_one_out"), rewards, logits, size, old=old)
    if ratio == "none":
        mean = world.mean(rewards, old)
        everywhere = world.expected_update(plain, torch.ones_like(rewards), logits, 1, old=old)
        close(grouped, alone - mean * everywhere)
        assert everywhere.abs().max() > 0.01
    else:
        close(grouped, alone)


@pytest.mark.parametrize("ratio", ["token", "sequence", "sequence_token", "power_mean", "prefix"])
@STALE
def test_for_answers_of_one_token_every_ratio_gives_the_exact_gradient(world_of, policies, ratio, numbers):
    world, logits, old = world_of(1), policies(numbers[0]), policies(numbers[1])
    rewards = torch.tensor([1.0, 0.3, 0.0], dtype=torch.float64)
    truth = world.gradient_of_mean(rewards, logits)
    objective = replace(TEXTBOOK, ratio=ratio, power=-1.7)
    close(world.expected_update(objective, rewards, logits, 1, old=old), truth)
    close(world.expected_update(replace(objective, baseline="leave_one_out"), rewards, logits, 2, old=old), truth)
    assert (world.expected_update(TEXTBOOK, rewards, logits, 1, old=old) - truth).abs().max() > 0.01


def test_for_longer_answers_sequence_ratios_give_a_gradient_of_their_own(world, policies):
    """The L-th root of the exact weight: a compromise of variance and bias, and not the token ratio's."""
    logits, old, rewards = policies(0), policies(1), world.rewards(1)
    truth = world.gradient_of_mean(rewards, logits)
    token = world.expected_update(replace(TEXTBOOK, ratio="token"), rewards, logits, 1, old=old)
    for ratio in ("sequence", "sequence_token", "power_mean"):
        update = world.expected_update(replace(TEXTBOOK, ratio=ratio, power=-1.7), rewards, logits, 1, old=old)
        assert apart(update, truth)
        assert apart(update, token)


def test_the_gradient_through_a_sequence_ratio_is_spread_over_its_tokens(world, policies):
    """GSPO and its token form have the same value and, with one advantage a response, the same gradient."""
    logits, old, rewards = policies(0), policies(1), world.rewards(1)
    updates = [
        world.expected_update(replace(TEXTBOOK, ratio=ratio), rewards, logits, 1, old=old)
        for ratio in ("sequence", "sequence_token")
    ]
    close(*updates)


# ---------------------------------------------------------------------------------------------------------------------
# Stale: the correction of a sampler


@STALE
@pytest.mark.parametrize("baseline", ["none", "sign", "leave_one_out", "group_mean"])
def test_a_whole_response_weight_corrects_a_sampler_exactly(world, policies, numbers, baseline):
    """E_beta[(pi / beta)(y) A s] = E_pi[A s], and a baseline of the others' rewards has E_pi[s] = 0 beside it."""
    logits, sampler, rewards = policies(numbers[0]), policies(numbers[1]), world.rewards(1)
    objective = replace(TEXTBOOK, baseline=baseline, correction="sequence_truncate", **WIDE)
    factor = {"none": 1, "sign": 2, "leave_one_out": 1, "group_mean": 1 / 2}[baseline]
    update = world.expected_update(objective, rewards, logits, 2, sampler=sampler)
    close(update, factor * world.gradient_of_mean(rewards, logits))
    masked = replace(objective, correction="sequence_mask")
    close(world.expected_update(masked, rewards, logits, 2, sampler=sampler), update)
    uncorrected = world.expected_update(replace(objective, correction="none"), rewards, logits, 2, sampler=sampler)
    assert apart(uncorrected, update)


def test_a_corrected_samplers_groups_are_still_as_difficult_as_the_sampler_finds_them(small_world, policies):
    """The std is that of the sampler's group: w_G(p_beta) grad p, its weight from one policy, its gradient from the
    other."""
    world, logits, sampler = small_world, policies(0), policies(5)
    rewards = world.rewards(1)
    objective = replace(OBJECTIVES["grpo"], normalizer="responses", correction="sequence_truncate", **WIDE)
    update = world.expected_update(objective, rewards, logits, 4, sampler=sampler)
    weight, own = (difficulty_weight(objective, 4, float(world.mean(rewards, policy))) for policy in (sampler, logits))
    close(update, weight * world.gradient_of_mean(rewards, logits))
    assert abs(weight - own) > 0.01


@STALE
@pytest.mark.parametrize("high", [0.5, 1.0, 2.0])
def test_a_truncated_weight_learns_from_the_smaller_of_two_chances(world, policies, gradient_of, numbers, high):
    """E_beta[min(pi / beta, C) R s] = sum_y min(pi(y), C beta(y)) R s."""
    logits, sampler, rewards = policies(numbers[0]), policies(numbers[1]), world.rewards(1)
    objective = replace(TEXTBOOK, correction="sequence_truncate", correction_high=high)
    smaller = torch.minimum(world.probs(logits), high * world.probs(sampler))
    expected = gradient_of(lambda theta: (smaller * rewards * world.logprobs(theta).sum(-1)).sum(), logits)
    close(world.expected_update(objective, rewards, logits, 1, sampler=sampler), expected)


@STALE
def test_masking_leaves_out_the_responses_whose_weight_is_out_of_bounds(world, policies, gradient_of, numbers):
    logits, sampler, rewards = policies(numbers[0]), policies(numbers[1]), world.rewards(1)
    objective = replace(TEXTBOOK, correction="sequence_mask", correction_low=0.4, correction_high=2.5)
    ratio = world.probs(logits) / world.probs(sampler)
    kept = world.probs(logits) * ((ratio >= 0.4) & (ratio <= 2.5))
    assert 0 < int((kept[rewards == 1] > 0).sum()) < int(rewards.sum())
    expected = gradient_of(lambda theta: (kept * rewards * world.logprobs(theta).sum(-1)).sum(), logits)
    close(world.expected_update(objective, rewards, logits, 1, sampler=sampler), expected)


@STALE
def test_token_weights_leave_the_samplers_states_and_future(world, policies, gradient_of, numbers):
    """Unbounded TIS is what a token ratio is: exact in tokens alone.  Bounded, it learns from min(pi, C beta) there."""
    logits, sampler, rewards = policies(numbers[0]), policies(numbers[1]), world.rewards(1)
    wide = replace(TEXTBOOK, correction="token_truncate", **WIDE)
    expected = gradient_of(lambda theta: improvement(world, rewards, theta, sampler, state_of=sampler), logits)
    close(world.expected_update(wide, rewards, logits, 1, sampler=sampler), expected)
    close(world.expected_update(replace(wide, correction="token_mask"), rewards, logits, 1, sampler=sampler), expected)
    bounded = world.expected_update(replace(wide, correction_high=1.5), rewards, logits, 1, sampler=sampler)
    weights = (world.logprobs(logits) - world.logprobs(sampler)).exp().clamp(max=1.5) * world.mask_ST
    chances = world.probs(sampler)[:, None] * rewards[:, None] * weights
    close(bounded, gradient_of(lambda theta: (chances * world.logprobs(theta)).sum(), logits))


@pytest.mark.parametrize("ratio", RATIOS)
def test_correction_then_ratio_is_as_if_the_old_policy_had_drawn(world, policies, ratio):
    """Three policies: beta drew, pi_old is where the update began, pi is where it stands."""
    logits, old, sampler, rewards = policies(0), policies(1), policies(2), world.rewards(1)
    plain = replace(TEXTBOOK, ratio=ratio)
    corrected = replace(plain, correction="sequence_truncate", **WIDE)
    close(
        world.expected_update(corrected, rewards, logits, 1, old=old, sampler=sampler),
        world.expected_update(plain, rewards, logits, 1, old=old),
    )


@pytest.mark.parametrize("kind", ["reject_k1", "reject_k2", "reject_k3"])
def test_rejection_keeps_whole_responses_that_look_alike_to_both(world, policies, gradient_of, kind):
    """The estimate of KL(beta || pi) of a response, a mean over its tokens with x = log pi - log beta: -x, x^2 / 2 or
    e^x - 1 - x.  Kept ones are not weighted."""
    logits, sampler, rewards = policies(0), policies(1), world.rewards(1)
    x = world.logprobs(logits) - world.logprobs(sampler)
    per_token = {"reject_k1": -x, "reject_k2": x**2 / 2, "reject_k3": x.exp() - 1 - x}[kind]
    estimates = per_token.sum(-1) / world.lengths
    right = estimates[rewards == 1].sort().values
    bound = float((right[2] + right[3]) / 2)  # between: three right responses stay
    objective = replace(TEXTBOOK, correction=kind, correction_high=max(bound, 0.0))
    kept = world.probs(sampler) * (estimates <= max(bound, 0.0))
    assert 0 < int((kept[rewards == 1] > 0).sum()) < int(rewards.sum())
    expected = gradient_of(lambda theta: (kept * rewards * world.logprobs(theta).sum(-1)).sum(), logits)
    close(world.expected_update(objective, rewards, logits, 1, sampler=sampler), expected)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in ("bnpo", "ppo", "sppo")])
def test_a_sampler_that_is_the_learner_needs_no_correction(world, policies, name):
    logits, rewards = policies(0), world.rewards(1)
    for correction in ("token_truncate", "sequence_truncate", "token_mask", "sequence_mask", "reject_k3"):
        objective = replace(OBJECTIVES[name], correction=correction)
        close(
            world.expected_update(objective, rewards, logits, 2, sampler=logits),
            world.expected_update(objective, rewards, logits, 2),
        )
