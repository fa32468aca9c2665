"""What two ranks hold and exchange, counted where PyTorch's collectives are called, beside the plan."""

import json
import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from r1zero.config import ArchitectureConfig, LearnerConfig, ShardingConfig, TrainConfig, build, nested
from r1zero.models.tiny import fresh_policy, train_tokenizer
from r1zero.objectives import OBJECTIVES
from r1zero.planning import Machine, demand_of, make_plan, movements
from r1zero.planning.shapes import shape_of
from r1zero.training.batching import Group
from r1zero.training.credit import weighed
from r1zero.training.learner import Learner

RANKS, PROMPT, RESPONSE, GROUP, PROBLEMS = 2, 10, 30, 4, 8
COLLECTIVES = {  # FSDP2's, by the name they have in this version of PyTorch
    "gather weights": ("all_gather_single", "all_gather_into_tensor"),
    "sum gradients": ("reduce_scatter_single", "reduce_scatter_tensor"),
}


def policy():
    tokenizer = train_tokenizer(["Numbers: 3, 8, 5\nTarget: 23\n3 * 8 = 24\nAnswer: 3 * 8"], 300)
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=3, num_heads=4, num_kv_heads=2, intermediate_size=48, vocab_size=len(tokenizer)
    )
    return fresh_policy(shape, tokenizer, seed=0)


def settings():
    return {
        "problems_per_step": PROBLEMS, "responses_per_problem": GROUP, "sampling.max_tokens": RESPONSE,
        "learner.dtype": "float32", "learner.device": "cpu",
        "learner.tokens_per_microbatch": PROMPT + GROUP * RESPONSE,
    }  # fmt: skip


def learn(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    moved = dict.fromkeys(COLLECTIVES, 0)

    def counting(kind, call):
        def counted(*args, **options):
            tensors = [value for value in (*args, *options.values()) if isinstance(value, torch.Tensor)]
            larger = max(tensors, key=torch.Tensor.numel)
            moved[kind] += larger.nbytes * (RANKS - 1) // RANKS
            return call(*args, **options)

        return counted

    for kind, names in COLLECTIVES.items():
        name = next(name for name in names if hasattr(dist, name))
        setattr(dist, name, counting(kind, getattr(dist, name)))
    config = build(TrainConfig, nested(settings()))
    assert isinstance(config.learner, LearnerConfig)
    learner = Learner(policy(), config.learner, num_updates=1, sharding=ShardingConfig(weights="full"))
    ids = tuple(range(1, RESPONSE + 1))
    own = [Group(str(p), ids[:PROMPT], (ids,) * GROUP, (1.0, -1.0, 0.5, -0.5)) for p in range(PROBLEMS // RANKS)]
    learner.update(weighed(own, OBJECTIVES["dr_grpo"], RESPONSE), OBJECTIVES["dr_grpo"].loss)
    held = sum(parameter.to_local().nbytes for parameter in learner.parameters)
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump(moved | {"weights": held}, file)
    dist.destroy_process_group()


def test_two_ranks_hold_and_exchange_what_was_planned(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(learn, (port, str(tmp_path)), nprocs=RANKS)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(RANKS)]
    shape = shape_of("x", policy().model.config.to_dict())
    demand = demand_of(
        build(TrainConfig, nested(settings())), Machine(gpus=RANKS), reference=False, scores=False, prompt_tokens=PROMPT
    )
    assert demand.microbatches == PROBLEMS // RANKS
    moved = {movement.what: movement.bytes for movement in movements(shape, demand)}
    weights = next(part for part in make_plan(shape, demand).parts if part.name == "weights").sampling
    for rank in found:
        for what, planned in [*((kind, moved[kind]) for kind in COLLECTIVES), ("weights", weights)]:
            assert 0.99 < planned / rank[what] < 1.01, (what, planned, rank[what])  # parts are rounded up to whole rows
