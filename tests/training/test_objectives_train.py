"""Every row of the table, and every factor that has machinery of its own, through the real loop on a random model."""

import json
import math

import pytest
import torch

from r1zero.config import TrainConfig, build, nested
from r1zero.objectives import OBJECTIVES
from r1zero.store import read_rollouts
from r1zero.training import train


def config_for(tmp_path, base, **overrides):
    return build(TrainConfig, nested({
        "steps": 2, "problems_per_step": 3, "responses_per_problem": 6, "model.path": str(base),
        "run.dir": str(tmp_path / "run"), "reward.unformatted": 1.0, "reward.truncated": 0.0,
        "sampling.max_tokens": 96, "evaluation.num_problems": 2, "evaluation.max_tokens": 8, "evaluation.every": 0,
        "checkpoint.every": 1, "learner.lr": 1e-2, "learner.dtype": "float32", "learner.tokens_per_microbatch": 256,
    } | overrides))  # fmt: skip


def timeless(metrics):
    return [json.dumps({k: v for k, v in row.items() if not k.startswith("speed/")}) for row in metrics]


@pytest.mark.parametrize("updates", [1, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains(tmp_path, base, name, updates):
    overrides = {"objective.name": name, "learner.updates_per_rollout": updates}
    if name == "pass_at_k":
        overrides["problems_per_step"] = 12  # it learns only from groups with a single right response
    run = train(config_for(tmp_path, base, **overrides))
    assert run.finished
    for row in run.metrics[1:]:
        assert math.isfinite(row["learner/loss"])
        assert row["grad/norm"] > 0
        assert row["grad/update_norm"] > 0
        assert row["grad/share_correct"] + row["grad/share_wrong"] == pytest.approx(1)
        assert sum(row[f"grad/share_quarter_{q}"] for q in (1, 2, 3, 4)) == pytest.approx(1)
    stored = read_rollouts(run.dir).filter(step=1).collect()
    assert stored["advantage"].null_count() == 0
    assert stored["advantage"].abs().max() > 0


FACTORS = {
    "divergence in the loss, k2": {"objective.kl_coef": 0.1, "objective.kl_estimator": "k2"},
    "divergence off the reward": {
        "objective.kl_coef": 0.1, "objective.kl_in": "reward", "objective.kl_estimator": "k1",
    },
    "divergence off the reward by token": {
        "objective.name": "reinforce_pp", "objective.kl_coef": 0.1, "objective.kl_in": "reward",
    },
    "a reference that follows": {"objective.kl_coef": 0.1, "objective.reference_every": 2},
    "an entropy bonus": {"objective.entropy_coef": 0.01},
    "an entropy target": {"objective.entropy_target": 9.0},
    "uncertain tokens only": {"objective.top_entropy": 0.2},
    "truncated importance sampling": {"objective.correction": "token_truncate"},
    "masked importance sampling": {"objective.correction": "sequence_mask"},
    "cut responses left out": {"objective.overlong": "mask"},
    "shadow gradients": {"objective.shadow": "grpo,rloo,gspo", "objective.shadow_every": 1},
    "a value head": {"objective.name": "ppo"},
    "a value head on the prompt": {"objective.name": "sppo", "responses_per_problem": 1, "problems_per_step": 12},
}  # fmt: skip


@pytest.mark.parametrize("what", FACTORS)
def test_a_run_with_this_factor_goes_on_bit_for_bit(tmp_path, base, what):
    settings = {"steps": 4, **FACTORS[what]}
    whole = train(config_for(tmp_path, base, **settings, **{"run.dir": str(tmp_path / "whole")}))
    part = {**settings, "run.dir": str(tmp_path / "part")}
    interrupt_after(3, config_for(tmp_path, base, **part))
    continued = train(config_for(tmp_path, base, **part))
    assert timeless(continued.metrics) == timeless(whole.metrics)
    assert all(math.isfinite(row["learner/loss"]) for row in whole.metrics[1:])


def interrupt_after(step, config):
    """Train up to a step, as if the process had been stopped there."""

    class Interrupt:
        def step(self, done, metrics):
            if done == step:
                raise KeyboardInterrupt

        def note(self, message): ...
        def tokens(self, count): ...

    with pytest.raises(KeyboardInterrupt):
        train(config, Interrupt())


def test_a_shadow_of_the_objective_itself_has_cosine_one(tmp_path, base):
    run = train(config_for(tmp_path, base, **{"objective.shadow": "dr_grpo,grpo,rloo", "objective.shadow_every": 1}))
    for row in run.metrics[1:]:
        assert row["grad/cosine_dr_grpo"] == pytest.approx(1, abs=1e-5)
        assert row["grad/cosine_rloo"] == pytest.approx(1, abs=1e-5)  # the same up to a constant
        assert 0 < row["grad/cosine_grpo"] < 1 - 1e-4


def test_shadows_do_not_change_the_run(tmp_path, base):
    plain = train(config_for(tmp_path, base, **{"run.dir": str(tmp_path / "plain")}))
    shadowed = train(config_for(tmp_path, base, **{"objective.shadow": "rloo", "run.dir": str(tmp_path / "shadowed")}))
    assert [row["learner/loss"] for row in plain.metrics[1:]] == [row["learner/loss"] for row in shadowed.metrics[1:]]


def test_the_entropy_bonus_rises_while_entropy_is_below_its_target(tmp_path, base):
    settings = {"steps": 6, "objective.entropy_target": 9.0}  # more than the vocabulary has: always below
    run = train(config_for(tmp_path, base, **settings))
    bonuses = [row["policy/entropy_bonus"] for row in run.metrics[1:]]
    assert bonuses == pytest.approx([0.0, 0.005, 0.01, 0.015, 0.02, 0.025])


def test_the_value_head_learns_what_the_reward_is(tmp_path, base):
    settings = {"objective.name": "sppo", "steps": 20, "responses_per_problem": 1, "problems_per_step": 8,
                "reward.truncated": 1.0, "checkpoint.every": 0}  # fmt: skip
    run = train(config_for(tmp_path, base, **settings))  # every response earns 1
    assert run.metrics[1]["policy/value_error"] == pytest.approx(0.5)  # half of (0 - 1)^2
    assert run.metrics[-1]["policy/value_error"] < 0.1


def test_a_reference_that_follows_restarts_the_divergence(tmp_path, base):
    run = train(config_for(tmp_path, base, **{"steps": 3, "objective.kl_coef": 1e-3, "objective.reference_every": 2}))
    first, second, third = (row["policy/kl_reference"] for row in run.metrics[1:])
    assert first == pytest.approx(0, abs=1e-6)
    assert second > 1e-5
    assert third == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"objective.shadow": "grpoo"}, "did you mean grpo"),
        ({"objective.shadow": "ppo"}, "value head"),
        ({"objective.clip": "pppo"}, "did you mean ppo"),
        ({"objective.name": "rloo", "responses_per_problem": 1}, "at least 2"),
        ({"objective.kl_coef": -1.0}, "at least 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, base, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        train(config_for(tmp_path, base, **settings))
    assert not (tmp_path / "run").exists()


def test_the_update_norm_is_how_far_the_weights_moved(policy):
    from r1zero.training.steps import update_norm

    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(7, 3)), torch.nn.Parameter(torch.randn(5))]
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": 0.3}], lr=0.02, betas=(0.9, 0.95))
    for _ in range(3):
        before = [w.detach().clone() for w in weights]
        for w in weights:
            w.grad = torch.randn_like(w)
        optimizer.step()
        moved = math.sqrt(sum(float(((w - b) ** 2).sum()) for w, b in zip(weights, before, strict=True)))
        assert update_norm(optimizer) == pytest.approx(moved, rel=1e-5)
