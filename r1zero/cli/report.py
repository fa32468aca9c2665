"""`r1zero report`: one HTML page about one run, or several side by side."""

from __future__ import annotations

import os
from pathlib import Path

from r1zero.cli.verb import Arguments, Option, Verb


def run(arguments: Arguments) -> int:
    run_dirs = [Path(word) for word in arguments.positionals]
    from r1zero.reports.html import write_report

    out = Path(arguments.options.get("out") or default_page(run_dirs))
    write_report(run_dirs, out)
    print(out)
    return 0


def default_page(run_dirs: list[Path]) -> Path:
    """RUN/report.html for one run; for several, report.html where they lie together."""
    if len(run_dirs) == 1:
        return run_dirs[0] / "report.html"
    return Path(os.path.relpath(os.path.commonpath([run_dir.resolve().parent for run_dir in run_dirs]))) / "report.html"


VERB = Verb(
    name="report",
    summary="one HTML page, readable offline, about one run or several side by side",
    usage="RUN [RUN ...] [-o FILE.html]",
    run=run,
    positionals=(1, 64),
    options=(
        Option(
            "out",
            "FILE",
            "where the page goes (default: RUN/report.html; for several runs, report.html in the folder of them all)",
            short="o",
        ),
    ),
    details="""
  r1zero report runs/quickstart-dr_grpo-seed0
  r1zero report runs/quickstart-dr_grpo-seed0 runs/quickstart-grpo-seed0 -o side-by-side.html
""",
)
