"""What the objectives do in expectation, exactly: every group of sequences of a small world, weighted by its chance.

Letters: S sequences, T tokens, N groups of G sequences each.
"""

import math
from dataclasses import replace

import pytest
import torch

from r1zero.analysis.groups import degenerate_predicted
from r1zero.objectives import OBJECTIVES, BatchSize, TokenBatch
from r1zero.objectives.difficulty import difficulty_weight

EVERYWHERE = pytest.mark.parametrize(("number", "num_b"), [(0, 1), (1, 2), (2, 0)])  # policy; b's in a right answer
SIZES = pytest.mark.parametrize("size", [2, 3])


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def summed(name, **factors):
    """The row with the textbook's aggregation: the mean over responses of sums over tokens."""
    return replace(OBJECTIVES[name], normalizer="responses", **factors)


def cosine(first, second):
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


# ---------------------------------------------------------------------------------------------------------------------
# The world itself


def test_the_world_has_31_sequences_whose_chances_add_up_to_one(world, policies):
    assert len(world.tokens_ST) == 31
    assert len({tuple(row) for row in world.tokens_ST.tolist()}) == 15 + 16  # one padded with ends is no other
    assert world.probs(policies(0)).sum().item() == pytest.approx(1, abs=1e-14)
    assert world.rewards(1).sum() == 1 + 2 + 3  # b; ab ba; aab aba baa, each with its end


def test_the_gradient_of_the_accuracy_agrees_with_finite_differences(world, policies):
    logits, step = policies(0), 1e-6
    rewards = world.rewards(1)
    differences = []
    for i in range(9):
        shift = torch.zeros(9, dtype=torch.float64)
        shift[i] = step
        ahead, behind = (world.mean(rewards, logits + sign * shift.reshape(3, 3)) for sign in (1, -1))
        differences.append((ahead - behind) / (2 * step))
    torch.testing.assert_close(world.gradient_of_mean(rewards, logits), torch.stack(differences), rtol=0, atol=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# 1. Without length or std: the policy gradient


@EVERYWHERE
@SIZES
def test_rloo_is_unbiased(world, policies, number, num_b, size):
    logits, rewards = policies(number), world.rewards(num_b)
    update = world.expected_update(OBJECTIVES["rloo"], rewards, logits, size)
    close(update, world.gradient_of_mean(rewards, logits))


@EVERYWHERE
def test_reinforce_and_a_constant_baseline_are_unbiased(world, policies, number, num_b):
    logits, rewards = policies(number), world.rewards(num_b)
    expected = world.gradient_of_mean(rewards, logits)
    close(world.expected_update(OBJECTIVES["reinforce"], rewards, logits, 1), expected)
    values = torch.full_like(rewards, 0.7)[:, None]  # a critic that is wrong, but the same for every response
    advantages = summed("sppo").advantages(rewards[:, None], None, values)
    close(world.expected_update(summed("sppo"), rewards, logits, 1, advantages_NG=advantages), expected)


@SIZES
def test_dr_grpo_is_rloo_times_g_minus_1_over_g_response_by_response(world, size):
    rewards = world.rewards(1)[world.groups(size)]
    dr_grpo, rloo = (OBJECTIVES[name].advantages(rewards) for name in ("dr_grpo", "rloo"))
    close(dr_grpo, rloo * (size - 1) / size)


@EVERYWHERE
@SIZES
def test_dr_grpo_is_the_policy_gradient_up_to_a_known_constant(world, policies, number, num_b, size):
    logits, rewards = policies(number), world.rewards(num_b)
    update = world.expected_update(OBJECTIVES["dr_grpo"], rewards, logits, size)
    close(update, world.gradient_of_mean(rewards, logits) * (size - 1) / size / world.max_tokens)


@EVERYWHERE
def test_sign_advantages_are_twice_the_policy_gradient(world, policies, number, num_b):
    """A = 2R - 1, and the constant -1 has no expected gradient."""
    logits, rewards = policies(number), world.rewards(num_b)
    update = world.expected_update(OBJECTIVES["sign"], rewards, logits, 2)
    close(update, 2 * world.gradient_of_mean(rewards, logits))


# ---------------------------------------------------------------------------------------------------------------------
# 2. The std: right within a problem, a weight w_G(p) across problems


@EVERYWHERE
@SIZES
def test_the_std_alone_weights_the_policy_gradient_by_difficulty(world, policies, number, num_b, size):
    logits, rewards = policies(number), world.rewards(num_b)
    update = world.expected_update(OBJECTIVES["grpo_no_length"], rewards, logits, size) * world.max_tokens
    weight = difficulty_weight(OBJECTIVES["grpo"], size, float(world.mean(rewards, logits)))
    close(update, weight * world.gradient_of_mean(rewards, logits))


@pytest.mark.parametrize(
    ("size", "expected"),
    {
        2: (1, 1, 1, 1, 1),
        4: (1.727, 1.710, 1.681, 1.645, 1.616),
        8: (2.609, 2.473, 2.264, 2.026, 1.856),
        16: (3.733, 3.267, 2.688, 2.198, 1.934),
        64: (6.736, 4.336, 2.967, 2.285, 1.984),
    }.items(),
)
def test_difficulty_weights_of_grpo_are_those_of_the_table(size, expected):
    """The table divides by the population's std, which is sqrt((G-1)/G) of ours."""
    ours = [difficulty_weight(OBJECTIVES["grpo"], size, p) for p in (0.01, 0.05, 0.125, 0.25, 0.5)]
    assert [w / math.sqrt((size - 1) / size) for w in ours] == pytest.approx(expected, abs=6e-4)


def test_with_two_or_three_responses_grpo_has_no_difficulty_bias():
    """One right of two has std 1/sqrt 2, so A(1) = (1-p) / sqrt 2 and A(0) = -p / sqrt 2.

    One or two right of three have 1/sqrt 3: A(1) = (2 (1-p)^2 + 2p (1-p)) / sqrt 3, A(0) = -(2p (1-p) + 2p^2) / sqrt 3.
    """
    for p in (0.001, 0.3, 0.9):
        assert difficulty_weight(OBJECTIVES["grpo"], 2, p) == pytest.approx(math.sqrt(0.5), rel=1e-5)
        assert difficulty_weight(OBJECTIVES["grpo"], 3, p) == pytest.approx(2 / math.sqrt(3), rel=1e-5)


def test_difficulty_weights_without_a_std_do_not_depend_on_the_accuracy():
    for name, expected in {"rloo": 1, "dr_grpo": 7 / 8, "sign": 2, "reinforce": 1, "opo": 7 / 8, "ppo": 1}.items():
        weights = [difficulty_weight(OBJECTIVES[name], 8, p) for p in (0.0, 0.02, 0.5, 1.0)]
        assert weights == pytest.approx([expected] * 4, rel=1e-12)


def test_difficulty_weights_refuse_what_is_no_accuracy_and_a_group_of_one():
    with pytest.raises(ValueError, match=r"accuracy=1\.2"):
        difficulty_weight(OBJECTIVES["grpo"], 8, 1.2)
    with pytest.raises(ValueError, match="responses_per_problem=1"):
        difficulty_weight(OBJECTIVES["grpo"], 1, 0.5)
    with pytest.raises(ValueError, match="group_size=0"):
        difficulty_weight(OBJECTIVES["reinforce"], 0, 0.5)


# ---------------------------------------------------------------------------------------------------------------------
# 3, 4, 5. The length: a surrogate reward


@EVERYWHERE
def test_dividing_by_the_length_climbs_the_advantage_over_the_length(world, policies, number, num_b):
    """Where A is a function of the response's own reward: E[(A / L) s] = grad E[A / L], A held fixed."""
    logits, rewards = policies(number), world.rewards(num_b)
    for name, advantages in (("reinforce", rewards), ("sign", 2 * rewards - 1)):
        objective = replace(OBJECTIVES[name], normalizer="response_length")
        update = world.expected_update(objective, rewards, logits, 2)
        close(update, world.gradient_of_mean(advantages / world.lengths, logits))


@EVERYWHERE
@SIZES
def test_grpo_climbs_the_reward_above_the_accuracy_over_the_length(world, policies, number, num_b, size):
    """w_G(p) grad E[(R - p) / L], p held fixed: A(r) = w_G(p) (r - p), since p A(1) + (1-p) A(0) = 0."""
    logits, rewards = policies(number), world.rewards(num_b)
    accuracy = float(world.mean(rewards, logits))
    surrogate = world.gradient_of_mean((rewards - accuracy) / world.lengths, logits)
    for name in ("grpo", "grpo_no_std"):
        weight = difficulty_weight(OBJECTIVES[name], size, accuracy)
        close(world.expected_update(OBJECTIVES[name], rewards, logits, size), weight * surrogate)


@EVERYWHERE
def test_what_grpo_climbs_is_how_much_shorter_right_answers_are_than_wrong(world, policies, gradient_of, number, num_b):
    """(R - p) / L averages to h = p (1-p) (E[1/L | right] - E[1/L | wrong]); with p held fixed its gradient is that of
    h plus E[1/L] grad p."""
    logits, rewards = policies(number), world.rewards(num_b)

    def h(theta):
        p, inverse = world.mean(rewards, theta), 1 / world.lengths
        right = world.mean(rewards * inverse, theta) / p
        wrong = world.mean((1 - rewards) * inverse, theta) / (1 - p)
        return p * (1 - p) * (right - wrong)

    inverse = world.mean(1 / world.lengths, logits)
    expected = gradient_of(h, logits) + inverse * world.gradient_of_mean(rewards, logits)
    weight = difficulty_weight(OBJECTIVES["grpo"], 2, float(world.mean(rewards, logits)))
    close(world.expected_update(OBJECTIVES["grpo"], rewards, logits, 2), weight * expected)


def drift_under_random_rewards(world, objective, logits, size, p):
    """The expected update when every response earns 1 with chance p, whatever it says.  -> [9]"""
    groups, total = world.groups(size), torch.zeros(9, dtype=torch.float64)
    for rewards in torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * size):
        chance = p ** rewards.sum() * (1 - p) ** (size - rewards.sum())
        advantages = objective.advantages(rewards.expand(len(groups), size), world.lengths[groups])
        total += chance * world.expected_update(objective, rewards, logits, size, advantages_NG=advantages)
    return total


@pytest.mark.parametrize("name", ["grpo", "dapo", "dr_grpo", "opo", "max_rl"])
def test_rewards_that_have_nothing_to_do_with_the_response_move_nothing_on_average(world, policies, name):
    """A length that says nothing about being right has no drift, whatever the tokens are divided by."""
    assert drift_under_random_rewards(world, OBJECTIVES[name], policies(0), 3, 0.3).abs().max() < 1e-14
    related = world.expected_update(OBJECTIVES[name], world.rewards(1), policies(0), 3)
    assert related.abs().max() > 1e-3


@pytest.mark.parametrize("p", [0.3, 0.5, 0.8])
def test_balanced_aggregation_moves_lengths_even_under_random_rewards_unless_half_are_right(
    world, policies, gradient_of, p
):
    """G = 3, std 1/sqrt 3.  One right: (2/9) s_1 / L_1 - (2/9) (s_2 + s_3) / (L_2 + L_3); two right: the signs change
    places.  The chances are 3 p q^2 and 3 p^2 q, so what is left is their difference, (2/3) p q (q - p), times
    grad (E[1/L] - E[1/(L + L')]): a token mean of two is not two means of one.
    """
    logits, q = policies(0), 1 - p
    pairs = 1 / (world.lengths[:, None] + world.lengths)
    of_one = world.gradient_of_mean(1 / world.lengths, logits)
    of_two = gradient_of(lambda theta: world.probs(theta) @ pairs @ world.probs(theta), logits)
    expected = 2 / 3 * p * q * (q - p) / (3**-0.5 + 1e-6) * (of_one - of_two)
    close(drift_under_random_rewards(world, OBJECTIVES["balanced_aggregation"], logits, 3, p), expected)
    assert p == 0.5 or expected.abs().max() > 1e-3


@pytest.mark.parametrize("name", [name for name, row in OBJECTIVES.items() if row.baseline.startswith(("group", "l"))])
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1])
def test_problems_always_or_never_solved_move_nothing_at_all(world, policies, name, reward):
    objective, groups = OBJECTIVES[name], world.groups(2)
    rewards = torch.full(groups.shape, reward, dtype=torch.float64)
    advantages = objective.advantages(rewards, world.lengths[groups])
    assert torch.equal(advantages, torch.zeros_like(rewards))
    if objective.normalizer != "microbatch_tokens":
        update = world.expected_update(objective, rewards, policies(0), 2, advantages_NG=advantages)
        assert torch.equal(update, torch.zeros(9, dtype=torch.float64))


@EVERYWHERE
def test_a_constant_advantage_is_nothing_when_summed_and_moves_length_when_averaged(world, policies, number, num_b):
    """c grad E[1/L]: all wrong under sign advantages (c = -1) makes answers longer, a constant bonus shorter."""
    logits = policies(number)
    inverse = world.gradient_of_mean(1 / world.lengths, logits)
    for reward, c in ((0.0, -1.0), (1.0, 1.0)):
        rewards = torch.full_like(world.lengths, reward)
        assert world.expected_update(OBJECTIVES["sign"], rewards, logits, 2).abs().max() < 1e-14
        averaged = replace(OBJECTIVES["sign"], normalizer="response_length")
        close(world.expected_update(averaged, rewards, logits, 2), c * inverse)


# ---------------------------------------------------------------------------------------------------------------------
# The others


@EVERYWHERE
@SIZES
def test_max_rl_is_the_policy_gradient_of_a_truncated_likelihood(world, policies, number, num_b, size):
    """A wrong response gets -1 if any other is right, else 0: A(0) = -(1 - (1-p)^(G-1)).  As the group's advantages
    add up to 0, p A(1) = -(1-p) A(0), so w = A(1) - A(0) = -A(0) / p = (1 - (1-p)^(G-1)) / p: grad log p for large G.
    """
    logits, rewards = policies(number), world.rewards(num_b)
    p = float(world.mean(rewards, logits))
    expected = (1 - (1 - p) ** (size - 1)) / p * world.gradient_of_mean(rewards, logits)
    close(world.expected_update(OBJECTIVES["max_rl"], rewards, logits, size) * world.max_tokens, expected)
    assert difficulty_weight(OBJECTIVES["max_rl"], 400, 0.05) == pytest.approx(1 / 0.05, rel=1e-6)


@EVERYWHERE
@SIZES
def test_pass_at_k_climbs_the_chance_that_any_of_the_group_is_right(world, policies, gradient_of, number, num_b, size):
    """Only a lone right response earns 1: A(1) = (1-p)^(G-1), which is 1/G of the derivative of 1 - (1-p)^G."""
    logits, rewards = policies(number), world.rewards(num_b)
    expected = gradient_of(lambda theta: 1 - (1 - world.mean(rewards, theta)) ** size, logits) / size
    close(world.expected_update(summed("pass_at_k", divide_by_std=False), rewards, logits, size), expected)


@EVERYWHERE
@SIZES
def test_pass_at_k_as_named_multiplies_by_root_g_and_shortens_right_answers(world, policies, number, num_b, size):
    """A lone right response's group has std 1/sqrt G; and no advantage is negative, so 1/L only ever shortens."""
    logits, rewards = policies(number), world.rewards(num_b)
    p = float(world.mean(rewards, logits))
    expected = (1 - p) ** (size - 1) / (size**-0.5 + 1e-6) * world.gradient_of_mean(rewards / world.lengths, logits)
    close(world.expected_update(OBJECTIVES["pass_at_k"], rewards, logits, size), expected)


@pytest.mark.parametrize("number", [0, 1])
def test_gpg_rescales_a_step_by_its_share_of_degenerate_groups(small_world, policies, number):
    """P equal problems, d the chance of a degenerate group: a mixed group's gradient is multiplied by P / (1 + N), N
    mixed ones among the others, and E[P / (1 + N)] = (1 - d^P) / (1 - d): 1 + d for P = 2.
    """
    world, logits = small_world, policies(number)
    rewards, objective = world.rewards(1), summed("gpg")
    steps = world.groups(4).reshape(-1, 2, 2)  # two problems of two responses
    advantages = torch.stack([objective.advantages(rewards[step]) for step in steps])
    p = float(world.mean(rewards, logits))
    degenerate = p**2 + (1 - p) ** 2
    update = world.expected_update(objective, rewards, logits, 4, advantages_NG=advantages.reshape(-1, 4))
    close(update, (1 + degenerate) / 2 * world.gradient_of_mean(rewards, logits))


@EVERYWHERE
def test_opo_and_token_means_with_two_responses_are_gradients_of_their_own_surrogates(world, policies, number, num_b):
    """By symmetry E[g] = grad E[f(y)], f(y) = 2 E_y'[w A] held fixed: with G = 2 (R - R') / 2 the centred reward,
    L' / (L + L') (R - R') OPO's advantage, 1 / (L + L') the token mean's weight.
    """
    logits, rewards = policies(number), world.rewards(num_b)
    gaps, probs = rewards[:, None] - rewards, world.probs(logits)
    own, other = world.lengths[:, None], world.lengths
    opo = (gaps * other / (own + other)) @ probs
    token_mean = (gaps / (own + other)) @ probs
    close(world.expected_update(OBJECTIVES["opo"], rewards, logits, 2), world.gradient_of_mean(opo, logits))
    mean = replace(OBJECTIVES["grpo_no_std"], normalizer="batch_tokens")
    close(world.expected_update(mean, rewards, logits, 2), world.gradient_of_mean(token_mean, logits))


def test_how_far_each_direction_is_from_the_policy_gradient_at_the_uniform_policy(world):
    """Cosines, measured here (one b is right); other policies give .88 to .98 for GRPO and above .97 for token means,
    with GRPO's the same at G = 2 and 3.  What biases is the length: the mean over a batch's tokens much less than the
    mean over a response's, and less the more responses share it.
    """
    logits, rewards = torch.zeros(3, 3, dtype=torch.float64), world.rewards(1)
    truth = world.gradient_of_mean(rewards, logits)

    def angles(name):
        return [cosine(world.expected_update(OBJECTIVES[name], rewards, logits, size), truth) for size in (2, 3)]

    assert angles("rloo") == pytest.approx([1, 1], abs=1e-12)
    assert angles("grpo_no_length") == pytest.approx([1, 1], abs=1e-12)
    assert angles("grpo") == pytest.approx([0.941, 0.941], abs=5e-4)
    assert angles("dapo") == pytest.approx([0.990, 0.995], abs=5e-4)
    assert 0.9 < angles("opo")[0] < 1 - 1e-6


def test_balanced_aggregation_with_two_responses_is_grpo(world, policies):
    """A mixed pair has one response on each side, so each side's token mean is the response's own."""
    rewards, logits = world.rewards(1), policies(0)
    two, three = (
        [world.expected_update(OBJECTIVES[name], rewards, logits, size) for name in ("balanced_aggregation", "grpo")]
        for size in (2, 3)
    )
    close(*two)
    assert (three[0] - three[1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "names",
    [
        ("grpo", "gspo", "gspo_token", "hoelder", "gmpo", "sapo"),
        ("dapo", "cispo", "ctpo"),
        ("grpo_no_length", "luspo"),
        ("grpo_no_std", "dr_grpo"),
        ("grpo", "dapo", "luspo"),
    ],
)
def test_rows_that_differ_in_ratio_and_clip_alone_are_one_on_policy(world, policies, names):
    rewards, logits = world.rewards(1), policies(0)
    updates = [world.expected_update(OBJECTIVES[name], rewards, logits, 2) for name in names]
    same = len({OBJECTIVES[name].normalizer for name in names}) == 1
    for update in updates[1:]:
        if same:
            close(update, updates[0])
        elif names[0] == "grpo_no_length":  # 1/B against 1/(B M)
            close(update, updates[0] * world.max_tokens)
        else:
            assert cosine(update, updates[0]) < 0.9999


# ---------------------------------------------------------------------------------------------------------------------
# 7, 10, 13. Group by group


def signed_token_mass(world, objective, rewards_NG, groups_NG):
    """Each group's sum over tokens of the weight with which the loss pushes a token up.  -> [N]"""
    lengths = world.lengths[groups_NG]
    advantages = objective.advantages(rewards_NG, lengths)
    rows = groups_NG.flatten()
    logprobs = torch.zeros_like(world.mask_ST[rows]).requires_grad_()
    weights = world.weights(objective, lengths, advantages).flatten()
    tokens = TokenBatch(logprobs, logprobs.detach(), world.mask_ST[rows], advantages.reshape(-1, 1), weights)
    loss, _ = objective.loss(tokens)
    return -torch.autograd.grad(loss, logprobs)[0].sum(-1).reshape(groups_NG.shape).sum(-1)


@pytest.mark.parametrize("name", ["grpo", "grpo_no_std", "gspo", "balanced_aggregation"])
def test_response_weights_push_as_much_up_as_down_in_every_group(world, name):
    groups = world.groups(3)
    mass = signed_token_mass(world, OBJECTIVES[name], world.rewards(1)[groups], groups)
    assert mass.abs().max() < 1e-14


@pytest.mark.parametrize(("name", "per_group"), [("dapo", False), ("dr_grpo", True)])
def test_token_weights_push_up_where_right_answers_are_longer(world, name, per_group):
    """Sign-length coupling: sum A L over all tokens, or over G M."""
    groups, rewards = world.groups(3), world.rewards(1)
    lengths = world.lengths[groups]
    advantages = OBJECTIVES[name].advantages(rewards[groups], lengths)
    over = 3 * world.max_tokens if per_group else lengths.sum(-1)
    mass = signed_token_mass(world, OBJECTIVES[name], rewards[groups], groups)
    close(mass, (advantages * lengths).sum(-1) / over)
    assert mass.max() > 0.01
    assert mass.min() < -0.01


@pytest.mark.parametrize("name", ["rloo", "dr_grpo", "grpo_no_std", "opo", "gpg"])
def test_centred_rewards_ignore_a_shift_and_follow_a_scale(world, policies, name):
    rewards, logits, objective = world.rewards(1), policies(0), OBJECTIVES[name]
    if objective.batch_scale != "none":  # counts over the step: one group is one step here
        objective = replace(objective, batch_scale="none")
    update = world.expected_update(objective, rewards, logits, 2)
    close(world.expected_update(objective, rewards + 3, logits, 2), update)
    close(world.expected_update(objective, 5 * rewards, logits, 2), 5 * update)


@pytest.mark.parametrize("name", ["grpo", "dapo", "grpo_no_length", "pass_at_k", "balanced_aggregation"])
def test_rewards_over_their_std_ignore_shift_and_positive_scale(world, policies, name):
    rewards, logits, objective = world.rewards(1), policies(0), OBJECTIVES[name]
    update = world.expected_update(objective, rewards, logits, 3)
    changed = world.expected_update(objective, 5 * rewards + 3, logits, 3)
    torch.testing.assert_close(changed, update, rtol=1e-5, atol=1e-8)  # the std's own 1e-6


def test_a_small_reward_for_format_is_as_good_as_a_large_one_for_being_right_under_grpo():
    """A group's scale is divided out: with three reward levels, what a level is worth depends on who else is there."""
    right, formatted = torch.tensor([[1.0, 0, 0, 0], [0.1, 0, 0, 0]], dtype=torch.float64)
    grpo, dr_grpo = OBJECTIVES["grpo"], OBJECTIVES["dr_grpo"]
    assert grpo.advantages(formatted[None])[0, 0].item() == pytest.approx(1.5, rel=1e-4)
    assert grpo.advantages(right[None])[0, 0].item() == pytest.approx(1.5, rel=1e-4)
    assert dr_grpo.advantages(formatted[None])[0, 0].item() == pytest.approx(0.075)
    assert dr_grpo.advantages(right[None])[0, 0].item() == pytest.approx(0.75)


@SIZES
def test_groups_without_signal_are_p_to_the_g_plus_the_rest_to_the_g(world, policies, size):
    logits, groups = policies(0), world.groups(size)
    chances, accuracies = [], []
    for num_b in (0, 2):
        rewards = world.rewards(num_b)
        idle = (OBJECTIVES["grpo"].advantages(rewards[groups]) == 0).all(-1).double()
        p = float(world.mean(rewards, logits))
        chance = float((world.probs(logits)[groups].prod(-1) * idle).sum())
        assert chance == pytest.approx(p**size + (1 - p) ** size, rel=1e-12)
        chances, accuracies = [*chances, chance], [*accuracies, p]
    mean = sum(accuracies) / 2
    assert sum(chances) / 2 > mean**size + (1 - mean) ** size + 1e-3  # Jensen: unequal problems have more


@pytest.mark.parametrize(
    ("size", "right_of_400", "expected"),
    [(4, 4, 0.961), (4, 20, 0.815), (4, 100, 0.320), (4, 200, 0.125), (8, 4, 0.923), (8, 20, 0.663), (8, 200, 0.008)],
)
def test_predicted_share_of_groups_without_signal_is_that_of_the_table(size, right_of_400, expected):
    flat = [1.0] * right_of_400 + [0.0] * (400 - right_of_400)
    groups = [flat[start : start + size] for start in range(0, 400, size)]
    assert degenerate_predicted(groups) == pytest.approx(expected, abs=5e-4)


def test_bnpo_in_one_micro_batch_is_the_token_mean(small_world, policies):
    """And, in as many as there are responses, the mean over responses: GRPO without its name."""
    world, rewards = small_world, small_world.rewards(1)
    logprobs = world.logprobs(policies(0))
    bnpo, dapo, grpo = (replace(OBJECTIVES[name], clip="none") for name in ("bnpo", "dapo", "grpo"))
    for group in world.groups(2):
        mask, lengths, advantages = world.mask_ST[group], world.lengths[group], dapo.advantages(rewards[group][None])
        size = BatchSize(2, int(lengths.sum()), 2)

        def loss(objective, rows, num_microbatches=1, group=group, mask=mask, advantages=advantages, size=size):
            weights = objective.weights(mask.sum(-1)[None], advantages, size)[0]
            old = logprobs[group][rows]
            tokens = TokenBatch(old * 1.1, old, mask[rows], advantages[0, rows, None], weights[rows])
            return objective.loss(replace(tokens, num_microbatches=num_microbatches))[0]

        close(loss(bnpo, [0, 1]), loss(dapo, [0, 1]))
        close(loss(bnpo, [0], 2) + loss(bnpo, [1], 2), loss(grpo, [0, 1]))
