"""Advantages and weights of made-up groups; numbers worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch

from r1zero.objectives import OBJECTIVES
from r1zero.training.batching import Group
from r1zero.training.credit import credited, weighed, with_gradient, with_shadows


def group(rewards, lengths, name="p", **fields):
    responses = tuple(tuple(range(n)) for n in lengths)
    return Group(name, (1,), responses, (0.0,) * len(lengths), rewards=tuple(rewards), **fields)


def rows(values, lengths):
    return tuple((value,) * n for value, n in zip(values, lengths, strict=True))


def test_dr_grpo_credit_by_hand():
    made = weighed(credited([group((1, 0, 0, 0), (2, 3, 4, 5))], OBJECTIVES["dr_grpo"]), OBJECTIVES["dr_grpo"], 10)
    assert made[0].advantages == (0.75, -0.25, -0.25, -0.25)
    assert made[0].weights == (1 / 40,) * 4


def test_a_left_out_response_has_no_weight_and_no_tokens_in_the_count():
    dapo = replace(OBJECTIVES["dapo"], divide_by_std=False)
    (made,) = weighed(credited([group((1, 0), (2, 6), left_out=(False, True))], dapo), dapo, 10)
    assert made.weights == (0.5, 0.0)
    (kept,) = with_gradient([made], dapo)
    assert kept.responses == ((0, 1),)


def test_divergence_off_the_reward_is_summed_over_the_response():
    """k1 = old - reference = .1 a token: rewards 1 - .5 * .2 and 0 - .5 * .4, so A = +-(.9 + .2) / 2."""
    objective = replace(OBJECTIVES["dr_grpo"], kl_coef=0.5, kl_in="reward", kl_estimator="k1")
    lengths = (2, 4)
    old, reference = rows((-1.0, -1.0), lengths), rows((-1.1, -1.1), lengths)
    (made,) = credited([group((1, 0), lengths, old_logprobs=old, reference_logprobs=reference)], objective)
    assert made.advantages == pytest.approx((0.55, -0.55))


def test_divergence_off_the_reward_is_paid_token_by_token_where_returns_are():
    """Two tokens, k1 = .1 each, coefficient .5: returns to go 1 - .1 and 1 - .05; one token: -.05."""
    objective = replace(OBJECTIVES["reinforce"], kl_coef=0.5, kl_in="reward", kl_estimator="k1")
    lengths = (2, 1)
    old, reference = rows((-1.0, -1.0), lengths), rows((-1.1, -1.1), lengths)
    (made,) = credited([group((1, 0), lengths, old_logprobs=old, reference_logprobs=reference)], objective)
    assert made.token_advantages[0] == pytest.approx((0.9, 0.95))
    assert made.token_advantages[1] == pytest.approx((-0.05,))
    assert made.advantages == pytest.approx((0.925, -0.05))


def test_prompt_values_are_baselines_and_learn_the_reward_at_the_first_token():
    lengths = (2, 3)
    (made,) = credited([group((1, 0), lengths, values=rows((0.25, 0.25), lengths))], OBJECTIVES["sppo"])
    assert made.advantages == (0.75, -0.25)
    assert made.value_targets == ((1.0, 1.0), (0.0, 0.0, 0.0))
    (made,) = weighed([made], OBJECTIVES["sppo"], 10)
    assert made.value_weights == ((0.5, 0.0), (0.5, 0.0, 0.0))


def test_the_value_head_of_the_prompt_learns_the_mean_over_an_optimizer_steps_responses():
    """Two groups of two, an optimizer step each: 1 over 2 responses, not over the rollout's 4."""
    lengths = (1, 1)
    made = credited([group((1, 0), lengths, values=rows((0.0, 0.0), lengths))] * 2, OBJECTIVES["sppo"])
    assert [weighed([one], OBJECTIVES["sppo"], 10)[0].value_weights for one in made] == [((0.5,), (0.5,))] * 2


def test_generalised_advantages_and_the_targets_of_the_value_head():
    """gamma = 1, lambda = .5, R = 1 on the last of two tokens, V = (.5, .25).

    d2 = 1 - .25 = .75, d1 = .25 - .5 = -.25; A2 = .75, A1 = -.25 + .5 * .75 = .125; targets A + V = (.625, 1).
    """
    objective = replace(OBJECTIVES["ppo"], batch_scale="none", gae_lambda=0.5)
    (made,) = credited([group((1, 0), (2, 1), values=((0.5, 0.25), (0.0,)))], objective)
    assert made.token_advantages[0] == pytest.approx((0.125, 0.75))
    assert made.value_targets[0] == pytest.approx((0.625, 1.0))
    (made,) = weighed([made], objective, 10)
    assert made.value_weights == ((1 / 3, 1 / 3), (1 / 3,))


def test_only_the_most_uncertain_tokens_learn():
    objective = replace(OBJECTIVES["grpo"], top_entropy=0.4)
    (made,) = credited([group((1, 0), (2, 3), entropies=((0.1, 2.0), (0.3, 1.0, 0.2)))], objective)
    assert made.learns == ((0.0, 1.0), (0.0, 1.0, 0.0))


def test_shadow_credits_are_the_other_objectives_advantages_and_weights():
    groups = weighed(credited([group((1, 0), (2, 6))], OBJECTIVES["dr_grpo"]), OBJECTIVES["dr_grpo"], 8)
    (made,) = with_shadows(groups, [OBJECTIVES["grpo"], OBJECTIVES["rloo"]], 8)
    std = math.sqrt(0.5)
    assert made.shadow_credits[0] == (pytest.approx((0.5 / std, 1 / 4), rel=1e-5), (1.0, 0.5))
    assert made.shadow_credits[1] == (pytest.approx((-0.5 / std, 1 / 12), rel=1e-5), (-1.0, 0.5))


def test_a_response_that_only_a_shadow_learns_from_is_computed():
    best = OBJECTIVES["pass_at_k"]  # the best of two right ones leads by 0: it ignores this group
    groups = weighed(credited([group((1, 1, 0), (2, 2, 2))], best), best, 8)
    assert with_gradient(groups, best) == []
    shadows = [OBJECTIVES["dr_grpo"]]
    (kept,) = with_gradient(with_shadows(groups, shadows, 8), best, shadows)
    assert len(kept.responses) == 3


def test_what_must_be_scored_first_is_asked_for():
    with pytest.raises(ValueError, match="score them"):
        credited([group((1, 0), (2, 3))], OBJECTIVES["sppo"])


def test_the_advantages_stay_in_double_precision():
    (made,) = credited([group((1, 0, 0), (2, 3, 1))], OBJECTIVES["dr_grpo"])
    assert made.advantages[0] == pytest.approx(2 / 3, abs=1e-15)
    assert torch.tensor(made.advantages).sum() == pytest.approx(0)
