"""Two real processes, each with half of a step's groups, make the gradient and the metrics of one."""

import math
import os
import random
import socket
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from r1zero.config import ArchitectureConfig, LearnerConfig
from r1zero.models.tiny import fresh_policy, train_tokenizer
from r1zero.objectives import OBJECTIVES
from r1zero.training.batching import Group
from r1zero.training.credit import credited, weighed, with_gradient, with_shadows
from r1zero.training.learner import WHOLE, Learner, NonFiniteError

CONFIG = LearnerConfig(lr=1e-3, dtype="float32", max_grad_norm=0.05, tokens_per_microbatch=40)
NAMES = [name for name in OBJECTIVES if name != "bnpo"]  # it depends on the split, which is its defect
IDLE_RANK = ("dr_grpo", "balanced_aggregation", "reinforce_pp_baseline", "sppo", "ppo")  # each of another code path
SHADOWS = {name: OBJECTIVES[name] for name in ("grpo", "dapo")}


def small_policy():
    tokenizer = train_tokenizer(["Numbers: 3, 8, 5\nTarget: 23\n3 * 8 = 24\nAnswer: 3 * 8"], 300)
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=1, num_heads=2, num_kv_heads=1, intermediate_size=48, vocab_size=len(tokenizer)
    )
    return fresh_policy(shape, tokenizer, seed=0)


def groups_of_the_step():
    rng = random.Random(0)

    def ids(count):
        return tuple(rng.randrange(250) for _ in range(count))

    made = []
    for p in range(5):
        responses = tuple(ids(rng.randint(1, 9)) for _ in range(4))
        rewards = tuple(float(rng.random() < 0.4) for _ in range(4))
        correct = tuple(reward > 0 for reward in rewards)
        made.append(Group(f"problem-{p}", ids(3), responses, (0.0,) * 4, rewards=rewards, correct=correct))
    return made


def one_update(name, groups):
    """Gradient and metrics of one optimizer step on this rank's groups, after scoring and a first step."""
    torch.manual_seed(0)
    policy, objective = small_policy(), OBJECTIVES[name]
    learner = Learner(policy, CONFIG, num_updates=2, with_values=objective.critic, max_tokens=12)
    groups = learner.score(groups)
    groups = [replace(g, sampler_logprobs=g.old_logprobs) for g in groups]
    groups = weighed(credited(groups, objective), objective, 12)
    groups = with_shadows(groups, list(SHADOWS.values()), 12)
    learned = with_gradient(groups, objective, list(SHADOWS.values()))
    learner.update(learned, objective.loss)
    kept, metrics = {}, {}
    step = learner.optimizer.step

    def keep(*arguments, **options):
        kept.update({n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None})
        return step(*arguments, **options)

    learner.optimizer.step = keep
    losses = {shadow: row.loss for shadow, row in SHADOWS.items()} if name == "dr_grpo" else {}
    metrics = learner.update(learned, objective.loss, shadows=losses).metrics
    return kept, metrics


def what_a_lost_number_raises(groups, rank, sharding=WHOLE):
    """What `update` raises on this rank when the sampler's log-probabilities of rank 1's first response are NaN."""
    objective = replace(OBJECTIVES["dr_grpo"], correction="token_truncate")
    learner = Learner(small_policy(), CONFIG, num_updates=1, sharding=sharding)
    groups = [replace(g, sampler_logprobs=g.old_logprobs) for g in learner.score(groups)]
    if rank == 1:
        first, *others = groups[0].sampler_logprobs
        spoiled = ((math.nan,) * len(first), *others)
        groups[0] = replace(groups[0], sampler_logprobs=spoiled)
    try:
        learner.update(weighed(credited(groups, objective), objective, 12), objective.loss)
    except NonFiniteError as error:
        return str(error)
    return "nothing"


def rank_main(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    own = groups_of_the_step()[:2] if rank == 0 else groups_of_the_step()[2:]
    results = {name: one_update(name, own) for name in NAMES}
    results |= {f"idle {name}": one_update(name, groups_of_the_step() if rank else []) for name in IDLE_RANK}
    results["lost"] = what_a_lost_number_raises(own, rank)
    torch.save(results, folder / f"rank-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(rank_main, (port, folder), nprocs=2)
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("name", [*NAMES, *(f"idle {name}" for name in IDLE_RANK)])
def test_two_ranks_make_the_gradient_and_the_metrics_of_one_also_when_one_has_no_groups(of_two_ranks, name):
    gradient, metrics = one_update(name.removeprefix("idle "), groups_of_the_step())
    for rank in of_two_ranks:
        other_gradient, other_metrics = rank[name]
        assert gradient.keys() == other_gradient.keys()
        for parameter, value in gradient.items():
            torch.testing.assert_close(other_gradient[parameter], value, atol=1e-6, rtol=1e-4)
        assert other_metrics.keys() == metrics.keys()
        for key, number in metrics.items():
            assert other_metrics[key] == pytest.approx(number, rel=1e-3, abs=1e-6, nan_ok=True), key


def test_shadow_gradients_are_added_over_ranks_before_they_are_compared(of_two_ranks):
    _, metrics = one_update("dr_grpo", groups_of_the_step())
    for rank in of_two_ranks:
        for shadow in SHADOWS:
            cosine = f"grad/cosine_{shadow}"
            assert 0 < metrics[cosine] < 1 - 1e-4  # another gradient, so a rank's own part would show
            assert rank["dr_grpo"][1][cosine] == pytest.approx(metrics[cosine], rel=1e-5)


def test_a_number_lost_on_one_rank_stops_both_instead_of_leaving_one_waiting(of_two_ranks):
    assert "problem problem-2" in of_two_ranks[1]["lost"]
    assert "another rank" in of_two_ranks[0]["lost"]
