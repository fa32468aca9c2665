"""A Ray cluster of this machine: rollouts against workers, what asynchrony overlaps, what moving weights costs.

    python -m benchmarks.cluster [--workers 1 2 3 4] [--steps 12] [--sizes 1 10 100] [--only workers overlap weights]

`workers`: tokens a second of the shipped tiny model, one CPU thread a worker; more workers than cores share them.  So
the same once more with workers that wait as long as one task took alone instead of computing, and answer with what was
sampled then: what is lost against the number of workers is the cluster's own share (tasks, answers, threads).
`overlap`: seconds a step and how busy each side is, synchronous and asynchronous, one worker and the learner.
`weights`: seconds from the learner's weights to a worker that samples with them, in float32, on one node.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe, print_rows, write_json
from r1zero.cluster import train
from r1zero.cluster.connection import connected
from r1zero.cluster.driver import started_workers
from r1zero.cluster.worker import Setup, Weights, plain_weights
from r1zero.cluster.workers import Workers
from r1zero.config import ClusterConfig, EngineConfig, RewardConfig, SamplingConfig, TrainConfig, build
from r1zero.engines import build_engine
from r1zero.evaluation.ask import Asked, ask
from r1zero.models.load import load_policy
from r1zero.records import Problem
from r1zero.store import read_metrics
from r1zero.tasks import build_task
from r1zero.tasks.templates import Template, load_template

MODEL = "tiny-search"
PROBLEMS, SAMPLES, PER_TASK = 32, 8, 32  # a task is four problems of eight responses
ROUNDS = 3
HOW: dict[str, Any] = {
    "samples": SAMPLES,
    "sampling": SamplingConfig(max_tokens=256),
    "rewards": RewardConfig(),
    "step": 0,
}


@dataclass(frozen=True)
class Wait:
    """A task that takes `seconds` and computes nothing; its answer is one that was sampled before."""

    seconds: float
    answer: Asked

    def __call__(self, engine: Any, policy: Any) -> Asked:
        time.sleep(self.seconds)
        return self.answer


def setup() -> Setup:
    return Setup(MODEL, EngineConfig(max_concurrent=PER_TASK), "cpu", 1, str(Path.cwd()))


def tokens_per_second(asked: Callable[[int], Asked]) -> float:
    """The median over rounds of sampled tokens a second, after one round that is not counted."""
    rates = []
    for round_ in range(ROUNDS + 1):
        started = time.perf_counter()
        tokens = sum(rollout.response.num_tokens for rollout in asked(round_).rollouts)
        rates.append(tokens / (time.perf_counter() - started))
    return statistics.median(rates[1:])


def workers_rows(counts: Sequence[int]) -> list[dict[str, Any]]:
    """Throughput against the number of workers, computing and waiting."""
    template = load_template("native")
    problems = build_task(build(TrainConfig, {}).task, 0).problems("train", 0, PROBLEMS)
    torch.set_num_threads(1)
    policy = load_policy(MODEL, "cpu")
    engine = build_engine(EngineConfig(max_concurrent=PER_TASK), policy)
    part = problems[: PER_TASK // SAMPLES]
    ask(engine, policy, template, part, address=("warm",), **HOW)
    started = time.perf_counter()
    one = ask(engine, policy, template, part, address=("one",), **HOW)
    seconds = time.perf_counter() - started
    rows: list[dict[str, Any]] = []
    for count in counts:
        config = ClusterConfig(name="ray", address="local", workers=count)
        with connected(config), started_workers(setup(), config) as (actors, _):
            workers = Workers(actors, responses_per_task=PER_TASK)
            workers.load_weights(policy.model.named_parameters(), 0)
            computed = tokens_per_second(partial(sampling, workers, problems, template))
            waited = tokens_per_second(partial(waiting, workers, Wait(seconds, one)))
            workers.close()
        rows.append({"workers": count, "tokens/s": computed, "waiting tokens/s": waited})
    for row in rows:
        row["of workers x one"] = row["tokens/s"] / rows[0]["tokens/s"] / row["workers"] * rows[0]["workers"]
        ideal = row["workers"] * sum(r.response.num_tokens for r in one.rollouts) / seconds
        row["waiting, of ideal"] = row["waiting tokens/s"] / ideal
    return rows


def sampling(workers: Workers, problems: Sequence[Problem], template: Template, round_: int) -> Asked:
    return workers.begin(template, problems, None, address=(round_,), **HOW)()


def waiting(workers: Workers, task: Wait, round_: int) -> Asked:
    """As many waiting tasks as those of `sampling`, done by whoever is free."""
    done = workers.collect([workers.send(task, PER_TASK) for _ in range(PROBLEMS * SAMPLES // PER_TASK)])
    return Asked([group for one in done for group in one.value.rollouts_PG], (), 1.0, 1.0)


def overlap_rows(steps: int) -> list[dict[str, Any]]:
    """Synchronous beside asynchronous; the first two steps are warm-up."""
    rows = []
    for mode in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            settings = {
                "steps": steps,
                "problems_per_step": 8,
                "run": {"dir": f"{folder}/run", "threads": 1},
                "learner": {"lr": 1e-4},
                "evaluation": {"every": 0, "num_problems": 8, "max_tokens": 64},
                "checkpoint": {"every": 0},
                "groups": {"degenerate": "keep"},
                "objective": {"name": "grpo", "kl_coef": 1e-3},  # every response is computed
                "cluster": {"name": "ray", "address": "local", "workers": 1, "asynchronous": mode},
            }
            run = train(build(TrainConfig, settings))
            metrics = read_metrics(run.dir)[3:]
        median = {name: statistics.median(row[name] for row in metrics) for name in metrics[-1] if name in SHOWN}
        rows.append({"mode": "asynchronous" if mode else "synchronous"} | {SHOWN[n]: v for n, v in median.items()})
    return rows


SHOWN = {
    "speed/step_s": "step s",
    "speed/learn_s": "learn s",
    "cluster/worker_busy_share": "worker busy",
    "cluster/learner_busy_share": "learner busy",
    "cluster/publish_s": "publish s",
    "cluster/load_s": "load s",
    "policy/staleness_mean": "steps behind",
}


def weights_rows(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """From named tensors to a worker that has them, in a process of its own on the same node."""
    import ray

    config = ClusterConfig(name="ray", address="local", workers=1)
    rows = []
    with connected(config):
        keeper = ray.remote(Keeper).options(num_cpus=1).remote()
        for millions in sizes:
            named = [(f"layer-{n}", torch.randn(1000, 1000)) for n in range(millions)]
            times: list[tuple[float, float]] = []
            for version in range(ROUNDS + 1):
                begin = time.perf_counter()
                held = Weights(version, (ray.put(plain_weights(iter(named))),))
                put = time.perf_counter()
                ray.get(keeper.take.remote(held))
                times.append((put - begin, time.perf_counter() - put))
            publish, load = (statistics.median(t[side] for t in times[1:]) for side in (0, 1))
            size = 4e6 * millions
            rows.append(
                {"M parameters": millions, "publish s": publish, "load s": load, "GB/s": size / (publish + load) / 1e9}
            )
    return rows


class Keeper:
    """A process that copies weights over its own, as a worker does."""

    def take(self, weights: Weights) -> None:
        import ray

        from r1zero.cluster.worker import tensors_of

        torch.set_num_threads(1)
        own = self.__dict__.setdefault("own", {})
        for name, tensor in tensors_of(ray.get(weights.references[0])):
            own.setdefault(name, torch.empty_like(tensor)).copy_(tensor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 3, 4], help="numbers of workers")
    parser.add_argument("--steps", type=int, default=12, help="training steps of each mode")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 10, 100], help="millions of parameters")
    parser.add_argument("--only", nargs="+", default=["workers", "overlap", "weights"], help="parts to measure")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    options = parser.parse_args()
    facts = describe(threads=1)
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "workers": lambda: workers_rows(options.workers),
        "overlap": lambda: overlap_rows(options.steps),
        "weights": lambda: weights_rows(options.sizes),
    }
    rows = []
    for name in options.only:
        found = parts[name]()
        print_rows(name, found, facts)
        rows += [{"part": name} | row for row in found]
        write_json(options.json, rows, facts)  # so that what follows may fail


if __name__ == "__main__":
    main()
