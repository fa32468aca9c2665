"""`r1zero train`: one run, or one a seed."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1zero.cli import cluster
from r1zero.cli.ranks import is_rank
from r1zero.cli.recipes import recipe_name, resolve
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import TrainConfig

if TYPE_CHECKING:
    from r1zero.training.run import Run


def run(arguments: Arguments) -> int:
    """Train, report, and say where; 1 when a run did not get to its last step."""
    arguments = cluster.with_cluster(arguments)
    config = resolve(VERB, arguments)
    recipe = recipe_name(arguments.positionals[0] if arguments.positionals else VERB.default_recipe)
    configs = one_a_seed(config, recipe, arguments.count("seeds", 1))
    if is_rank() or arguments.count("ranks", 1) > 1:
        return run_as_ranks(configs, arguments)
    if len(configs) == 1:
        arguments.count("parallel", 1)  # one run is one at a time, whatever it says, but what it says must be right
        runs = [train_and_report(configs[0], f"{config.objective.name} seed {config.seed}")]
    else:
        runs = train_together(configs, arguments.count("parallel", 0) or None)
    show(runs, as_json=arguments.has("json"))
    return 0 if all(run.finished for run in runs) else 1


def run_as_ranks(configs: list[TrainConfig], arguments: Arguments) -> int:
    """One run by several processes: is one of them, or starts them where torchrun has not."""
    from r1zero.cli.ranks import start_ranks
    from r1zero.training.ranks import check_devices, is_first
    from r1zero.training.run import check_directory
    from r1zero.training.shares import check_shares

    if len(configs) > 1:
        raise ValueError("--seeds with several ranks: they train one run; give one --seed at a time")
    [config] = configs
    if is_rank():
        if arguments.has("ranks"):
            raise ValueError("--ranks under torchrun, which has started the ranks already: leave it out")
        finished = train_and_report(config, f"{config.objective.name} seed {config.seed}", quiet=not is_first())
        if is_first():
            show([finished], as_json=arguments.has("json"))
        return int(is_first() and not finished.finished)
    number = arguments.count("ranks", 1)
    check_shares(config, number)
    check_devices(config.learner.device, number)
    check_directory(Path(config.run.dir), config)
    return start_ranks(
        number,
        ["train", *words_of(arguments, config)],
        continues=f"the same command continues {config.run.dir} from its last checkpoint",
    )


def words_of(arguments: Arguments, config: TrainConfig) -> list[str]:
    """The command line again, for a rank; where it trains is decided already."""
    overrides = {**arguments.overrides, "run.dir": config.run.dir}
    knobs = [f"--{key}={value}" for key, value in overrides.items()]
    return [*arguments.positionals, *knobs, *(["--json"] if arguments.has("json") else [])]


def one_a_seed(config: TrainConfig, recipe: str, seeds: int) -> list[TrainConfig]:
    """The config with its directory decided; with several seeds one config each, in DIR/seed-K."""
    name = f"runs/{recipe}-{config.objective.name}"
    if seeds == 1:
        return [with_directory(config, config.seed, config.run.dir or f"{name}-seed{config.seed}")]
    home = config.run.dir or name
    return [with_directory(config, seed, f"{home}/seed-{seed}") for seed in range(config.seed, config.seed + seeds)]


def with_directory(config: TrainConfig, seed: int, directory: str) -> TrainConfig:
    return dataclasses.replace(config, seed=seed, run=dataclasses.replace(config.run, dir=directory))


def train_and_report(config: TrainConfig, title: str, *, quiet: bool = False) -> Run:
    """One run with live progress, and its HTML page when it has got to the end; `quiet` is only the run."""
    from r1zero.cluster import train
    from r1zero.reports.console import TrainingProgress

    if quiet:
        return train(config)

    with TrainingProgress(config.steps, title) as progress:
        finished = train(config, progress)
    if finished.finished:
        write_page(finished.dir)
    return finished


def train_together(configs: list[TrainConfig], parallel: int | None) -> list[Run]:
    """Several runs with a line of progress each, and an HTML page for every one that has got to the end."""
    from r1zero.experiments.launch import run_all
    from r1zero.reports.runs import RunsProgress

    with RunsProgress() as progress:
        runs = run_all(configs, parallel=parallel, progress=progress)
    for run in runs:
        page, metrics = run.dir / "report.html", run.dir / "metrics.jsonl"
        if run.finished and not (page.exists() and page.stat().st_mtime >= metrics.stat().st_mtime):
            write_page(run.dir)
    return runs


def write_page(run_dir: Path) -> None:
    """RUN/report.html; what goes wrong there costs a line, not the run."""
    from r1zero.reports.html import write_report

    try:
        write_report([run_dir], run_dir / "report.html")
    except (ValueError, OSError) as error:
        print(f"r1zero: no report for {run_dir}: {error}", file=sys.stderr)


def show(runs: list[Run], *, as_json: bool) -> None:
    """Held-out accuracy before and after, and where the results are."""
    from r1zero.reports.console import print_table

    results = [result for run in runs for result in accuracies(run)]
    if as_json:
        print_table(list(results[0]) if results else [], [list(result.values()) for result in results], json=True)
        return
    hidden = ("run", "report") if len(runs) == 1 else ("report",)
    columns = [name for name in results[0] if name not in hidden] if results else []
    short = [result | {"run": Path(result["run"]).name} for result in results]
    print_table(columns, [[result[name] for name in columns] for result in short])
    show_subtasks(runs)
    for run in runs:
        page = run.dir / "report.html"
        if run.dir.exists():  # it does not where the run was never started
            print(f"{page if page.exists() else run.dir}")


def show_subtasks(runs: list[Run]) -> None:
    """Each sub-task before and after, beside what is reached without looking; of several runs their mean and change."""
    from r1zero.reports.console import print_table
    from r1zero.reports.subtasks import gains, subtask_rows
    from r1zero.statistics.intervals import show_p

    metrics = [run.metrics for run in runs if run.finished]
    keys = dict.fromkeys(key for rows in metrics for row in rows for key in row if key.endswith("/subtask/total"))
    for suite in (key.split("/")[1] for key in keys):
        found = [subtask_rows(rows, suite) for rows in metrics]
        print()
        if len(found) == 1:
            columns = ["sub-task", "before", "after", "chance", "prior", "blank", "read"]
            table = [[r.name, r.before, r.after, r.chance, r.prior, r.blank, r.read] for r in found[0]]
        else:
            print(f"{suite}, means of {len(found)} runs; their change with its 95 % interval, runs as units")
            columns = ["sub-task", "before", "after", "change", "p", "chance", "prior", "blank"]
            table = [
                [g.name, g.before, g.after, g.gain, show_p(g.p_value), g.chance, g.prior, g.blank] for g in gains(found)
            ]
        print_table(columns, table)


def accuracies(run: Run) -> list[dict[str, Any]]:
    """One row a suite: where, how far, and the first and last held-out accuracy."""
    from r1zero.statistics.intervals import Interval

    if not (run.dir / "metrics.jsonl").exists():
        return []  # failed, or was stopped, before its first line
    evaluated = [row for row in run.metrics if any(key.startswith("eval/") for key in row)]
    suites = [key.split("/")[1] for key in evaluated[0] if key.endswith("/accuracy")] if evaluated else []
    rows = []
    for suite in suites:
        ends = ("accuracy", "accuracy_low", "accuracy_high")
        before, after = (
            Interval(*(row.get(f"eval/{suite}/{end}", math.nan) for end in ends))
            for row in (evaluated[0], evaluated[-1])
        )
        where = {"run": str(run.dir), "steps": run.steps_done, "suite": suite}
        page = run.dir / "report.html"
        rows.append(
            where | {"accuracy before": before, "accuracy after": after, "report": str(page) if page.exists() else None}
        )
    return rows


VERB = Verb(
    name="train",
    summary="reinforcement learning of a base model with rule-checked rewards",
    usage="[RECIPE] [--section.key VALUE ...]",
    run=run,
    positionals=(0, 1),
    options=(
        Option("seeds", "N", "train N runs, of seeds seed, seed+1, ..., into DIR/seed-K"),
        Option(
            "parallel",
            "K",
            "with --seeds, runs at once; by default as many as there are CPU cores, and 1 on a GPU. Each gets "
            "cores // K threads unless run.threads is given",
        ),
        Option(
            "ranks",
            "N",
            "train with N processes on this machine, each with its own GPU where there are any; over several machines: "
            "torchrun ... -m r1zero train",
        ),
        cluster.OPTION,
        Option("json", "", "print the closing table as JSON"),
    ),
    config_type=TrainConfig,
    default_recipe="quickstart",
    details="""
RECIPE is the name of a shipped recipe, a TOML file, or the config.json or directory of a run; without it, quickstart.

A directory that holds an unfinished run of the same config is continued from its last checkpoint. Ctrl-C finishes the
step, saves, and exits with 1; the same command continues.

With --seeds every seed is a run of its own, several side by side where there are cores for it. A run that fails leaves
the others alone. run.threads enters the arithmetic (sums of another order): runs side by side and one by one agree bit
for bit when it is the same, so give it where that matters. A run that was begun keeps the threads it began with.

With --ranks, and under torchrun, every rank samples and learns its share of the problems, and weights, gradients and
optimizer state are divided among them (sharding.weights). The directory must be one that all ranks see. If a rank dies
all end; the same command, also with another number of ranks, continues from the last checkpoint.

With --cluster ray the run is done by actors of a Ray cluster: rollout workers that sample and grade, and a learner that
is started again from its last checkpoint when it dies. Every node needs r1zero and the folder of the command.
--cluster.asynchronous samples the next step while this one is learned.

  r1zero train                                        the laptop default
  r1zero train --objective.name grpo --seeds 5        another objective, five seeds, as many at once as there are cores
  r1zero train mine.toml --learner.lr 1e-5 --run.dir runs/mine
  r1zero train mine.toml --ranks 8                    the same on 8 GPUs
  torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m r1zero train mine.toml
""",
)
