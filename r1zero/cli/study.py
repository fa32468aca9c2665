"""`r1zero study`: a named experiment over seeds, with its statistic and its verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.cli.recipes import load_recipe
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import TrainConfig, build, merge, nearest, nested

if TYPE_CHECKING:
    from r1zero.experiments.studies import Study

SEEDS = 5
STARTS = ("instruct",)  # models that can be named in the place of those that a study makes


def run(arguments: Arguments) -> int:
    """Make the runs that are missing, then say what all of them show; 1 when some did not get to their last step."""
    from r1zero.experiments.studies import STUDIES
    from r1zero.experiments.studies.design import check_overrides

    name = arguments.positionals[0]
    if name not in STUDIES:
        raise ValueError(f"unknown study {name!r}: {nearest(name, STUDIES)}")
    study = STUDIES[name]
    check_overrides(study, arguments.overrides)
    arguments.count("seeds", SEEDS)  # what is wrong is said before anything is loaded
    arguments.count("parallel", 1)
    home = Path(arguments.overrides.get("run.dir") or f"runs/{study.name}")
    finished = True
    if not arguments.has("read"):
        recipe = arguments.positionals[1] if len(arguments.positionals) > 1 else study.recipe
        finished = make_runs(study, resolved(recipe, arguments), home, arguments)
    show(study, home, as_json=arguments.has("json"))
    return 0 if finished else 1


def resolved(recipe: str, arguments: Arguments) -> TrainConfig:
    """The config of every run, but for what its arm sets, seed and directory."""
    return build(TrainConfig, merge(load_recipe(recipe, "train"), nested(arguments.overrides)))


def make_runs(study: Study, config: TrainConfig, home: Path, arguments: Arguments) -> bool:
    """Every model and every run that is not there yet; whether all got to their last step."""
    from r1zero.cli.progress import StepLine
    from r1zero.experiments.launch import run_all
    from r1zero.experiments.studies.design import arm_configs, check_fixed, models_given
    from r1zero.experiments.studies.preparing import prepare
    from r1zero.reports.runs import RunsProgress

    check_fixed(study, config)
    named = {name: arguments.options[name] for name in STARTS if name in arguments.options}
    given = models_given(study, config, named)
    num_seeds, parallel = arguments.count("seeds", SEEDS), arguments.count("parallel", 0) or None
    configs = arm_configs(study, config, home, num_seeds, given)
    prepare(study, config, home, num_seeds, given, lambda out: StepLine(f"{out.parent.name} {out.name}"))
    with RunsProgress() as progress:
        runs = run_all(configs, parallel=parallel, progress=progress)
    return all(run.finished for run in runs)


def show(study: Study, home: Path, *, as_json: bool) -> None:
    """What the finished runs say: on the terminal or as JSON, and in HOME/study.json and HOME/report.html."""
    from rich.console import Console

    from r1zero.experiments.studies.design import gather
    from r1zero.reports.study import render, write_study
    from r1zero.store import jsonable, write_atomically

    gathered = gather(study, home)
    measured = study.measure(gathered)
    result = study.analyse(gathered, measured)
    text = json.dumps(jsonable(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(home / "study.json", text.encode())
    page = write_study(gathered, measured, result, home / "report.html")
    if as_json:
        print(text, end="")
        return
    Console().print(render(result))
    print(page)


VERB = Verb(
    name="study",
    summary="a named experiment over seeds, with its statistic and its verdict",
    usage="NAME [RECIPE] [--section.key VALUE ...]",
    run=run,
    positionals=(1, 2),
    options=(
        Option("seeds", "N", f"runs of each arm, of seeds seed, seed+1, ... (default: {SEEDS})"),
        Option("parallel", "K", "runs at once; by default as many as there are CPU cores, and 1 on a GPU"),
        Option(
            "instruct",
            "MODEL",
            "visual studies: the instructed model that arms begin from; without it, one is made of tiny-visual. With a "
            "recipe for instructed models it is --model.path",
        ),
        Option("read", "", "make no runs: read those that are finished in the directory"),
        Option("json", "", "print the result as JSON"),
    ),
    config_type=TrainConfig,
    details="""
NAME is one of

  length-bias              which of GRPO's two divisions moves the lengths of right and wrong answers
  visual-base-vs-instruct  RL on a base model that sees, and on an instructed one
  visual-rl-vs-sft         the base model, fine-tuned on answers, after RL with thinking and without
  visual-length-reward     0, 0.001, 0.005 and 0.05 a token, on the instructed model
  visual-freeze            nothing, vision or language frozen, on the instructed model
  visual-samples           50, 100, 500 and 1000 training problems, and as many as are asked

RECIPE is what all runs share; by default the study's own. Runs go to DIR/ARM/seed-K (--run.dir DIR, by default
runs/NAME), models that are made for them to DIR/models, the result to DIR/study.json and DIR/report.html. What is
finished there is kept and what was interrupted is continued, so the same command resumes, and one with more seeds adds
to it.

  r1zero study length-bias
  r1zero study length-bias --seeds 8                       three more seeds than before
  r1zero study length-bias --read --json                   the result once more
  r1zero study length-bias quickstart --model.path Qwen/Qwen2.5-Math-1.5B --template.name r1 --run.dir runs/qwen
  r1zero study visual-rl-vs-sft                            minutes on the model that is shipped
  r1zero study visual-freeze visualthinker_instruct --model.path DIR --run.dir runs/freeze
  r1zero study visual-base-vs-instruct visualthinker --model.path DIR --instruct DIR2 --run.dir runs/starts
""",
)
