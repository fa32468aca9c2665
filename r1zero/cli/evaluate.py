"""`r1zero eval`: how good a model is on benchmarks and held-out problems, with intervals, beside what papers report."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1zero.cli import cluster
from r1zero.cli.own_world import evaluation_of
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import EvalConfig, build, merge, nested, read_recipe
from r1zero.evaluation.baselines import BASELINES, PAPER_BUDGET, find_baseline

if TYPE_CHECKING:
    from r1zero.engines import Engine
    from r1zero.evaluation.contamination import Contamination
    from r1zero.evaluation.queue import Timing
    from r1zero.evaluation.references import Match
    from r1zero.evaluation.subsets import Luck
    from r1zero.evaluation.subtasks import SubtaskRow
    from r1zero.evaluation.suites import Entry
    from r1zero.evaluation.summary import Summary
    from r1zero.models.load import Policy
    from r1zero.statistics.intervals import Interval
    from r1zero.tasks.templates import Template


@dataclass(frozen=True)
class Result:
    """Everything that one command measured."""

    summaries: Sequence[Summary]
    macros: Mapping[str, Interval]
    matches: Sequence[Match]
    luck: Sequence[Luck]
    contamination: Sequence[Contamination]
    timing: Timing
    continued: int  # chunks that an earlier, killed evaluation had answered
    subtasks: Mapping[str, Sequence[SubtaskRow]] = field(default_factory=dict)  # of suites that have some


def run(arguments: Arguments) -> int:
    from r1zero.evaluation.suites import expand, is_mathematical

    arguments = cluster.with_cluster(arguments)
    asked = [name for name in arguments.options.get("suite", "").split(",") if name]
    baseline = arguments.options.get("baseline", "")
    if baseline and not asked:
        asked = [find_baseline(baseline).suite]
    names = expand(asked)
    mathematical = any(is_mathematical(name) for name in names)
    config = config_for(arguments.positionals[0], arguments.overrides, baseline=baseline, mathematical=mathematical)
    result = answer(
        config, names, subset_check=arguments.has("subset-check"), contamination=arguments.has("contamination")
    )
    if arguments.has("json"):
        print_json(config, baseline, result)
    else:
        print_tables(config, baseline, result)
    tell_time(result)
    return 0


def config_for(
    model: str, overrides: Mapping[str, str], *, baseline: str = "", mathematical: bool = False
) -> EvalConfig:
    """The command line, over a baseline's protocol, over the settings of a run's own evaluation when MODEL is its
    directory, over the papers' protocol where benchmarks of mathematics are asked, over defaults.
    """
    run_dir = Path(model)
    values: dict[str, Any] = {"model": {"path": model}} | evaluation_of(model)
    if mathematical:
        greedy = overrides.get("samples", "1") == "1"
        sampling = {"temperature": 0.0 if greedy else 1.0, "max_tokens": PAPER_BUDGET}
        values |= {"template": {"name": "qwen_math"}, "sampling": sampling}
    if (run_dir / "model" / "config.json").exists() and (run_dir / "config.json").exists():
        own = of_run(read_recipe(run_dir / "config.json")) | {"model": {"path": str(run_dir / "model")}}
        if mathematical:  # its own evaluations were of something else
            own = {key: own[key] for key in ("seed", "threads", "template", "engine", "model")}
        values = merge(values, own)
    if baseline:
        values = merge(values, find_baseline(baseline).settings)
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


def answer(config: EvalConfig, names: Sequence[str], *, subset_check: bool, contamination: bool) -> Result:
    """Ask the model, and say what came back.  Questions and settings are checked before the model is loaded."""
    import torch

    from r1zero.cluster import close, engine_for
    from r1zero.config import nearest
    from r1zero.evaluation.contamination import probe
    from r1zero.evaluation.references import Protocol, match
    from r1zero.evaluation.subsets import subset_luck
    from r1zero.evaluation.subtasks import subtask_rows
    from r1zero.evaluation.suites import load_entries
    from r1zero.evaluation.summary import macros, right_by_problem, summarise_all
    from r1zero.evaluation.tables import incomplete
    from r1zero.grading import EXTRACTORS
    from r1zero.models.load import load_policy

    if config.answer_format and config.answer_format not in EXTRACTORS:
        raise ValueError(f"no answer format {config.answer_format!r}: {nearest(config.answer_format, EXTRACTORS)}")
    if config.threads:
        torch.set_num_threads(config.threads)
    template = None if config.template.name == "chat" else _template(config, None)
    entries = load_entries(names, config, template) if template else []
    policy = load_policy(
        config.model.path,
        config.device,
        max_pixels=config.model.max_pixels,
        pictures=Path(config.task.kept_images),
    )
    if template is None:
        template = _template(config, policy)
        entries = load_entries(names, config, template)
    engine = engine_for(config, policy, config.model.path)
    plan, answers = _ask(config, names, entries, policy, engine)
    summaries = summarise_all(entries, answers.rollouts, samples=config.samples, dropped=plan.dropped)
    means = macros(summaries)
    missing = incomplete(summaries)
    if missing:
        missing |= dict.fromkeys(means, "not all questions")
    protocol = Protocol(
        config.model.path,
        template.name,
        config.samples,
        config.sampling.temperature,
        config.sampling.max_tokens,
        config.answer_format or template.answer_format,
    )
    accuracies = {summary.name: summary.accuracy for summary in summaries} | means
    right = right_by_problem(answers.rollouts)
    luck = []
    for entry in entries if subset_check else []:
        own = [right[problem.id] for problem in entry.problems if problem.id in right]
        luck += subset_luck(entry.name, own, seed=config.seed)
    probes = [probe(e, engine, policy, address=(config.seed,)) for e in entries] if contamination else []
    close(engine)
    matches = match(protocol, accuracies, missing)
    by_entry = {entry.name: subtask_rows(entry.problems, answers.rollouts) for entry in entries}
    subtasks = {name: rows for name, rows in by_entry.items() if rows}
    return Result(summaries, means, matches, luck, probes, answers.timing, answers.continued, subtasks)


def _template(config: EvalConfig, policy: Policy | None) -> Template:
    from r1zero.tasks.templates import chat_template, load_template

    return chat_template(policy.tokenizer) if policy is not None else load_template(config.template.name)


def _ask(config: EvalConfig, names: Sequence[str], entries: Sequence[Entry], policy: Policy, engine: Engine) -> Any:
    """The plan and its answers, with a line of progress on stderr."""
    from rich.console import Console

    from r1zero.evaluation.answers import collect
    from r1zero.evaluation.queue import make_plan
    from r1zero.models.load import weights_digest
    from r1zero.training.run import provenance

    plan = make_plan(entries, policy, samples=config.samples, concurrent=config.engine.max_concurrent)
    total = sum(len(chunk.prompts) for chunk in plan.chunks)
    console, sampled = Console(stderr=True), Counter[str]()
    with console.status(f"asking {total} problems") as status:

        def show(count: int) -> None:
            sampled["tokens"] += count
            status.update(f"asking {total} problems: {sampled['tokens']:,} tokens")

        weights = weights_digest(policy.model)
        return plan, collect(config, names, plan, engine, weights=weights, provenance=provenance(), on_tokens=show)


def print_tables(config: EvalConfig, baseline: str, result: Result) -> None:
    from rich.console import Console

    from r1zero.evaluation import tables
    from r1zero.evaluation.references import published_names
    from r1zero.evaluation.subtasks import subtask_table
    from r1zero.reports.console import print_table

    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    print_table(*tables.accuracy_table(result.summaries, result.macros), console=console)
    for table in (tables.outcome_table, tables.length_table):
        say("")
        print_table(*table(result.summaries), console=console)
    for name, rows in result.subtasks.items():
        say(f"\n{name}, by sub-task; chance and blind prior are reached without looking")
        print_table(*subtask_table(rows), console=console)
    if result.matches:
        say(f"\nPaper vs yours: {config.model.path} under template {config.template.name}")
        print_table(*tables.paper_table(result.matches), console=console)
        for line in dict.fromkeys(f"{m.reference.source}" for m in result.matches):
            say(f"  source: {line}")
        for note in dict.fromkeys(m.reference.note for m in result.matches if m.reference.note):
            say(f"  note: {note}")
    if result.luck:
        say("\nThe same model on 30 questions, drawn twice: accuracy (95 % of draws), and how often two draws differ")
        print_table(*tables.luck_table(result.luck), console=console)
    if result.contamination:
        say("\nQuestions cut after 60 % of their words and given bare, greedy continuation")
        print_table(*tables.contamination_table(result.contamination), console=console)
    if baseline and BASELINES[baseline].note:
        say(f"\n{BASELINES[baseline].title}: {BASELINES[baseline].note}")
    known = ", ".join(published_names(config.template.name))
    if baseline and known and not result.matches:
        say(f"\nNo published value for a model of this name under this template; there are some for {known}")


def print_json(config: EvalConfig, baseline: str, result: Result) -> None:
    """One object; what it holds does not depend on when or how often the evaluation was interrupted."""
    from r1zero.evaluation import tables
    from r1zero.store import jsonable

    found = {
        "model": config.model.path,
        "template": config.template.name,
        "baseline": baseline or None,
        "temperature": config.sampling.temperature,
        "max_tokens": config.sampling.max_tokens,
        "benchmarks": [tables.as_object(summary) for summary in result.summaries],
        "macro": result.macros,
        "subtasks": result.subtasks,
        "paper": tables.paper_objects(result.matches),
        "luck": tables.luck_objects(result.luck),
        "contamination": tables.contamination_objects(result.contamination),
    }
    print(json.dumps(jsonable(found), indent=2, ensure_ascii=False, allow_nan=False))


def tell_time(result: Result) -> None:
    """What could not be graded and where the time went, on stderr."""
    timing = result.timing
    for summary in result.summaries:
        if broken := summary.grading_timeouts + summary.grading_failures:
            print(f"r1zero: {summary.name}: {broken} answers could not be compared and count as wrong", file=sys.stderr)
    if result.continued:
        print(f"r1zero: {result.continued} chunks were answered before", file=sys.stderr)
    if timing.tokens:
        print(
            f"r1zero: {timing.tokens:,} tokens in {timing.wall:.1f} s, of which sampling {timing.sampling:.1f} s "
            f"({timing.sampling / timing.wall:.0%}); grading took {timing.grading:.1f} s beside it",
            file=sys.stderr,
        )


VERB = Verb(
    name="eval",
    summary="how good a model is: avg@k, pass@k and maj@k on benchmarks with intervals, beside what papers report",
    usage="MODEL [--suite NAME[,NAME]] [--baseline NAME] [--section.key VALUE ...]",
    run=run,
    positionals=(1, 1),
    options=(
        cluster.OPTION,
        Option(
            "suite",
            "NAME[,NAME]",
            "what to ask: math (AIME 2024, AMC, MATH-500, Minerva, OlympiadBench), aime24, amc, amc23, math500, "
            "minerva, olympiad_bench, gsm8k, svamp, countdown, cvbench, visual (rendered pictures), a parquet or jsonl "
            "file, or a Hub id (default: the config's own task, countdown)",
        ),
        Option(
            "baseline",
            "NAME",
            "ask suite math as a paper asked this model: its template, budget and grader strictness",
            choices=tuple(BASELINES),
        ),
        Option("subset-check", "", "draw subsets of 30 questions anew: how often chance makes a difference so large"),
        Option("contamination", "", "let the model complete truncated questions: has it read them?"),
        Option("json", "", "print everything as one JSON object"),
    ),
    config_type=EvalConfig,
    details="""
MODEL is a Hugging Face directory, a Hub id, a shipped model, or the directory of a run: then its final model is asked
what its own evaluations asked, with their settings, unless the command line says otherwise.

Where benchmarks of mathematics are asked, the default is the papers' protocol: template qwen_math, greedy, 3000 tokens
(with --samples above 1, temperature 1). Benchmarks are read from --data DIR or $R1ZERO_DATA where a file of their name
is there, else from the Hub. With --out DIR a killed evaluation continues where it was.

  r1zero eval tiny-search --samples 8                 avg@8, pass@2 to pass@8 of the shipped base model
  r1zero eval runs/quickstart-dr_grpo-seed0
  r1zero eval Qwen/Qwen2.5-Math-1.5B --suite math --template.name none
  r1zero eval sail/Qwen2.5-Math-7B-Oat-Zero --baseline oat-zero --out evals/oat-zero-7b
  r1zero eval MODEL --suite my-questions.jsonl --samples 16 --subset-check
""",
)
