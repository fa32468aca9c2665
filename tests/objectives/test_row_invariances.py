"""What must not matter, for every row: padding, order, the split into micro-batches; and what rewards may be.

One step of three problems with four responses each, off policy, with every optional term in play.
"""

from dataclasses import fields, replace

import pytest
import torch

from r1zero.objectives import OBJECTIVES, BatchSize, TokenBatch

PROBLEMS, GROUP, MAX_TOKENS = 3, 4, 10
RESPONSES = PROBLEMS * GROUP
LENGTHS = (3, 5, 1, 4, 2, 7, 3, 3, 6, 1, 2, 4)
SPLIT = ((4, 0, 7), (11, 2), (1, 3, 5, 6, 8), (9, 10))

# name: does a constant added to all rewards change nothing? what does doubling them do to the update?
DECLARED = {
    "reinforce": (False, "doubles"),
    "rloo": (True, "doubles"),
    "sign": (False, "neither"),  # A = 2 R - 1
    "opo": (True, "doubles"),
    "grpo": (True, "nothing"),
    "grpo_no_std": (True, "doubles"),
    "grpo_no_length": (True, "nothing"),
    "dr_grpo": (True, "doubles"),
    "dapo": (True, "nothing"),
    "bnpo": (True, "nothing"),
    "luspo": (True, "nothing"),
    "balanced_aggregation": (True, "nothing"),
    "gspo": (True, "nothing"),
    "gspo_token": (True, "nothing"),
    "hoelder": (True, "nothing"),
    "gmpo": (True, "nothing"),
    "cispo": (True, "nothing"),
    "ctpo": (True, "nothing"),
    "sapo": (True, "nothing"),
    "gpg": (True, "doubles"),
    "max_rl": (False, "nothing"),  # (R - m) / m
    "pass_at_k": (True, "nothing"),
    "reinforce_pp": (True, "nothing"),
    "reinforce_pp_baseline": (True, "nothing"),
    "sppo": (False, "neither"),  # R - V, and V stays
    "ppo": (True, "neither"),  # whitening takes the constant off as long as gamma = 1; V stays
}


def rewards():
    return torch.tensor([[1.0, 0.1, 0.0, 0.0], [0.0, 1.0, 1.0, 0.5], [1.0, 0.0, 0.25, 0.0]], dtype=torch.float64)


def step(row, rewards_PG, off_policy=True, everything=False):
    """The micro-batch that is the whole optimizer step, padded on the right to its longest response."""
    generator = torch.Generator().manual_seed(5)
    lengths_PG = torch.tensor(LENGTHS, dtype=torch.float64).reshape(PROBLEMS, GROUP)
    mask_BT = (torch.arange(max(LENGTHS)) < lengths_PG.reshape(-1, 1)).double()

    def noise(scale):
        return scale * torch.randn(RESPONSES, max(LENGTHS), dtype=torch.float64, generator=generator)

    logprobs_BT = noise(1.0).abs().neg()
    old_BT = logprobs_BT + (noise(0.1 if row.clip_high > 0.01 else 2e-4) if off_policy else 0.0)
    values_BT = noise(0.3)
    if row.by_token:
        advantages_BT = row.token_advantages(rewards_PG.flatten(), mask_BT, values_BT)
    else:
        prompt_values_PG = values_BT[:, 0].reshape(PROBLEMS, GROUP)
        advantages_BT = row.advantages(rewards_PG, lengths_PG, prompt_values_PG).reshape(-1, 1)
    size = BatchSize(RESPONSES, sum(LENGTHS), MAX_TOKENS)
    weights_B = row.weights(lengths_PG, advantages_BT[:, 0].reshape(PROBLEMS, GROUP), size).flatten()
    batch = TokenBatch(logprobs_BT, old_BT, mask_BT, advantages_BT.expand_as(mask_BT), weights_B)
    if not everything:
        return batch
    return replace(
        batch,
        sampler_logprobs_BT=old_BT + noise(0.3),
        reference_logprobs_BT=logprobs_BT + noise(0.5),
        entropies_BT=noise(1.0).abs(),
        entropy_bonus=0.05,
        learns_BT=(noise(1.0) > 0).double(),
        values_BT=values_BT,
        old_values_BT=values_BT + noise(0.3),
        value_targets_BT=noise(1.0),
        value_weights_BT=torch.full_like(mask_BT, 1 / sum(LENGTHS)),
    )


def loaded(row):
    """The row with a divergence term and a sampler correction beside whatever it has."""
    return replace(row, kl_coef=0.1, correction="token_truncate", correction_high=1.3)


def gradients(row, batch):
    """The loss, and its gradients by log-probability, entropy and value, on the mask and flattened in its order."""
    names = [n for n in ("logprobs_BT", "entropies_BT", "values_BT") if getattr(batch, n) is not None]
    leaves = [getattr(batch, name).clone().requires_grad_() for name in names]
    loss, _ = row.loss(replace(batch, **dict(zip(names, leaves, strict=True))))
    found = torch.autograd.grad(loss, leaves)
    inside = batch.mask_BT > 0
    return [loss.detach(), *(gradient[inside] for gradient in found)], [gradient[~inside] for gradient in found]


def per_token(batch, change):
    """The batch with every [B, T] tensor changed."""
    names = [f.name for f in fields(batch) if f.name.endswith("_BT") and getattr(batch, f.name) is not None]
    return replace(batch, **{name: change(getattr(batch, name)) for name in names})


def rows_of(batch, rows):
    picked = per_token(batch, lambda values_BT: values_BT[list(rows)])
    return replace(picked, weights_B=batch.weights_B[list(rows)])


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


@pytest.fixture(params=[False, True], ids=["alone", "with_every_term"])
def everything(request):
    return request.param


@pytest.fixture(params=OBJECTIVES)
def row(request, everything):
    return loaded(OBJECTIVES[request.param]) if everything else OBJECTIVES[request.param]


def test_padding_on_either_side_changes_neither_loss_nor_gradient(row, everything):
    batch = step(row, rewards(), everything=everything)
    whole, _ = gradients(row, batch)
    right = per_token(batch, lambda values_BT: torch.nn.functional.pad(values_BT, (0, 6)))
    assert_same(gradients(row, right)[0], whole)

    def to_the_left(values_BT):  # rolls each response to the end of its row, and pads five more before it
        shifted = [torch.roll(values_BT[i], max(LENGTHS) - LENGTHS[i]) for i in range(RESPONSES)]
        return torch.nn.functional.pad(torch.stack(shifted), (5, 0))

    assert_same(gradients(row, per_token(batch, to_the_left))[0], whole)


@pytest.mark.parametrize("garbage", [1e30, -torch.inf, torch.nan])
def test_what_stands_in_the_padding_reaches_neither_loss_nor_gradient(row, everything, garbage):
    batch = step(row, rewards(), everything=everything)
    mask_BT = batch.mask_BT
    dirty = per_token(batch, lambda values_BT: values_BT.masked_fill(mask_BT == 0, garbage))
    found, outside = gradients(row, replace(dirty, mask_BT=mask_BT))
    assert_same(found, gradients(row, batch)[0])
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in outside)


def test_the_order_of_responses_changes_nothing(row, everything):
    batch = step(row, rewards(), everything=everything)
    order = torch.randperm(RESPONSES, generator=torch.Generator().manual_seed(1))
    (loss, *found), _ = gradients(row, rows_of(batch, order.tolist()))
    (expected_loss, *expected), _ = gradients(row, batch)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-10, atol=1e-14)
    for a, b in zip(found, expected, strict=True):
        pieces = b.split(list(LENGTHS))
        torch.testing.assert_close(a, torch.cat([pieces[i] for i in order]), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if not OBJECTIVES[name].by_token])
def test_the_order_of_problems_and_within_a_group_changes_no_response_s_advantage_or_weight(name):
    row, size = OBJECTIVES[name], BatchSize(RESPONSES, sum(LENGTHS), MAX_TOKENS)
    lengths_PG = torch.tensor(LENGTHS, dtype=torch.float64).reshape(PROBLEMS, GROUP)
    values_PG = lengths_PG / 10

    def credit(order):
        advantages_PG = row.advantages(order(rewards()), order(lengths_PG), order(values_PG))
        return advantages_PG, row.weights(order(lengths_PG), advantages_PG, size)

    def shuffled(values):
        return values[[2, 0, 1]][:, [3, 1, 0, 2]]

    for plain, mixed in zip(credit(lambda values: values), credit(shuffled), strict=True):
        torch.testing.assert_close(shuffled(plain), mixed)


def split_gradients(row, batch):
    """Loss and gradients of the same step in four micro-batches, each cut to its longest response."""
    total, pieces = 0.0, [[None] * RESPONSES for _ in range(3)]
    for rows in SPLIT:
        width = max(LENGTHS[i] for i in rows)
        part = per_token(rows_of(batch, rows), lambda values_BT, width=width: values_BT[:, :width])
        (loss, *found), _ = gradients(row, replace(part, num_microbatches=len(SPLIT)))
        total = total + loss
        for place, gradient in enumerate(found):
            for i, piece in zip(rows, gradient.split([LENGTHS[i] for i in rows]), strict=True):
                pieces[place][i] = piece
    return [total, *(torch.cat(piece) for piece in pieces if piece[0] is not None)]


def test_any_split_into_micro_batches_gives_the_same_gradient_save_for_bnpo_s(row, everything):
    batch = step(row, rewards(), everything=everything)
    whole, _ = gradients(row, batch)
    if row.name == "bnpo":
        assert (split_gradients(row, batch)[1] - whole[1]).norm() > 0.1 * whole[1].norm()
    else:
        assert_same(split_gradients(row, batch), whole)


def test_bnpo_weighs_a_token_by_its_own_micro_batch():
    """Two micro-batches of 1 and of 3 tokens: 1 / (1 * 2) and 1 / (3 * 2) a token, where dapo has 1/4 for all."""
    ones = torch.ones(1, 1).double()
    pushes = []
    for length in (1, 3):
        zeros = torch.zeros(1, length).double()
        batch = TokenBatch(zeros, zeros, torch.ones_like(zeros), ones, ones[0], num_microbatches=2)
        pushes.append(gradients(OBJECTIVES["bnpo"], batch)[0][1].tolist())
    assert pushes[0] == pytest.approx([-1 / 2]) and pushes[1] == pytest.approx([-1 / 6] * 3)


# ---------------------------------------------------------------------------------------------------------------------
# Rewards shifted and scaled: the whole update, on policy


def update(name, rewards_PG):
    row = OBJECTIVES[name]
    return gradients(row, step(row, rewards_PG, off_policy=False))[0][1]


def same(a, b):
    return bool(torch.allclose(a, b, rtol=1e-4, atol=1e-9))  # the 1e-6 beside a deviation


def test_the_invariances_of_every_row_are_declared():
    assert set(DECLARED) == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_constant_added_to_all_rewards_changes_exactly_the_rows_declared_to_change(name):
    unchanged, _ = DECLARED[name]
    assert same(update(name, rewards() + 0.7), update(name, rewards())) == unchanged


@pytest.mark.parametrize("name", OBJECTIVES)
def test_doubled_rewards_do_what_is_declared(name):
    before, after = update(name, rewards()), update(name, 2 * rewards())
    found = "nothing" if same(after, before) else "doubles" if same(after, 2 * before) else "neither"
    assert found == DECLARED[name][1]


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if OBJECTIVES[name].needs_group])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_a_group_of_equal_rewards_gives_exactly_zero(name, value):
    """In float32, where the mean of seven 0.1 is not 0.1.  Whitened rows have their own: all rewards of the step."""
    lengths = torch.arange(1.0, 15.0).reshape(2, 7)
    advantages = OBJECTIVES[name].advantages(torch.full((2, 7), value), lengths)
    assert torch.equal(advantages, torch.zeros(2, 7))


def test_reinforce_pp_gives_exact_zeros_where_all_rewards_of_the_step_are_equal():
    lengths = torch.arange(1.0, 15.0).reshape(2, 7)
    assert torch.equal(OBJECTIVES["reinforce_pp"].advantages(torch.full((2, 7), 0.1), lengths), torch.zeros(2, 7))
