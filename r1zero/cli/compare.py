"""`r1zero compare`: runs against runs, problem by problem and seed by seed."""

from __future__ import annotations

import json

from r1zero.cli.verb import Arguments, Option, Verb


def run(arguments: Arguments) -> int:
    from rich.console import Console

    from r1zero.experiments.compare import as_dict, compare, render

    comparison = compare(arguments.positionals)
    if arguments.has("json"):
        print(json.dumps(as_dict(comparison), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        Console().print(render(comparison))
    return 0


VERB = Verb(
    name="compare",
    summary="a paired comparison of runs, with intervals; refuses what is not comparable and says why",
    usage="RUN RUN [...] [--json]",
    run=run,
    positionals=(2, 64),
    options=(Option("json", "", "print the comparison as JSON"),),
    details="""
  r1zero compare runs/quickstart-grpo-seed0 runs/quickstart-dr_grpo-seed0
""",
)
