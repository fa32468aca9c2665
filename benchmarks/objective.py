"""What an objective and its metrics cost of a training step: every function of theirs is timed inside a real run.

python -m benchmarks.objective [--steps 8] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, print_rows, write_json
from r1zero.cli.recipes import find_recipe
from r1zero.config import TrainConfig, build, merge, read_recipe
from r1zero.objectives import Objective
from r1zero.training import learner, loop

TIMED = (
    (loop, "credited"),
    (loop, "weighed"),
    (loop, "with_gradient"),
    (loop, "with_advantages"),
    (loop, "rollout_metrics"),
    (Objective, "loss"),
    (learner, "_credit"),
    (learner, "credit_shares"),
    (learner, "update_norm"),
)
OBJECTIVES = ("dr_grpo", "grpo", "ctpo", "ppo")


def seconds_inside(names: tuple[tuple[Any, str], ...], work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds spent in each of these functions while `work` runs; nested ones count once, in the outer."""
    spent = {name: 0.0 for _, name in names}
    depth = [0]

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            depth[0] += 1
            try:
                return function(*arguments, **options)
            finally:
                depth[0] -= 1
                if depth[0] == 0:
                    spent[name] += time.perf_counter() - started

        return run

    kept = [(owner, name, getattr(owner, name)) for owner, name in names]
    try:
        for owner, name, function in kept:
            setattr(owner, name, timed(name, function))
        return spent, work()
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def measure(name: str, steps: int, threads: int) -> dict[str, Any]:
    """One short quickstart run of the objective: its share of the steps' time."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "steps": steps,
            "objective": {"name": name},
            "run": {"dir": str(Path(folder) / "run"), "threads": threads},
            "evaluation": {"every": 0, "num_problems": 1},
            "learner": {"updates_per_rollout": 2 if name == "ctpo" else 1},
        }
        config = build(TrainConfig, merge(read_recipe(find_recipe("quickstart")), overrides))
        spent, run = seconds_inside(TIMED, lambda: loop.train(config))
        whole = sum(row["speed/step_s"] for row in run.metrics[1:])
    return {"objective": name, "seconds": sum(spent.values()), "of": whole, "parts": spent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    options = parser.parse_args()
    rows = []
    for name in OBJECTIVES:
        runs = [measure(name, options.steps, options.threads) for _ in range(options.repeats)]
        middle = sorted(runs, key=lambda run: run["seconds"] / run["of"])[len(runs) // 2]
        parts = middle["parts"]
        rows.append(
            {
                "what": f"{name}: credit, loss and all metrics / whole step",
                "ours": f"{1000 * middle['seconds'] / options.steps:.1f} ms",
                "other": f"{1000 * middle['of'] / options.steps:.0f} ms",
                "ratio": middle["seconds"] / middle["of"],
                "target": "at most 0.03",
                "note": f"most in {max(parts, key=parts.__getitem__)}",
            }
        )
    facts = describe(options.threads)
    print_rows("objective", rows, facts)
    write_json(options.json, rows, facts)


if __name__ == "__main__":
    main()
