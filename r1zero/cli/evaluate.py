"""`r1zero eval`: how good a model is on held-out problems, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import (
    EvalConfig,
    EvaluationConfig,
    RewardConfig,
    build,
    merge,
    nearest,
    nested,
    read_recipe,
    to_dict,
)

if TYPE_CHECKING:
    from r1zero.evaluation.held_out import Evaluation
    from r1zero.records import Rollout

SUITES = ("countdown",)


def run(arguments: Arguments) -> int:
    for suite in arguments.options.get("suite", "countdown").split(","):
        if suite not in SUITES:
            raise ValueError(f"unknown suite {suite!r}: {nearest(suite, SUITES)}")
    config = config_for(arguments.positionals[0], arguments.overrides)
    if config.out and Path(config.out).exists() and any(Path(config.out).iterdir()):
        raise ValueError(f"{config.out} is not empty: choose another --out")
    evaluation = answer(config)
    if config.out:
        keep(config, evaluation)
    from r1zero.reports.console import print_table

    numbers = measures(evaluation, config.samples)
    if arguments.has("json"):
        print_table(list(numbers), [list(numbers.values())], json=True)
        return 0
    print_table(["measure", "value"], list(numbers.items()))
    return 0


def config_for(model: str, overrides: Mapping[str, str]) -> EvalConfig:
    """The command line, over the settings of a run's own evaluation when MODEL is its directory, else over defaults."""
    run_dir = Path(model)
    values: dict[str, Any] = {"model": {"path": model}}
    if (run_dir / "model" / "config.json").exists() and (run_dir / "config.json").exists():
        values = of_run(read_recipe(run_dir / "config.json")) | {"model": {"path": str(run_dir / "model")}}
    return build(EvalConfig, merge(values, nested(overrides)))


def of_run(trained: Mapping[str, Any]) -> dict[str, Any]:
    """What a training config says about its own evaluations, as values of an EvalConfig."""
    settings = trained["evaluation"]
    task = dict(trained["task"])
    if settings["path"] is not None:
        task |= {"path": settings["path"], "split": settings["split"]}
    return {
        "seed": trained["seed"],
        "num_problems": settings["num_problems"],
        "samples": settings["samples"],
        "held_out_only": settings["path"] is None,
        "threads": trained["run"]["threads"],
        "task": task,
        "template": trained["template"],
        "engine": trained["engine"],
        "sampling": {name: settings[name] for name in ("temperature", "top_p", "max_tokens")},
    }


def answer(config: EvalConfig) -> Evaluation:
    """Ask the model."""
    import torch
    from rich.console import Console

    from r1zero.engines import build_engine
    from r1zero.evaluation.held_out import evaluate
    from r1zero.models.load import load_policy
    from r1zero.tasks import build_task
    from r1zero.tasks.templates import load_template

    if config.threads:
        torch.set_num_threads(config.threads)
    template = load_template(config.template.name)
    task = build_task(config.task, config.seed, whole_file=not config.held_out_only)
    problems = task.problems("eval", 0, config.num_problems)
    policy = load_policy(config.model.path, config.device)
    settings = EvaluationConfig(
        num_problems=config.num_problems,
        samples=config.samples,
        temperature=config.sampling.temperature,
        top_p=config.sampling.top_p,
        max_tokens=config.sampling.max_tokens,
    )
    engine = build_engine(config.engine, policy)
    console, sampled = Console(stderr=True), Counter[str]()
    with console.status(f"asking {len(problems)} problems") as status:

        def show(count: int) -> None:
            sampled["tokens"] += count
            status.update(f"asking {len(problems)} problems: {sampled['tokens']:,} tokens")

        return evaluate(
            engine,
            policy,
            template,
            problems,
            settings,
            seed=config.seed,
            step=0,
            rewards=RewardConfig(),
            on_tokens=show,
        )


def measures(evaluation: Evaluation, samples: int) -> dict[str, Any]:
    """avg@k and pass@k with 95 % intervals, mean tokens, and the share of each way to fail."""
    from r1zero.analysis.statistics import Interval

    metrics, suite = evaluation.metrics, evaluation.suite
    accuracy = Interval(*(metrics[f"eval/{suite}/accuracy{end}"] for end in ("", "_low", "_high")))
    found: dict[str, Any] = {"suite": suite, "problems": len(by_problem(evaluation.rollouts))}
    found |= {"left out, too long": len(evaluation.dropped)} if evaluation.dropped else {}
    found[f"avg@{samples}"] = accuracy
    k = 2
    while k <= samples:
        found[f"pass@{k}"] = pass_interval(evaluation.rollouts, k)
        k *= 2
    found["tokens"] = metrics[f"eval/{suite}/tokens_mean"]
    return found | {
        outcome: metrics[f"eval/{suite}/outcome/{outcome}/share"] for outcome in ("wrong", "unformatted", "truncated")
    }


def by_problem(rollouts: list[Rollout]) -> dict[str, list[bool]]:
    """Right or wrong, for each response to each problem."""
    correct: dict[str, list[bool]] = {}
    for rollout in rollouts:
        correct.setdefault(rollout.prompt.problem.id, []).append(rollout.grade.correct)
    return correct


def pass_interval(rollouts: list[Rollout], k: int) -> Any:
    """pass@k averaged over problems, with the interval of avg@k: clustered by problem, never of no width."""
    from r1zero.analysis.statistics import accuracy_interval, pass_at_k

    correct = list(by_problem(rollouts).values())
    return accuracy_interval([len(c) * pass_at_k(len(c), sum(c), k) for c in correct], [len(c) for c in correct])


def keep(config: EvalConfig, evaluation: Evaluation) -> None:
    """The rollouts and the config in `out`."""
    from r1zero.store import part_path, write_config, write_rollouts
    from r1zero.training.run import provenance

    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    write_config(out, {"verb": config.verb, "config": to_dict(config)} | provenance())
    write_rollouts(
        part_path(out, "eval", 0),
        evaluation.rollouts,
        run=out.name,
        checkpoint=config.model.path,
        temperature=config.sampling.temperature,
        top_p=config.sampling.top_p,
        seed=config.seed,
    )


VERB = Verb(
    name="eval",
    summary="how good a model is on held-out problems: avg@k and pass@k with intervals",
    usage="MODEL [--suite NAME[,NAME]] [--section.key VALUE ...]",
    run=run,
    positionals=(1, 1),
    options=(
        Option("suite", "NAME[,NAME]", f"what to ask: {', '.join(SUITES)} (default: countdown)"),
        Option("json", "", "print the table as JSON"),
    ),
    config_type=EvalConfig,
    details="""
MODEL is a Hugging Face directory, a Hub id, a shipped model, or the directory of a run: then its final model is asked
what its own evaluations asked, with their settings, unless the command line says otherwise.

  r1zero eval tiny-search --samples 8                 pass@1 to pass@8 of the shipped base model
  r1zero eval runs/quickstart-dr_grpo-seed0
""",
)
