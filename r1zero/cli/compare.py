"""`r1zero compare`: runs against runs, problem by problem and seed by seed."""

from __future__ import annotations

import json

from r1zero.cli.verb import Arguments, Option, Verb


def run(arguments: Arguments) -> int:
    from rich.console import Console

    from r1zero.experiments.compare import as_dict, compare
    from r1zero.reports.comparison import render

    comparison = compare(arguments.positionals, ablation=arguments.options.get("ablation"))
    if arguments.has("json"):
        print(json.dumps(as_dict(comparison), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        Console().print(render(comparison))
    return 0


VERB = Verb(
    name="compare",
    summary="a paired comparison of runs, with intervals; refuses what is not comparable and says why",
    usage="RUN RUN [...] [--ablation KEY] [--json]",
    run=run,
    positionals=(2, 64),
    options=(
        Option("ablation", "KEY", "refuse, naming them, when settings other than KEY differ between the arms"),
        Option("json", "", "print the comparison as JSON"),
    ),
    details="""
RUN is the directory of a run, or one with runs in it, such as `r1zero train --seeds N --run.dir DIR` writes. Runs that
differ only in their seed are one arm; the first arm is the baseline. Two levels are shown: over seeds, what other
training runs would do; over problems, what these very runs would do on other held-out problems.

With --ablation an objective's name is resolved to its factors, so objective.name may differ as long as the named factor
is the only one that does.

  r1zero compare runs/quickstart-grpo-seed0 runs/quickstart-dr_grpo-seed0
  r1zero compare runs/quickstart-dr_grpo runs/quickstart-grpo --json
  r1zero compare runs/a runs/b --ablation objective.divide_by_std
""",
)
