import copy
import random
from dataclasses import replace

import pytest
import torch

from r1zero.config import LearnerConfig
from r1zero.objectives import OBJECTIVES, likelihood_loss
from r1zero.training.batching import Group, microbatches, split_evenly, token_mean
from r1zero.training.credit import weighed, with_gradient
from r1zero.training.learner import Learner, NonFiniteError

CONFIG = LearnerConfig(lr=1e-3, dtype="float32", max_grad_norm=0.0)


def groups_of(seed=0, problems=3, size=4):
    rng = random.Random(seed)

    def ids(count):
        return tuple(rng.randrange(260) for _ in range(count))

    made = []
    for p in range(problems):
        responses = tuple(ids(rng.randint(1, 9)) for _ in range(size))
        advantages = tuple(rng.choice((-0.5, 0.5, 1.0)) for _ in range(size))
        made.append(Group(f"problem-{p}", ids(rng.randint(1, 5)), responses, advantages))
    return made


def gradients(policy, groups, loss, *, config=CONFIG, **options):
    """The gradient that one update would apply, without applying it."""
    learner = Learner(policy, config, num_updates=1, **options)
    kept = {}

    def keep(*_, **__):
        kept.update({n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None})

    learner.optimizer.step = keep
    metrics = learner.update(groups, loss).metrics
    return kept, metrics


def weighed_groups(name, **shape):
    return weighed(groups_of(**shape), OBJECTIVES[name], 12)


def reference_gradient(policy, groups, temperature=1.0):
    """The same from each sequence alone, through the model's own logits and the definition of the loss."""
    model = copy.deepcopy(policy.model)
    model.set_attn_implementation("eager")
    total = 0.0
    for group in groups:
        for ids, advantage, weight in zip(group.responses, group.advantages, group.weights, strict=True):
            sequence = torch.tensor([[*group.prompt_ids, *ids]])
            logits = model(input_ids=sequence).logits[0, len(group.prompt_ids) - 1 : -1, : policy.vocab_size]
            logprobs = torch.log_softmax(logits / temperature, -1).gather(-1, torch.tensor(ids)[:, None]).sum()
            total = total - advantage * logprobs * weight
    total.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


FRESH = [name for name, row in OBJECTIVES.items() if not row.critic and row.normalizer != "microbatch_tokens"]


@pytest.mark.parametrize("name", FRESH)
def test_the_gradient_of_a_fresh_policy_is_that_of_the_definition(padded_policy, name):
    groups = weighed_groups(name)
    ours, _ = gradients(padded_policy, groups, OBJECTIVES[name].loss, temperature=0.7)
    expected = reference_gradient(padded_policy, groups, temperature=0.7)
    assert ours.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(ours[parameter], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("budget", [1, 13, 40])
def test_micro_batches_do_not_change_the_gradient_or_the_metrics(policy, budget):
    groups = weighed_groups("grpo")
    whole, metrics = gradients(policy, groups, OBJECTIVES["grpo"].loss)
    cut, cut_metrics = gradients(
        policy, groups, OBJECTIVES["grpo"].loss, config=replace(CONFIG, tokens_per_microbatch=budget)
    )
    for parameter, gradient in whole.items():
        torch.testing.assert_close(cut[parameter], gradient, atol=1e-7, rtol=1e-4)
    for name in ("policy/entropy", "learner/loss", "grad/norm"):
        assert cut_metrics[name] == pytest.approx(metrics[name], rel=1e-4)


def test_gradient_checkpointing_does_not_change_the_gradient(policy):
    groups = weighed_groups("dr_grpo")
    plain, _ = gradients(policy, groups, OBJECTIVES["dr_grpo"].loss)
    again, _ = gradients(policy, groups, OBJECTIVES["dr_grpo"].loss, gradient_checkpointing=True)
    for parameter, gradient in plain.items():
        torch.testing.assert_close(again[parameter], gradient, atol=1e-7, rtol=1e-5)


def test_responses_without_advantage_can_be_left_out_when_they_are_counted(policy):
    groups = [replace(group, advantages=(0.5, 0.0, -0.5, 0.0)) for group in groups_of()]
    groups = weighed(groups, OBJECTIVES["dr_grpo"], 12)
    whole, _ = gradients(policy, groups, OBJECTIVES["dr_grpo"].loss)
    part, _ = gradients(policy, with_gradient(groups, OBJECTIVES["dr_grpo"]), OBJECTIVES["dr_grpo"].loss)
    for parameter, gradient in whole.items():
        torch.testing.assert_close(part[parameter], gradient, atol=1e-7, rtol=1e-4)


def test_scored_log_probabilities_make_the_ratio_one(policy):
    learner = Learner(policy, CONFIG, num_updates=1)
    scored = learner.score(token_mean(groups_of()))
    seen = []

    def look(tokens):
        seen.append((tokens.logprobs_BT - tokens.old_logprobs_BT).abs().max().item())
        return likelihood_loss(tokens)

    learner.update(scored, look)
    assert max(seen) < 1e-5


@pytest.mark.parametrize("budget", [1, 13, 40, 10_000])
def test_scores_are_those_of_each_response_alone_however_they_are_packed(policy, budget):
    groups = groups_of()
    learner = Learner(policy, replace(CONFIG, tokens_per_microbatch=budget), num_updates=1, with_values=True)
    scored = learner.score(groups)
    for group, found in zip(groups, scored, strict=True):
        for row in range(len(group.responses)):
            (alone,) = Learner(policy, CONFIG, num_updates=1, with_values=True).score([group.keep([row])])
            for name in ("old_logprobs", "entropies", "values"):
                assert getattr(found, name)[row] == pytest.approx(getattr(alone, name)[0], abs=1e-5)
    assert learner.score([]) == []


def test_the_clip_acts_on_the_second_update_of_a_rollout(policy):
    learner = Learner(policy, replace(CONFIG, lr=0.05), num_updates=2)
    groups = learner.score(weighed_groups("grpo"))
    first = learner.update(groups, OBJECTIVES["grpo"].loss).metrics
    second = learner.update(groups, OBJECTIVES["grpo"].loss).metrics
    assert first["policy/clip_share"] == 0.0
    assert second["policy/clip_share"] > 0.1


def test_the_divergence_to_the_frozen_reference_starts_at_zero_and_grows(policy):
    learner = Learner(policy, replace(CONFIG, lr=0.01), num_updates=2, with_reference=True)
    groups, objective = weighed_groups("grpo"), replace(OBJECTIVES["grpo"], kl_coef=0.01)
    assert learner.update(groups, objective.loss).metrics["policy/kl_reference"] == pytest.approx(0, abs=1e-6)
    assert learner.update(groups, objective.loss).metrics["policy/kl_reference"] > 1e-4


def test_how_far_the_sampler_is_from_the_learner_is_measured(policy):
    learner = Learner(policy, CONFIG, num_updates=1)
    scored = learner.score(weighed_groups("grpo"))
    same = [replace(group, sampler_logprobs=group.old_logprobs) for group in scored]
    off = [replace(g, sampler_logprobs=tuple(tuple(x + 0.1 for x in row) for row in g.old_logprobs)) for g in scored]
    metrics = gradients(policy, same, OBJECTIVES["grpo"].loss)[1]
    assert metrics["policy/kl_sampler_learner"] == pytest.approx(0, abs=1e-9)
    assert metrics["policy/sampler_ess"] == pytest.approx(1)
    metrics = gradients(policy, off, OBJECTIVES["grpo"].loss)[1]
    k3 = 2.718281828459045**-0.1 + 0.1 - 1  # x = log learner - log sampler = -0.1
    assert metrics["policy/kl_sampler_learner"] == pytest.approx(k3, rel=1e-3)
    assert metrics["policy/sampler_gap_mean"] == pytest.approx(0.1, rel=1e-4)
    assert metrics["policy/sampler_gap_max"] == pytest.approx(0.1, rel=1e-4)
    assert metrics["policy/sampler_ess"] == pytest.approx(1)  # all ratios are equal
    assert metrics["policy/corrected_share"] == 0.0


def test_a_nan_loss_names_the_problem_and_touches_nothing(policy):
    learner = Learner(policy, CONFIG, num_updates=1)
    before = copy.deepcopy(policy.model.state_dict())
    groups = token_mean(groups_of())

    def broken(tokens):
        loss, sums = likelihood_loss(tokens)
        return loss * float("nan"), sums

    with pytest.raises(NonFiniteError, match="problem problem-0, problem-1, problem-2") as caught:
        learner.update(groups, broken)
    assert len(caught.value.groups) == 3
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, before[name])
    assert all(p.grad is None for p in policy.model.parameters())


def test_a_nan_weight_blames_the_responses_it_reached(policy):
    head = policy.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(torch.randn_like(head.weight))  # untied: only inputs are bad
    learner = Learner(policy, CONFIG, num_updates=1)
    groups = [
        Group("fine", (5,), ((6, 7),), (1.0,)),
        Group("bad", (5,), ((6, 260, 7),), (1.0,)),
    ]
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[260] = float("nan")
    groups[1] = replace(groups[1], prompt_ids=(260,), responses=((6, 7),))
    with pytest.raises(NonFiniteError, match="problem bad"):
        learner.update(token_mean(groups), likelihood_loss)


def test_gradients_are_clipped_to_the_norm(policy):
    limited, metrics = gradients(
        policy, token_mean(groups_of()), likelihood_loss, config=replace(CONFIG, max_grad_norm=0.01)
    )
    norm = torch.stack([g.norm() for g in limited.values()]).norm().item()
    assert metrics["grad/norm"] > 0.01
    assert norm == pytest.approx(0.01, rel=1e-3)
    assert metrics["grad/norm_clipped"] == 0.01


def test_a_step_without_gradient_changes_no_weight(policy):
    learner = Learner(policy, CONFIG, num_updates=1)
    before = copy.deepcopy(policy.model.state_dict())
    learner.update([], OBJECTIVES["grpo"].loss)
    assert all(torch.equal(weight, before[name]) for name, weight in policy.model.state_dict().items())
    assert learner.updates_done == 1


def test_micro_batches_keep_every_response_once_and_hold_to_the_budget():
    groups = groups_of(problems=5, size=6)
    for budget in (1, 10, 25, 1000):
        batches = microbatches(groups, budget)
        pairs = [(g.problem_id, ids) for batch in batches for g in batch for ids in g.responses]
        assert pairs == [(g.problem_id, ids) for g in groups for ids in g.responses]
        for batch in batches:
            single = len(batch) == 1 and len(batch[0].responses) == 1
            assert single or sum(group.num_tokens for group in batch) <= budget


def test_an_uneven_split_keeps_all_groups_in_order():
    groups = groups_of(problems=5)
    parts = split_evenly(groups, 3)
    assert [len(part) for part in parts] == [1, 2, 2]
    assert [group for part in parts for group in part] == groups
