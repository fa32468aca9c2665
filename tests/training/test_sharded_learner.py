"""Learners whose weights are divided among real processes (FSDP2 over gloo) make the gradients and metrics of one."""

import json
import os
import socket
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from test_two_ranks import CONFIG, groups_of_the_step, small_policy, what_a_lost_number_raises

from r1zero.config import ShardingConfig
from r1zero.objectives import OBJECTIVES
from r1zero.training.checkpoint import load_checkpoint, save_checkpoint
from r1zero.training.credit import credited, weighed, with_gradient
from r1zero.training.learner import Learner
from r1zero.training.ranks import check_alike
from r1zero.training.sharding import copy_weights, is_sharded

FULL = ShardingConfig(weights="full")
ROWS = {
    "dr_grpo": OBJECTIVES["dr_grpo"],
    "ppo": OBJECTIVES["ppo"],  # has a value head
    "kl": replace(OBJECTIVES["dr_grpo"], kl_coef=0.1),  # has a reference
}
IDLE = ("ppo", "kl")  # also with a rank that has nothing to compute
UPDATES = 3
RECOMPUTED = {"gradient_checkpointing": True, "tokens_per_microbatch": 20}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def new_learner(name, gradient_checkpointing=False, **settings):
    torch.manual_seed(0)
    objective = ROWS[name]
    policy = small_policy()
    return Learner(
        policy,
        replace(CONFIG, **settings),
        num_updates=UPDATES,
        with_values=objective.critic,
        with_reference=objective.needs_reference,
        max_tokens=12,
        gradient_checkpointing=gradient_checkpointing,
        sharding=FULL,
    )


def one_update(learner, name, groups):
    objective = ROWS[name]
    groups = learner.score(groups)
    groups = weighed(credited(groups, objective), objective, 12)
    return learner.update(with_gradient(groups, objective), objective.loss).metrics


def weights_of(model):
    whole = small_policy().model
    copy_weights(model.named_parameters(), whole)
    return {name: parameter.detach().clone() for name, parameter in whole.named_parameters()}


def several_updates(name, groups, **settings):
    """Gradient of the first optimizer step as Adam's first moment keeps it, all metrics, and the weights at the end."""
    learner = new_learner(name, **settings)
    metrics = [one_update(learner, name, groups)]
    names = {parameter: key for key, parameter in learner.through.named_parameters()}
    moments = {}
    for parameter, state in learner.optimizer.state.items():
        moment = state["exp_avg"]
        moments[names[parameter]] = (moment.full_tensor() if is_sharded(learner.through) else moment).clone()
    metrics += [one_update(learner, name, groups) for _ in range(UPDATES - 1)]
    learner.refresh_reference()  # the same weights again
    weights = weights_of(learner.reference.model if learner.reference else learner.policy.model)
    return {"moments": moments, "metrics": metrics, "weights": weights}


def rank_main(rank, ranks, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    try:
        {2: as_two, 3: as_three}[ranks](rank, folder)
    finally:
        dist.destroy_process_group()


def as_two(rank, folder):
    groups = groups_of_the_step()
    own = groups[:2] if rank == 0 else groups[2:]
    results = {name: several_updates(name, own) for name in ROWS}
    results |= {f"idle {name}": several_updates(name, groups if rank else []) for name in IDLE}
    results["recomputed"] = several_updates("dr_grpo", own, **RECOMPUTED)
    results["bfloat16"] = several_updates("dr_grpo", own, dtype="bfloat16")
    results["lost"] = what_a_lost_number_raises(own, rank, FULL)
    try:
        check_alike({"torch": "2.13.0", "seed": rank})
    except ValueError as error:
        results["differs"] = str(error)
    learner = new_learner("ppo")
    local = sum(parameter.to_local().numel() for parameter in learner.parameters)
    results["share"] = local / sum(parameter.numel() for parameter in learner.parameters)
    one_update(learner, "ppo", own)
    save_checkpoint(folder / "run", 1, learner.policy, learner, {"reference": None}, keep=1)
    results["then"] = one_update(learner, "ppo", own)
    torch.save(results, folder / f"two-{rank}.pt")


def as_three(rank, folder):
    """Goes on from what two ranks wrote, and from what one wrote."""
    own = groups_of_the_step()[rank::3]
    results = {}
    for run in ("run", "alone"):
        learner = new_learner("ppo")
        load_checkpoint(folder / run, 1, learner.policy, learner)
        results[run] = {"then": one_update(learner, "ppo", own), "weights": weights_of(learner.policy.model)}
    torch.save(results, folder / f"three-{rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    mp.spawn(rank_main, (2, free_port(), folder), nprocs=2)
    return folder


@pytest.fixture(scope="module")
def of_two_ranks(folder):
    return [torch.load(folder / f"two-{rank}.pt", weights_only=True) for rank in (0, 1)]


def same(metrics, others, rel=1e-3):
    assert metrics.keys() == others.keys()
    for key, number in metrics.items():
        assert others[key] == pytest.approx(number, rel=rel, abs=1e-6, nan_ok=True), key


@pytest.mark.parametrize("name", [*ROWS, *(f"idle {name}" for name in IDLE), "recomputed"])
def test_divided_weights_get_the_gradients_the_metrics_and_the_steps_of_whole_ones(of_two_ranks, name):
    settings = RECOMPUTED if name == "recomputed" else {}
    alone = several_updates(name.split()[-1] if name != "recomputed" else "dr_grpo", groups_of_the_step(), **settings)
    for rank in of_two_ranks:
        for kind, tolerance in (("moments", 1e-6), ("weights", 1e-5)):
            assert rank[name][kind].keys() == alone[kind].keys()
            for key, value in alone[kind].items():
                torch.testing.assert_close(rank[name][kind][key], value, atol=tolerance, rtol=1e-4)
        for metrics, others in zip(alone["metrics"], rank[name]["metrics"], strict=True):
            same(metrics, others)


def test_layers_in_bfloat16_have_nearly_the_gradient_of_float32(of_two_ranks):
    def flat(result):
        return torch.cat([value.flatten() for _, value in sorted(result["moments"].items())])

    exact, rounded = (flat(of_two_ranks[0][name]) for name in ("dr_grpo", "bfloat16"))
    assert 0.99 < torch.cosine_similarity(exact, rounded, dim=0) < 1 - 1e-7


def test_each_of_two_ranks_holds_half_of_the_numbers(of_two_ranks):
    shares = [rank["share"] for rank in of_two_ranks]
    assert sum(shares) == pytest.approx(1)
    assert max(shares) < 0.51


def test_a_number_lost_on_one_rank_stops_both_in_the_middle_of_what_they_compute_together(of_two_ranks):
    assert "problem problem-2" in of_two_ranks[1]["lost"]
    assert of_two_ranks[0]["lost"].startswith("on another rank") and "problem problem-2" in of_two_ranks[0]["lost"]


def test_ranks_that_were_started_differently_say_in_what(of_two_ranks):
    message = "rank 1 has seed 1, rank 0 has 0: all ranks of a run need the same packages and the same settings"
    assert [rank["differs"] for rank in of_two_ranks] == [message, message]


def test_what_two_ranks_wrote_one_and_three_go_on_from_and_three_from_what_one_wrote(folder, of_two_ranks):
    alone = new_learner("ppo")
    load_checkpoint(folder / "run", 1, alone.policy, alone)
    save_checkpoint(folder / "alone", 1, alone.policy, alone, {"reference": None}, keep=1)
    then = one_update(alone, "ppo", groups_of_the_step())
    same(of_two_ranks[0]["then"], then)
    mp.spawn(rank_main, (3, free_port(), folder), nprocs=3)
    for rank in range(3):
        for result in torch.load(folder / f"three-{rank}.pt", weights_only=True).values():
            same(then, result["then"])
            for name, weight in weights_of(alone.policy.model).items():
                torch.testing.assert_close(result["weights"][name], weight, atol=1e-5, rtol=1e-4)


def test_a_checkpoint_of_ranks_holds_a_model_of_transformers_and_no_pickle(folder, of_two_ranks):
    checkpoint = folder / "run" / "checkpoints" / "step-000001"
    kinds = {path.suffix for path in checkpoint.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".jinja"}
    assert len(list((checkpoint / "optimizer").iterdir())) == 2
    assert json.loads((checkpoint / "state.json").read_text())["learner"] == {
        "updates_done": 1, "steps": 1, "reference_moved": False,
    }  # fmt: skip


def test_a_damaged_part_is_named_with_the_remedy(folder, of_two_ranks):
    broken = folder / "broken"
    mp_folder = folder / "run" / "checkpoints" / "step-000001"
    target = broken / "checkpoints" / "step-000001"
    for path in mp_folder.rglob("*"):
        if path.is_file():
            (target / path.relative_to(mp_folder)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(mp_folder)).write_bytes(path.read_bytes())
    [first, _] = sorted((target / "optimizer").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    learner = new_learner("ppo")
    with pytest.raises(ValueError, match=r"is damaged .*: remove it to continue from the one before"):
        load_checkpoint(broken, 1, learner.policy, learner)
