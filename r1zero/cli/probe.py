"""`r1zero probe`: what a model already does before RL, and how that changes over a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1zero.cli import cluster
from r1zero.cli.evaluate import of_run
from r1zero.cli.own_world import RECIPES, world_of
from r1zero.cli.recipes import load_recipe
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import ProbeConfig, build, merge, nested, read_recipe

if TYPE_CHECKING:
    from r1zero.probe.measure import Findings
    from r1zero.probe.subject import Subject
    from r1zero.probe.sweep import Swept
    from r1zero.probe.targets import Target
    from r1zero.reports.sections import Section

REAL = "probe_oat_zero"  # the recipe of models that know more than one world
FOLLOWED = {"num_problems": 64, "samples": 8}  # of a run's own evaluation, at every checkpoint
MAY_BE_SET = ("pool", "labels", "judge", "out", "threads")  # where responses are only read


@dataclass(frozen=True)
class Probed:
    """Everything one command measured."""

    subjects: Sequence[Subject]  # side by side in every section
    followed: Mapping[str, Subject]  # runs with all their steps, for the section on emergence
    swept: Sequence[Swept]
    config: ProbeConfig


def run(arguments: Arguments) -> int:
    from r1zero.probe.targets import find_target

    arguments = cluster.with_cluster(arguments)
    stored = arguments.has("stored")
    targets = [find_target(path, stored=stored) for path in arguments.positionals]
    targets = [replace(target, name=name) for target, name in zip(targets, distinct(targets), strict=True)]
    if arguments.has("dry-run"):
        return dry_run(targets, arguments)
    home = home_of(targets, arguments.overrides.get("out", ""))
    probed = probe(targets, arguments, home)
    found = findings_of(probed)
    page = write(found, targets, probed, home)
    if arguments.has("json"):
        print(as_json(found, targets, probed))
    else:
        show(found.sections, page)
    tell(probed.swept)
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# What is asked


def distinct(targets: Sequence[Target]) -> list[str]:
    """Names for tables; those that several targets share are told apart by their paths."""
    names = [target.name for target in targets]
    return [target.name if names.count(target.name) == 1 else f"{target.name} ({target.path})" for target in targets]


def home_of(targets: Sequence[Target], out: str) -> Path:
    """Where the report goes: --out, or runs/probe-NAME[-NAME...]."""
    return Path(out) if out else Path("runs") / ("probe-" + "-".join(plain(target.name) for target in targets))


def plain(name: str) -> str:
    """A name that can be a directory's."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-")


def out_of(target: Target, targets: Sequence[Target], out: str) -> Path:
    """Where the rollouts of one target go: alone in the report's directory; of several, each in its own."""
    if len(targets) == 1:
        return home_of(targets, out)
    return Path(out) / plain(target.name) if out else Path("runs") / f"probe-{plain(target.name)}"


def config_for(target: Target, arguments: Arguments, out: Path) -> ProbeConfig:
    """The command line, over the recipe, over what a run's own config says where a run is followed, over defaults."""
    overrides = dict(arguments.overrides) | {"out": str(out)}
    recipe = arguments.options.get("recipe", "")
    if target.kind == "run" and not target.stored:
        refuse_intervening(target, arguments)
        values = of_own(read_recipe(Path(target.path) / "config.json"))
        values = merge(values, load_recipe(recipe, "probe") if recipe else {})
    elif target.kind == "model":
        values = load_recipe(recipe or default_recipe(target.path), "probe")
    else:
        values = {}
    return build(ProbeConfig, merge(merge(values, nested(overrides)), {"model": {"path": target.path}}))


def default_recipe(model: str) -> str:
    """Shipped models and those that `r1zero pretrain` wrote know one world alone; others are asked mathematics."""
    world = world_of(model)
    return RECIPES[world] if world else REAL


def of_own(trained: Mapping[str, Any]) -> dict[str, Any]:
    """What a training config says, as values of a ProbeConfig: the run's template and temperature, and its problems."""
    own = of_run(trained)
    problems = min(own["num_problems"], FOLLOWED["num_problems"])
    return {
        "templates": [trained["template"]["name"]],
        "temperatures": [trained["sampling"]["temperature"]],
        "max_tokens": own["sampling"]["max_tokens"],
        "num_problems": problems,
        "samples": FOLLOWED["samples"],
        "causal": {"prefixes": 0},
        "thinking": 0,
        **{key: own[key] for key in ("seed", "threads", "task", "engine", "held_out_only")},
    }


# ---------------------------------------------------------------------------------------------------------------------
# Asking and reading


def probe(targets: Sequence[Target], arguments: Arguments, home: Path) -> Probed:
    """Ask or read every target.  All configs are built before anything is asked."""
    from r1zero.reports.probe.progress import ProbeProgress

    out = arguments.overrides.get("out", "")
    configs = [config_for(target, arguments, out_of(target, targets, out)) for target in targets]
    check_analysis(configs[0])
    if not any(target.kind == "model" or (target.kind == "run" and not target.stored) for target in targets):
        refuse_asking(arguments)
    subjects: list[Subject] = []
    followed: dict[str, Subject] = {}
    swept: list[Swept] = []
    for target, config in zip(targets, configs, strict=True):
        with ProbeProgress(target.name) as progress:
            found, whole, asked = probe_one(target, config, arguments.options.get("split"), progress)
        subjects += found
        swept += asked
        if whole is not None:
            followed[target.name] = whole
    return Probed([judged(subject, configs[0], home) for subject in subjects], followed, swept, configs[0])


def check_analysis(config: ProbeConfig) -> None:
    """Raises ValueError for what would only fail once everything has been asked."""
    from r1zero.probe.subject import pools_of

    pools_of(config.pool)
    if config.labels and not Path(config.labels).is_file():
        raise ValueError(f"labels={config.labels}: no such file; `r1zero label` writes one")


def refuse_asking(arguments: Arguments) -> None:
    """Raises ValueError for a setting of asking where all responses are there already."""
    for key in arguments.overrides:
        if key.split(".")[0] not in MAY_BE_SET:
            raise ValueError(
                f"--{key}: nothing is asked here, stored responses are read; it can be set where a model is probed"
            )


def refuse_intervening(target: Target, arguments: Arguments) -> None:
    """Raises ValueError for a setting of interventions where checkpoints are asked the same questions, and no more."""
    for key, value in arguments.overrides.items():
        if key == "thinking" or key.split(".")[0] == "causal":
            raise ValueError(
                f"--{key} {value}: a run is followed over its checkpoints, whose responses are not intervened in; give "
                f"{target.path}/model for that"
            )


def probe_one(
    target: Target, config: ProbeConfig, split: str | None, progress: Any
) -> tuple[list[Subject], Subject | None, list[Swept]]:
    """The subjects of a target; for a run also the subject with all its steps."""
    if target.kind == "model":
        from r1zero.probe.asking import ask_model

        subject, asked = ask_model(config, target.name, progress)
        return [subject], None, [asked]
    if target.kind == "rollouts":
        from r1zero.probe.gathered import read_all

        return read_all(target, config), None, []
    from r1zero.probe.gathered import ends, read_run

    if target.stored:
        whole = read_run(target, config, split)
        return ends(whole), whole, []
    from r1zero.probe.asking import follow, total
    from r1zero.probe.targets import find_checkpoints

    whole, sweeps = follow(config, find_checkpoints(Path(target.path)), target.name, progress)
    in_all = total(sweeps)
    return ends(whole), whole, [in_all] if in_all else []


def judged(subject: Subject, config: ProbeConfig, home: Path) -> Subject:
    """The subject with the verdicts of people and of a judge, where there are any."""
    if not config.labels and config.judge.url is None:
        return subject
    from r1zero.probe.verdicts import with_judge, with_labels

    subject = with_labels(subject, config.labels) if config.labels else subject
    return with_judge(subject, config.judge, home) if config.judge.url is not None else subject


def dry_run(targets: Sequence[Target], arguments: Arguments) -> int:
    """Print what would be asked and how long that takes; nothing is written."""
    from r1zero.probe.estimate import estimate_target
    from r1zero.reports.probe.estimate import as_object, print_estimate

    out = arguments.overrides.get("out", "")
    estimates = [
        estimate_target(target, config_for(target, arguments, out_of(target, targets, out))) for target in targets
    ]
    if arguments.has("json"):
        print(json.dumps([as_object(estimate) for estimate in estimates], indent=2, allow_nan=False))
        return 0
    for estimate in estimates:
        print_estimate(estimate)
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# Showing


def findings_of(probed: Probed) -> Findings:
    """Every section of the report, and the one on emergence where a run was followed."""
    from r1zero.analysis.emergence import emergence
    from r1zero.probe.measure import Findings, measure
    from r1zero.reports.probe.emergence import section

    found = measure(probed.subjects, seed=probed.config.seed, pool=probed.config.pool)
    if not probed.followed:
        return found
    results = {name: emergence(whole.facts, seed=probed.config.seed) for name, whole in probed.followed.items()}
    return Findings({**found.numbers, "emergence": results}, (*found.sections, section(results)))


def write(found: Findings, targets: Sequence[Target], probed: Probed, home: Path) -> Path:
    """HOME/report.html and HOME/probe.json."""
    from r1zero.reports.probe.page import write_probe
    from r1zero.store import write_atomically

    write_atomically(home / "probe.json", (as_json(found, targets, probed) + "\n").encode())
    names = " · ".join(target.name for target in targets)
    return write_probe(
        found.sections,
        home / "report.html",
        headline=f"Probe of {names}",
        kicker=kicker(probed),
        provenance=footnotes(probed),
    )


def kicker(probed: Probed) -> str:
    """ "6,144 responses to 64 problems, templates native, r1, temperatures 0.4, 1" """
    import polars as pl

    facts = pl.concat([subject.facts.select("problem_id", "template", "temperature") for subject in probed.subjects])
    templates = ", ".join(sorted(facts["template"].drop_nulls().unique().to_list()))
    temperatures = ", ".join(f"{one:g}" for one in sorted(facts["temperature"].drop_nulls().unique().to_list()))
    parts = [f"{facts.height:,} responses to {facts['problem_id'].n_unique():,} problems"]
    parts += [f"templates {templates}"] if templates else []
    parts += [f"temperatures {temperatures}"] if temperatures else []
    return ", ".join(parts)


def footnotes(probed: Probed) -> list[tuple[str, str]]:
    """Config, versions, commit, machine, as rows."""
    from r1zero.config import flatten
    from r1zero.training.run import flatten_dict

    rows = [(key, str(value)) for key, value in flatten(probed.config).items()]
    for subject in probed.subjects[:1]:
        rows += [(key, str(value)) for key, value in flatten_dict(subject.facts_of_asking or {}).items()]
    return rows


def as_json(found: Findings, targets: Sequence[Target], probed: Probed) -> str:
    """What was found: sentences, tables and all numbers, the same however often the probe was interrupted."""
    from r1zero.store import jsonable

    told = {
        "targets": [{"path": target.path, "kind": target.kind, "name": target.name} for target in targets],
        "models": [
            {"name": one.name, "responses": one.facts.height, "problems": one.facts["problem_id"].n_unique()}
            for one in probed.subjects
        ],
        "sections": {section.key: as_object(section) for section in found.sections},
        "numbers": found.numbers,
    }
    return json.dumps(jsonable(told), indent=2, ensure_ascii=False, allow_nan=False)


def as_object(section: Section) -> dict[str, Any]:
    """A section's sentences and tables; a row is an object named by the columns."""
    tables = [
        {
            "key": table.key,
            "title": table.title,
            "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
        }
        for table in section.tables
    ]
    said = {name: getattr(section, name) for name in ("title", "question", "findings", "notes")}
    return {**said, "tables": tables}


def show(sections: Sequence[Section], page: Path) -> None:
    from rich.console import Console

    from r1zero.reports.sections import terminal_sections

    console = Console()
    console.print(terminal_sections(sections))
    console.print(f"\n{page}", markup=False, highlight=False, soft_wrap=True)


def tell(swept: Sequence[Swept]) -> None:
    """What was left out and where the time went, on stderr."""
    for one in swept:
        if one.dropped:
            print(
                f"r1zero: {len(one.dropped)} problems were left out under some template: "
                "their prompt fills the context",
                file=sys.stderr,
            )
        if one.continued:
            print(f"r1zero: {one.continued:,} responses were there before", file=sys.stderr)
        if timing := one.timing if one.timing.tokens else None:
            print(
                f"r1zero: {one.asked:,} responses, {timing.tokens:,} tokens in {timing.wall:.1f} s "
                f"({timing.tokens / timing.wall:,.0f} tokens/s)",
                file=sys.stderr,
            )


VERB = Verb(
    name="probe",
    summary="what a model does before RL: answering, exploring, reflecting, and whether reflecting helps",
    usage="MODEL|RUN|PATH [...] [--recipe NAME] [--dry-run] [--section.key VALUE ...]",
    run=run,
    positionals=(1, 32),
    options=(
        cluster.OPTION,
        Option(
            "recipe", "NAME", f"a shipped recipe or a TOML file (default: one for tiny models' own world, else {REAL})"
        ),
        Option("dry-run", "", "print what would be asked, how many responses and how long it takes; write nothing"),
        Option("stored", "", "read the responses that a run stored while it trained, ask nothing"),
        Option(
            "split",
            "NAME",
            "with --stored, which responses (default: eval where enough steps were evaluated, else train)",
            choices=("train", "eval"),
        ),
        Option("json", "", "print all findings and tables as one JSON object"),
    ),
    config_type=ProbeConfig,
    details="""
MODEL is a Hugging Face directory, a Hub id or a shipped model: every problem is asked under every template at every
temperature, stored in OUT/eval, and analysed. Killed, the same command continues it. RUN is the directory of a training
run: its base model, every checkpoint that holds weights and its final model answer the same problems with the same
random numbers, and a test says whether anything came suddenly. PATH is stored responses (the directory of an
evaluation, a probe or an import, parquet or jsonl): they are analysed, nothing is asked. Several are put side by side.

The report is printed, and written to OUT/report.html and OUT/probe.json. docs/probe.md explains every number.

  r1zero probe tiny-search                          minutes on a laptop: all sections, interventions included
  r1zero probe Qwen/Qwen2.5-Math-1.5B --dry-run     oat-zero's protocol: how long will it take?
  r1zero probe Qwen/Qwen2.5-Math-1.5B --templates qwen_math --top_p 0.9 --out probes/qwen
  r1zero probe runs/quickstart-dr_grpo-seed0        over the checkpoints of a run
  r1zero probe runs/a runs/b --stored               from what two runs stored while they trained
  r1zero probe imports/base imports/instruct        imported responses, side by side
""",
)
