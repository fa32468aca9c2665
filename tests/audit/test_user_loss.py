"""A user's loss: found, called with the promised fields, recognised, and its failures shown with their line."""

import sys

import pytest
import torch

from r1zero.audit import UserLoss, audit, load_user_loss
from r1zero.audit.batch import ProbeBatch
from r1zero.audit.resemblance import resemblances

SOURCE = """
import torch

def dr_grpo(batch):
    advantages_B = batch.rewards_B - batch.group_rewards_BG.mean(-1)
    ratio_BT = (batch.logprobs_BT - batch.old_logprobs_BT).exp()
    surrogate_BT = torch.minimum(ratio_BT * advantages_B[:, None], ratio_BT.clamp(0.8, 1.2) * advantages_B[:, None])
    return -(surrogate_BT * batch.mask_BT).sum() / (batch.step_responses * batch.max_tokens)

def fails(batch):
    rows = [1]
    return batch.logprobs_BT.sum() * rows[3]

def returns_a_matrix(batch):
    return batch.logprobs_BT

def returns_nan(batch):
    return batch.logprobs_BT.sum() * float("nan")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audited_losses.py").write_text(SOURCE)
    yield tmp_path
    sys.modules.pop("audited_losses", None)


def with_std(eps):
    def loss(batch):
        centred_B = batch.rewards_B - batch.group_rewards_BG.mean(-1)
        advantages_B = centred_B / (batch.group_rewards_BG.std(-1) + eps)
        ratio_BT = (batch.logprobs_BT - batch.old_logprobs_BT).exp()
        kept_BT = torch.minimum(ratio_BT * advantages_B[:, None], ratio_BT.clamp(0.8, 1.2) * advantages_B[:, None])
        return -((kept_BT * batch.mask_BT).sum(-1) / batch.lengths_B).sum() / batch.step_responses

    return UserLoss("mine", loss)


@pytest.mark.parametrize("place", ["audited_losses", "audited_losses.py"])
def test_a_loss_is_found_from_the_current_directory_and_recognised(here, place):
    loss = load_user_loss(f"{place}:dr_grpo")
    (found,) = resemblances(loss, 4, 64)
    assert (found.row, found.factor) == ("dr_grpo", pytest.approx(1))
    assert found.sentence(loss.name) == "dr_grpo is r1zero's dr_grpo."


def test_the_search_path_is_left_as_it_was(here):
    before = list(sys.path)
    load_user_loss("audited_losses:dr_grpo")
    assert sys.path == before


def test_another_eps_is_recognised_as_such():
    (found,) = resemblances(with_std(1e-4), 4, 64)
    assert found.row == "grpo"
    assert 1e-6 < found.on_policy < 1e-3


def test_a_loss_without_clip_equals_its_row_on_policy_only():
    def unclipped(batch):
        advantages_B = batch.rewards_B - batch.group_rewards_BG.mean(-1)
        ratio_BT = (batch.logprobs_BT - batch.old_logprobs_BT).exp() * batch.mask_BT
        return -(ratio_BT * advantages_B[:, None]).sum() / (batch.step_responses * batch.max_tokens)

    (found,) = resemblances(UserLoss("unclipped", unclipped), 4, 64)
    assert found.row == "dr_grpo"
    assert found.off_policy > 0.1
    assert "its clip or ratio differs" in found.sentence("unclipped")


def test_a_mean_over_the_padded_tensor_equals_no_row():
    def padded(batch):
        advantages_B = batch.rewards_B - batch.group_rewards_BG.mean(-1)
        return -(batch.logprobs_BT * batch.mask_BT * advantages_B[:, None]).mean() / batch.num_microbatches

    assert resemblances(UserLoss("padded", padded), 4, 64) == []
    assert audit(UserLoss("padded", padded), 4, 64).classification.name == "1 over padded width"


def test_every_field_is_given_as_documented():
    seen = []

    def look(batch):
        seen.append(batch)
        return batch.logprobs_BT.sum()

    rewards_PG = torch.tensor([[1.0, 0.0], [0.5, 0.25]], dtype=torch.float64)
    lengths_PG = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    batch = ProbeBatch(rewards_PG, lengths_PG, 16, 5, ((1, 2), (0, 3)))
    UserLoss("look", look).token_weights(batch)
    first = seen[0]
    assert first.rewards_B.tolist() == [0.0, 0.5]
    assert first.group_rewards_BG.tolist() == [[1.0, 0.0], [0.5, 0.25]]
    assert (first.groups_B.tolist(), first.lengths_B.tolist()) == ([0, 1], [2.0, 3.0])
    assert first.mask_BT.tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]
    assert (first.max_tokens, first.step_responses, first.step_tokens, first.num_microbatches) == (16, 4, 10, 2)
    assert first.logprobs_BT.requires_grad and len(seen) == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("audited_losses:fails", r"audited_losses.py, line 12, in fails: return .*rows\[3\]: IndexError"),
        ("audited_losses:returns_a_matrix", r"returned a tensor of shape \(16, 32\): return one number"),
        ("audited_losses:returns_nan", "returned nan for a micro-batch of 16 responses"),
    ],
)
def test_a_failing_loss_is_reported_with_what_is_wrong(here, spec, message):
    loss = load_user_loss(spec)
    rewards_PG = torch.eye(4, dtype=torch.float64).repeat(1, 4)[:1].reshape(1, 16)
    with pytest.raises(ValueError, match=message):
        loss.token_weights(ProbeBatch(rewards_PG, torch.full_like(rewards_PG, 8.0), 64, 32))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("audited_losses", "give MODULE:FUNCTION"),
        ("audited_losses:dr_gpro", "did you mean dr_grpo"),
        ("no_such_module:loss", "no module no_such_module"),
        ("no_such_file.py:loss", "no file no_such_file.py"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(here, spec, message):
    with pytest.raises(ValueError, match=message):
        load_user_loss(spec)


def test_a_module_that_fails_to_import_is_shown_with_its_line(here):
    (here / "audited_losses.py").write_text("x = 1\ny = x / 0\n")
    with pytest.raises(ValueError, match=r"audited_losses.py, line 2, in <module>: y = x / 0: ZeroDivisionError"):
        load_user_loss("audited_losses:loss")
