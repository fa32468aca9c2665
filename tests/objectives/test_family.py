"""Every row of the table by hand.

On policy: one problem, R = (1, 0, 0, 0), L = (10, 20, 40, 80), 150 tokens, at most M = 100 a response.  There the push
on a token (minus d loss / d log pi) is its weight times its advantage, and m = 1/4, s = sqrt((9/16 + 3/16) / 3) = 1/2.
Off policy: where neighbours part.  A response's ratios are given as pi / pi_old of each of its tokens.
"""

import math
from dataclasses import replace

import pytest
import torch

from r1zero.config import ObjectiveConfig
from r1zero.objectives import OBJECTIVES, BatchSize, TokenBatch, build_objective, likelihood_loss

LENGTHS = torch.tensor([[10.0, 20.0, 40.0, 80.0]], dtype=torch.float64)
REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
SIZE = BatchSize(4, 150, 100)

# The deviation of R over the 150 tokens: 10 of them at 1 - 1/15, 140 at -1/15, so
# v = (10 (14/15)^2 + 140 (1/15)^2) / 149 = (2100/225) / 149 = 28 / 447.
PER_DEVIATION = math.sqrt(447 / 28)

PUSHES = {
    "reinforce": (1 / 4, 0, 0, 0),  # A = R, over B = 4
    "rloo": (1 / 4, -1 / 12, -1 / 12, -1 / 12),  # A = 1 - 0 and 0 - 1/3
    "sign": (1 / 4, -1 / 4, -1 / 4, -1 / 4),
    "opo": (14 / 60, -1 / 60, -1 / 60, -1 / 60),  # baseline 10 * 1 / 150 = 1/15
    "grpo": (0.0375, -0.00625, -0.003125, -0.0015625),  # A = (3/2, -1/2, ...), over 4 L
    "grpo_no_std": (0.01875, -0.003125, -0.0015625, -0.00078125),
    "grpo_no_length": (0.00375, -0.00125, -0.00125, -0.00125),  # over 4 * 100
    "dr_grpo": (0.001875, -0.000625, -0.000625, -0.000625),
    "dapo": (1.5 / 150, -0.5 / 150, -0.5 / 150, -0.5 / 150),
    "bnpo": (1.5 / 150, -0.5 / 150, -0.5 / 150, -0.5 / 150),  # one micro-batch, so as dapo
    "luspo": (1.5 / 4, -0.5 / 4, -0.5 / 4, -0.5 / 4),  # grpo times L
    "balanced_aggregation": (0.25 * 1.5 / 10, *(0.75 * -0.5 / 140,) * 3),  # 1 of 4 on 10 tokens, 3 of 4 on 140
    "gspo": (0.0375, -0.00625, -0.003125, -0.0015625),
    "gspo_token": (0.0375, -0.00625, -0.003125, -0.0015625),
    "hoelder": (0.0375, -0.00625, -0.003125, -0.0015625),
    "gmpo": (0.0375, -0.00625, -0.003125, -0.0015625),
    "cispo": (1.5 / 150, -0.5 / 150, -0.5 / 150, -0.5 / 150),
    "ctpo": (1.5 / 150, -0.5 / 150, -0.5 / 150, -0.5 / 150),
    "sapo": (0.0375, -0.00625, -0.003125, -0.0015625),  # the gate's slope at 1 is 1
    "gpg": (0.75 / 150, -0.25 / 150, -0.25 / 150, -0.25 / 150),  # no degenerate group: factor 1
    "max_rl": (3 / 400, -1 / 400, -1 / 400, -1 / 400),  # A = (3/4, -1/4, ...) / (1/4)
    "pass_at_k": (0.05, 0, 0, 0),  # A = (1 - 0) / (1/2), over 4 * 10
    "reinforce_pp": (14 / 15 * PER_DEVIATION / 150, *(-1 / 15 * PER_DEVIATION / 150,) * 3),
    # whitening takes off whatever is the same for all, so with one problem the baseline makes no difference
    "reinforce_pp_baseline": (14 / 15 * PER_DEVIATION / 150, *(-1 / 15 * PER_DEVIATION / 150,) * 3),
    "sppo": (0.75 / 150, -0.25 / 150, -0.25 / 150, -0.25 / 150),  # with V(q) = 1/4
    "ppo": (14 / 15 * PER_DEVIATION / 150, *(-1 / 15 * PER_DEVIATION / 150,) * 3),  # V = 1/4 throughout: A_t = R - V
}


def mask_of(lengths_PG):
    lengths_B = lengths_PG.flatten()
    return (torch.arange(int(lengths_B.max())) < lengths_B[:, None]).double()


def credit(objective, rewards_PG, lengths_PG, value=0.25):
    """Advantages as the loss takes them, [B, 1] or [B, T]."""
    mask_BT = mask_of(lengths_PG)
    if objective.by_token:
        return objective.token_advantages(rewards_PG.flatten(), mask_BT, torch.full_like(mask_BT, value))
    return objective.advantages(rewards_PG, lengths_PG, torch.full_like(rewards_PG, value)).reshape(-1, 1)


def pushes(objective, advantages_BT, weights_B, mask_BT, log_ratios_BT=None):
    """Minus d loss / d log pi of each token."""
    logprobs_BT = torch.zeros_like(mask_BT) if log_ratios_BT is None else log_ratios_BT.clone()
    logprobs_BT.requires_grad_()
    loss, _ = objective.loss(TokenBatch(logprobs_BT, torch.zeros_like(mask_BT), mask_BT, advantages_BT, weights_B))
    return -torch.autograd.grad(loss, logprobs_BT)[0]


def push_off_policy(name, ratios, advantage, **factors):
    """The push on each token of one response of these ratios, in units of its weight and advantage's size."""
    row = replace(OBJECTIVES[name], **factors)
    log_ratios_BT = torch.tensor([ratios], dtype=torch.float64).log()
    advantages_B1 = torch.full((1, 1), float(advantage), dtype=torch.float64)
    return pushes(row, advantages_B1, torch.ones(1).double(), torch.ones_like(log_ratios_BT), log_ratios_BT)[0].tolist()


def surrogate(name, ratios, advantage, **factors):
    row = replace(OBJECTIVES[name], **factors)
    ratios_BT = torch.tensor([ratios], dtype=torch.float64)
    advantages_BT = torch.full_like(ratios_BT, float(advantage))
    return row.surrogate(ratios_BT.log(), torch.zeros_like(ratios_BT), advantages_BT, torch.ones_like(ratios_BT))[0][0]


# ---------------------------------------------------------------------------------------------------------------------
# On policy


def test_every_row_has_its_numbers():
    assert set(PUSHES) == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_push_on_every_token_is_the_one_worked_out_by_hand(name):
    row = OBJECTIVES[name]
    advantages_BT = credit(row, REWARDS, LENGTHS)
    weights_B = row.weights(LENGTHS, advantages_BT[:, :1].reshape(1, 4), SIZE).flatten()
    found_BT = pushes(row, advantages_BT, weights_B, mask_of(LENGTHS))
    expected_BT = torch.tensor(PUSHES[name], dtype=torch.float64)[:, None] * mask_of(LENGTHS)
    torch.testing.assert_close(found_BT, expected_BT, rtol=5e-6, atol=0)  # the 1e-6 added to s = 1/2


def test_balanced_aggregation_gives_each_sign_its_share_of_responses():
    row = OBJECTIVES["balanced_aggregation"]
    weights = row.weights(LENGTHS, row.advantages(REWARDS), SIZE)
    torch.testing.assert_close(weights[0], torch.tensor([0.25 / 10, *[0.75 / 140] * 3], dtype=torch.float64))


def test_reinforce_pp_baseline_differs_from_reinforce_pp_once_problems_differ_in_difficulty():
    """One token each.  R = ((1, 0), (1, 1)): whitened as they stand, m = 3/4 and v = (3/16 + 9/16) / 3 = 1/4.

    With the groups' means off: (1/2, -1/2, 0, 0), m = 0 and v = (1/2) / 3 = 1/6.
    """
    rewards, ones = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64), torch.ones(2, 2).double()
    plain = OBJECTIVES["reinforce_pp"].advantages(rewards, ones)
    centred = OBJECTIVES["reinforce_pp_baseline"].advantages(rewards, ones)
    root = math.sqrt(6) / 2
    torch.testing.assert_close(plain, torch.tensor([[0.5, -1.5], [0.5, 0.5]], dtype=torch.float64))
    torch.testing.assert_close(centred, torch.tensor([[root, -root], [0.0, 0.0]], dtype=torch.float64))


def test_gpg_gives_back_what_degenerate_groups_dilute_and_grpo_no_std_does_not():
    """Of three groups one is mixed: factor 3."""
    rewards = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    assert OBJECTIVES["gpg"].advantages(rewards).tolist() == [[1.5, -1.5], [0.0, 0.0], [0.0, 0.0]]
    assert OBJECTIVES["grpo_no_std"].advantages(rewards).tolist() == [[0.5, -0.5], [0.0, 0.0], [0.0, 0.0]]


def test_sppo_learns_from_a_single_response_and_from_groups_that_are_all_right():
    """V(q) = 3/4 and R = 1: A = 1/4."""
    one = torch.ones(1, 1).double()
    assert OBJECTIVES["sppo"].advantages(one, one, 0.75 * one).item() == 0.25


def test_ppo_gives_every_token_its_own_advantage_where_values_differ():
    """R = 1 after two tokens of V = (1/2, 3/4), gamma = lambda = 1: A = (1/2, 1/4); whitened +-1/sqrt(2)."""
    values = torch.tensor([[0.5, 0.75]], dtype=torch.float64)
    mask = torch.ones(1, 2).double()
    plain = replace(OBJECTIVES["ppo"], batch_scale="none").token_advantages(torch.ones(1).double(), mask, values)
    whitened = OBJECTIVES["ppo"].token_advantages(torch.ones(1).double(), mask, values)
    assert plain.tolist() == [[0.5, 0.25]]
    torch.testing.assert_close(
        whitened, torch.tensor([[0.5, -0.5]], dtype=torch.float64) * math.sqrt(2), rtol=1e-6, atol=0
    )


# ---------------------------------------------------------------------------------------------------------------------
# Off policy: each row beside the neighbour it equals on policy


def test_dapo_lets_a_right_token_rise_to_1_28_where_grpo_stops_at_1_2():
    assert push_off_policy("grpo", [1.25], 1) == [0.0]
    assert push_off_policy("dapo", [1.25], 1) == pytest.approx([1.25])
    assert push_off_policy("dapo", [1.29], 1) == [0.0]
    assert push_off_policy("dapo", [0.75], -1) == push_off_policy("grpo", [0.75], -1) == [0.0]


def test_cispo_bounds_a_token_s_weight_at_5_but_never_silences_it():
    assert push_off_policy("dapo", [6.0, 0.01], 1) == pytest.approx([0.0, 0.01])
    assert push_off_policy("cispo", [6.0, 0.01], 1) == pytest.approx([5.0, 0.01])
    assert push_off_policy("dapo", [6.0, 0.01], -1) == pytest.approx([-6.0, 0.0])
    assert push_off_policy("cispo", [6.0, 0.01], -1) == pytest.approx([-5.0, -0.01])


def test_gspo_clips_a_whole_response_where_grpo_clips_none_of_its_tokens():
    """log s = (0.0010 + 0.0002) / 2 = 6e-4 > log(1 + 4e-4): both tokens are silent, though each ratio is near 1."""
    ratios = [math.exp(1.0e-3), math.exp(2e-4)]
    assert push_off_policy("grpo", ratios, 1) == pytest.approx(ratios)
    assert push_off_policy("gspo", ratios, 1) == [0.0, 0.0]
    assert push_off_policy("gspo", [math.exp(4e-4), math.exp(-2e-4)], 1) == pytest.approx([math.exp(1e-4)] * 2)


def test_gspo_spreads_token_advantages_evenly_and_gspo_token_keeps_them_apart():
    """A = (3, 1), s = e^1e-4.  s A summed has slope s (3 + 1) / 2 = 2 s at either token; s r_t / sg(r_t) A_t: s A_t."""
    log_ratios = torch.tensor([[4e-4, -2e-4]], dtype=torch.float64)
    advantages, ones = torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.ones(1, 2).double()
    s = math.exp(1e-4)
    together = pushes(OBJECTIVES["gspo"], advantages, torch.ones(1).double(), ones, log_ratios)
    apart = pushes(OBJECTIVES["gspo_token"], advantages, torch.ones(1).double(), ones, log_ratios)
    assert together[0].tolist() == pytest.approx([2 * s, 2 * s])
    assert apart[0].tolist() == pytest.approx([3 * s, s])


def test_luspo_is_gspo_times_the_length():
    lengths, advantages = torch.tensor([[2.0, 3.0]]).double(), torch.tensor([[1.0, -1.0]]).double()
    size = BatchSize(2, 5, 9)
    gspo, luspo = (OBJECTIVES[name].weights(lengths, advantages, size) for name in ("gspo", "luspo"))
    torch.testing.assert_close(luspo, gspo * lengths)
    assert luspo.tolist() == [[0.5, 0.5]]
    assert OBJECTIVES["luspo"].ratio == "sequence" and OBJECTIVES["rloo"].ratio == "token"


def test_hoelder_runs_from_the_quadratic_mean_by_the_geometric_to_p_of_minus_2():
    """Ratios (2, 1/2): p = 2: sqrt(17/8); 1: 5/4; 0: 1; -1: 4/5; -2: sqrt(8/17)."""
    row = replace(OBJECTIVES["hoelder"], clip="none")
    ratios = torch.tensor([[2.0, 0.5]], dtype=torch.float64)
    means = {2: math.sqrt(17 / 8), 1: 1.25, 0: 1.0, -1: 0.8, -2: math.sqrt(8 / 17)}
    for progress, power in ((0.0, 2), (0.25, 1), (0.5, 0), (0.75, -1), (1.0, -2)):
        at = row.at(progress)
        assert at.power == power and at.power_end is None
        found, _ = at.surrogate(ratios.log(), torch.zeros(1, 2).double(), torch.ones(1, 2).double(), torch.ones(1, 2))
        assert found[0].tolist() == pytest.approx([means[power]] * 2)


def test_hoelder_at_p_0_is_gspo_under_the_same_clip():
    ratios, clip = [1.3, 0.9, 1.02], {"clip_low": 0.2, "clip_high": 0.2}
    hoelder = push_off_policy("hoelder", ratios, 1, power=0.0, power_end=None)
    assert hoelder == pytest.approx(push_off_policy("gspo", ratios, 1, **clip))
    assert hoelder != pytest.approx(push_off_policy("hoelder", ratios, 1))


def test_gmpo_cuts_single_log_ratios_on_the_advantage_s_side_before_the_mean():
    """log r = (0.6, -0.2).  A = 1: 0.6 is cut to 0.4, the mean 0.1.  A = -1: nothing is below -0.4, the mean 0.2."""
    ratios = [math.exp(0.6), math.exp(-0.2)]
    assert surrogate("gmpo", ratios, 1).tolist() == pytest.approx([math.exp(0.1)] * 2)
    assert surrogate("gmpo", ratios, -1).tolist() == pytest.approx([-math.exp(0.2)] * 2)
    assert push_off_policy("gmpo", ratios, 1) == pytest.approx([0.0, math.exp(0.1)])
    assert push_off_policy("gmpo", ratios, -1) == pytest.approx([-math.exp(0.2)] * 2)
    assert push_off_policy("gspo", ratios, 1) == [0.0, 0.0]


def test_sapo_fades_where_grpo_stops():
    """sigma(tau (r - 1)) = 3/4 at r = 1 + ln 3 / tau: the gate is 3 / tau there, and its slope 4 (3/4) (1/4) = 3/4."""
    right, wrong = 1 + math.log(3), 1 + math.log(3) / 1.05
    assert surrogate("sapo", [right], 1).tolist() == pytest.approx([3.0])
    assert surrogate("sapo", [wrong], -1).tolist() == pytest.approx([-3 / 1.05])
    assert push_off_policy("sapo", [right], 1) == pytest.approx([0.75 * right])
    assert push_off_policy("sapo", [wrong], -1) == pytest.approx([-0.75 * wrong])
    assert push_off_policy("grpo", [right], 1) == [0.0]


def test_ctpo_gives_the_t_th_token_a_room_of_sqrt_t():
    """log r = (0.09, 0, 0, 0), so 0.09 up to every token; the bound 0.05 sqrt(t) is 0.05, 0.071, 0.087, 0.1."""
    ratios = [math.exp(0.09), 1.0, 1.0, 1.0]
    assert push_off_policy("ctpo", ratios, 1) == pytest.approx([0.0, 0.0, 0.0, math.exp(0.09)])
    assert push_off_policy("dapo", ratios, 1) == pytest.approx(ratios)


def test_ctpo_clips_falling_wrong_tokens_at_half_the_room_and_rising_ones_by_its_dual_clip():
    """Down: 0.025 sqrt(t) is 0.025, 0.035, and -0.03 is reached.  Up: 0.05 sqrt(t) is 0.05, 0.071, and 0.06 is."""
    down, up = [math.exp(-0.03), 1.0], [math.exp(0.06), 1.0]
    assert push_off_policy("ctpo", down, -1) == pytest.approx([0.0, -math.exp(-0.03)])
    assert push_off_policy("ctpo", up, -1) == pytest.approx([0.0, -math.exp(0.06)])
    assert push_off_policy("ctpo", up, -1, clip_dual=None) == pytest.approx([-math.exp(0.06)] * 2)


def test_reinforce_and_its_kin_are_ppo_s_ratio_and_gpg_has_none():
    assert push_off_policy("reinforce", [1.1], 1) == pytest.approx([1.1])
    assert push_off_policy("gpg", [1.1], 1) == pytest.approx([1.0])
    assert push_off_policy("gpg", [7.0], 1) == pytest.approx([1.0])


# ---------------------------------------------------------------------------------------------------------------------
# Choosing a row


def test_config_overrides_single_factors_of_a_row():
    objective = build_objective(ObjectiveConfig(name="grpo", divide_by_std=False, clip_high=0.28))
    assert objective == replace(OBJECTIVES["grpo"], divide_by_std=False, clip_high=0.28)


def test_rows_are_one_factor_apart_where_their_names_say_so():
    grpo = OBJECTIVES["grpo"]
    assert replace(grpo, name="grpo_no_std", divide_by_std=False) == OBJECTIVES["grpo_no_std"]
    assert replace(grpo, name="grpo_no_length", normalizer="constant") == OBJECTIVES["grpo_no_length"]
    assert replace(grpo, name="dr_grpo", divide_by_std=False, normalizer="constant") == OBJECTIVES["dr_grpo"]


def test_likelihood_loss_is_the_weighted_mean_over_all_tokens():
    logprobs = torch.tensor([[-1.0, -3.0], [-2.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    weights = torch.full((2,), 1 / 3, dtype=torch.float64)
    loss, sums = likelihood_loss(TokenBatch(logprobs, logprobs, mask, torch.zeros(2, 1), weights))
    assert loss.item() == pytest.approx(2.0) and sums == {}
