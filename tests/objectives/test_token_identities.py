"""Token by token, exactly: critics, and the divergence from a reference in the loss and in the reward.

Every sequence of a small world, weighted by its chance.  Letters: S sequences, T tokens.
"""

from dataclasses import replace

import pytest
import torch

from r1zero.objectives import OBJECTIVES
from r1zero.objectives.divergence import ESTIMATORS


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def cosine(first, second):
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


# ---------------------------------------------------------------------------------------------------------------------
# Critics


@pytest.mark.parametrize("num_b", [0, 1])
def test_a_critic_of_any_quality_leaves_the_gradient_unbiased_with_lambda_one(world, policies, num_b):
    logits, rewards, objective = (
        policies(0),
        world.rewards(num_b),
        replace(OBJECTIVES["ppo"], normalizer="responses", batch_scale="none"),
    )
    values = policies(7)[0][world.contexts]  # by what came before, and wrong
    advantages = objective.token_advantages(rewards, world.mask_ST, values)
    update = world.expected_update(objective, rewards, logits, 1, advantages_NG=advantages)
    close(update, world.gradient_of_mean(rewards, logits))


@pytest.mark.parametrize("gae_lambda", [0.0, 0.4])
def test_a_critic_that_knows_allows_any_lambda(world, policies, gae_lambda):
    logits, rewards = policies(0), world.rewards(1)
    objective = replace(OBJECTIVES["ppo"], normalizer="responses", batch_scale="none", gae_lambda=gae_lambda)
    truth, values = world.gradient_of_mean(rewards, logits), world.prefix_mean(rewards, logits)

    def update(values_ST):
        advantages = objective.token_advantages(rewards, world.mask_ST, values_ST)
        return world.expected_update(objective, rewards, logits, 1, advantages_NG=advantages)

    close(update(values), truth)
    assert cosine(update(values * world.mask_ST.cumsum(-1)), truth) < 0.999  # and one that errs does not


# ---------------------------------------------------------------------------------------------------------------------
# 14. Divergences: E over sequences of the policy, as a term of the loss and as part of the reward


def sequence_kl(world, logits, reference):
    gaps = (world.logprobs(logits) - world.logprobs(reference)).sum(-1)
    return (world.probs(logits) * gaps).sum()


def visited_kl(world, logits, reference, visits_ST, *, forward):
    """KL(pi || ref), or (forward) KL(ref || pi), of each next-token distribution, over given visits to the contexts."""
    first, second = (reference, logits) if forward else (logits, reference)
    first, second = first.log_softmax(-1), second.log_softmax(-1)
    by_context = (first.exp() * (first - second)).sum(-1)
    return (visits_ST * by_context[world.contexts]).sum()


@pytest.mark.parametrize("number", [0, 1])
def test_gradients_of_the_kl_estimators_as_losses(world, policies, gradient_of, number):
    """k1: nothing.  k2: KL(pi || ref).  k3: KL(ref || pi).  Of the next token, at the contexts that pi visits."""
    logits, reference = policies(number), policies(number + 10)
    visits = world.probs(logits)[:, None] * world.mask_ST
    zeros = torch.zeros_like(world.lengths)

    def update(estimator):
        objective = replace(OBJECTIVES["reinforce"], kl_coef=1.0, kl_estimator=estimator)
        return -world.expected_update(objective, zeros, logits, 1, reference=reference)

    reverse = gradient_of(lambda theta: visited_kl(world, theta, reference, visits, forward=False), logits)
    forward = gradient_of(lambda theta: visited_kl(world, theta, reference, visits, forward=True), logits)
    assert update("k1").abs().max() < 1e-14
    close(update("k2"), reverse)
    close(update("k3"), forward)
    assert cosine(reverse, forward) < 0.999
    # None sees that moving the policy moves the contexts, so none is the whole sequence's gradient.
    whole = gradient_of(lambda theta: sequence_kl(world, theta, reference), logits)
    assert cosine(update("k2"), whole) < 0.999


def test_for_answers_of_one_token_k2_has_the_gradient_of_the_sequence_divergence(world_of, policies, gradient_of):
    world, logits, reference = world_of(1), policies(0), policies(1)
    objective = replace(OBJECTIVES["reinforce"], kl_coef=0.5, kl_estimator="k2")
    update = world.expected_update(objective, torch.zeros_like(world.lengths), logits, 1, reference=reference)
    close(update, -0.5 * gradient_of(lambda theta: sequence_kl(world, theta, reference), logits))


def test_every_estimator_but_k2_averages_to_the_sequence_divergence(world, policies):
    logits, reference = policies(0), policies(1)
    truth = float(sequence_kl(world, logits, reference))
    mean = {
        name: float((world.probs(logits)[:, None] * f(world.logprobs(logits), world.logprobs(reference))).sum())
        for name, f in ESTIMATORS.items()
    }
    assert mean["k1"] == pytest.approx(truth, rel=1e-12)
    assert mean["k3"] == pytest.approx(truth, rel=1e-12)
    assert abs(mean["k2"] - truth) > 0.01 * truth


@pytest.mark.parametrize("number", [0, 1])
def test_k1_in_the_reward_climbs_reward_less_divergence_exactly(world, policies, gradient_of, number):
    """Token by token under REINFORCE (a token pays for all that follows), and summed into RLOO's rewards."""
    logits, reference, beta = policies(number), policies(number + 10), 0.3
    rewards = world.rewards(1)
    truth = world.gradient_of_mean(rewards, logits) - beta * gradient_of(
        lambda theta: sequence_kl(world, theta, reference), logits
    )
    kl = ESTIMATORS["k1"](world.logprobs(logits), world.logprobs(reference))
    objective = replace(OBJECTIVES["reinforce"], kl_coef=beta, kl_in="reward", kl_estimator="k1")
    advantages = objective.token_advantages(rewards, world.mask_ST, kl_BT=kl)
    close(world.expected_update(objective, rewards, logits, 1, advantages_NG=advantages), truth)
    close(world.expected_update(OBJECTIVES["rloo"], rewards - beta * kl.sum(-1), logits, 2), truth)


def test_k3_in_the_reward_misses_its_own_gradient(world, policies, gradient_of):
    """E[k3] is the divergence under every policy, so its gradient is that through the samples plus that of k3 itself,
    and a reward has only the first."""
    logits, reference = policies(0), policies(10)
    visits = world.probs(logits)[:, None] * world.mask_ST
    whole = gradient_of(lambda theta: sequence_kl(world, theta, reference), logits)
    own = gradient_of(lambda theta: visited_kl(world, theta, reference, visits, forward=True), logits)
    kl = ESTIMATORS["k3"](world.logprobs(logits), world.logprobs(reference)).sum(-1)
    close(world.expected_update(OBJECTIVES["rloo"], -kl, logits, 2), -(whole - own))
