"""What each of several ranks holds and moves where weights are divided (FSDP2), and how long an update takes.

    python -m benchmarks.ranks [--ranks 1 2 4] [--hidden 128] [--layers 4] [--vocab 8192] [--json FILE]

A Qwen2.5-shaped model with random weights over gloo, on CPU.  Bytes are counted on the tensors that a rank has; what is
moved is counted where PyTorch's collectives are called.  Ranks share the machine's cores, one thread each: times show
what dividing costs here, not what it gains on GPUs of their own.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks.learner import random_groups, random_policy
from benchmarks.machine import describe, print_rows, write_json
from r1zero.config import LearnerConfig, ShardingConfig
from r1zero.objectives import OBJECTIVES
from r1zero.training.credit import weighed
from r1zero.training.learner import Learner
from r1zero.training.parts import write_learner
from r1zero.training.sharding import unsharded
from r1zero.training.steps import own_part

REPEATS = 4
MOMENTS = ("exp_avg", "exp_avg_sq")
COLLECTIVES = {  # what FSDP2 calls, by the name it has in this version of PyTorch
    "gathered": ("all_gather_single", "all_gather_into_tensor"),
    "reduced": ("reduce_scatter_single", "reduce_scatter_tensor"),
}


def num_bytes(tensors: Any) -> int:
    return sum(own_part(tensor).numel() * tensor.element_size() for tensor in tensors)


def measure(rank: int, number: int, port: int, folder: str, shape: tuple[int, int, int], weights: str) -> None:
    """One rank: what it holds after an update, and the median time of an update, a publication and a checkpoint."""
    torch.set_num_threads(1)
    if number > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        dist.init_process_group("gloo", rank=rank, world_size=number)
    moved = count_moved()
    hidden, layers, vocab = shape
    policy = random_policy(vocab, hidden, layers)
    config = LearnerConfig(dtype="float32", device="cpu", tokens_per_microbatch=4096)  # one micro-batch for any
    learner = Learner(policy, config, num_updates=9, sharding=ShardingConfig(weights=weights))  # type: ignore[arg-type]
    groups = random_groups(12, 4, 20, [60, 44, 52, 40], vocab)[rank::number]
    groups = weighed(groups, OBJECTIVES["dr_grpo"], 64)
    times: dict[str, list[float]] = {"update": [], "publish": []}
    for _ in range(REPEATS):
        moved.clear()
        started = time.perf_counter()
        learner.update(groups, OBJECTIVES["dr_grpo"].loss)
        times["update"].append(time.perf_counter() - started)
        in_update = dict(moved)
        started = time.perf_counter()
        for _name, _weight in unsharded(policy.model.named_parameters()):
            pass
        times["publish"].append(time.perf_counter() - started)
    started = time.perf_counter()
    if learner.sharded:
        write_learner(Path(folder) / f"{number}-{weights}", learner)
    held = {
        "weights": num_bytes(learner.parameters),
        "optimizer": num_bytes(state[name] for state in learner.optimizer.state.values() for name in MOMENTS),
        "update": statistics.median(times["update"][1:]),
        "publish": statistics.median(times["publish"][1:]),
        "checkpoint": time.perf_counter() - started,
        "gathered": in_update.get("gathered", 0),
        "reduced": in_update.get("reduced", 0),
    }
    torch.save(held, Path(folder) / f"{number}-{weights}-{rank}.pt")
    if number > 1:
        dist.destroy_process_group()


def count_moved() -> Counter[str]:
    """Bytes that this rank receives in FSDP2's collectives from now on."""
    moved: Counter[str] = Counter()
    for kind, names in COLLECTIVES.items():
        name = next(name for name in names if hasattr(dist, name))
        call = getattr(dist, name)

        def counted(*given: Any, _call: Any = call, _kind: str = kind, **named: Any) -> Any:
            sizes = [t.numel() * t.element_size() for t in (*given, *named.values()) if isinstance(t, torch.Tensor)]
            moved[_kind] += max(sizes) - max(sizes) // dist.get_world_size()
            return _call(*given, **named)

        setattr(dist, name, counted)
    return moved


def row(number: int, weights: str, shape: tuple[int, int, int], folder: str) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(measure, (number, port, folder, shape, weights), nprocs=number)
    ranks = [torch.load(Path(folder) / f"{number}-{weights}-{rank}.pt", weights_only=True) for rank in range(number)]
    most = {name: max(rank[name] for rank in ranks) for name in ranks[0]}
    mega = 2**20
    return {
        "ranks": number,
        "sharding.weights": weights if number > 1 else "",
        "weights MiB": most["weights"] / mega,
        "gradients MiB": most["weights"] / mega,
        "optimizer MiB": most["optimizer"] / mega,
        "gathered MiB/update": most["gathered"] / mega,
        "reduced MiB/update": most["reduced"] / mega,
        "update s": most["update"],
        "publish s": most["publish"],
        "parts written s": most["checkpoint"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=8_192)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    options = parser.parse_args()
    shape = (options.hidden, options.layers, options.vocab)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(number, "full", shape, folder) for number in options.ranks]
    facts = describe(1)
    print_rows("weights divided among ranks, most of any rank", rows, facts)
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
