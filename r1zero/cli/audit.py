"""`r1zero audit`: what an objective does to lengths, problems and rewards, shown by experiment."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import SamplingConfig, TrainConfig, nearest

if TYPE_CHECKING:
    from r1zero.audit.findings import Findings
    from r1zero.experiments.two_branch import Simulation

DEFAULT = ("grpo", "dr_grpo")
GROUP_SIZE = TrainConfig().responses_per_problem
MAX_TOKENS = SamplingConfig().max_tokens


def run(arguments: Arguments) -> int:
    from dataclasses import replace

    from r1zero.audit import ObjectiveUnderAudit, load_user_loss
    from r1zero.audit.findings import as_dict, beside_trl, investigate
    from r1zero.objectives import OBJECTIVES

    names = chosen(arguments)
    group_size, max_tokens = arguments.count("group-size", GROUP_SIZE), arguments.count("max-tokens", MAX_TOKENS)
    users = [load_user_loss(arguments.options["loss"])] if arguments.has("loss") else []
    rows = [ObjectiveUnderAudit(OBJECTIVES[name]) for name in names]
    findings = investigate(rows, group_size, max_tokens, foreign=users)
    if arguments.has("against"):
        named = names if arguments.has("objective") else None
        findings = replace(findings, trl=beside_trl(group_size, max_tokens, named))
    if arguments.has("simulate"):
        simulations, refused = simulated(names or DEFAULT, group_size)
        findings = replace(findings, simulations=simulations, not_simulated=refused)
    if arguments.has("json"):
        print(json.dumps(as_dict(findings), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show(findings)
    if arguments.has("out"):
        from r1zero.reports.audit import write_page

        page = write_page(findings, Path(arguments.options["out"]))
        print(page, file=sys.stderr if arguments.has("json") else sys.stdout)
    return 0


def chosen(arguments: Arguments) -> tuple[str, ...]:
    """The rows named, all of them for "all", none beside a user's loss alone."""
    from r1zero.objectives import OBJECTIVES

    given = arguments.options.get("objective")
    if given is None:
        return () if "loss" in arguments.options else DEFAULT
    if given == "all":
        return tuple(OBJECTIVES)
    names = tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    for name in names:
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}: {nearest(name, [*OBJECTIVES, 'all'])}")
    if not names:
        raise ValueError("--objective names no objective: give NAME[,NAME...] or all")
    return names


def simulated(names: Sequence[str], group_size: int) -> tuple[tuple[Simulation, ...], tuple[str, ...]]:
    """The two-branch policy trained with each objective, and why some could not be."""
    from r1zero.experiments.two_branch import simulate

    done, refused = [], []
    for name in names:
        try:
            done.append(simulate(name, group_size=group_size))
        except ValueError as error:
            refused.append(f"{name}: {error}")
    return tuple(done), tuple(refused)


def show(findings: Findings) -> None:
    """Tables for a terminal."""
    from rich.console import Console
    from rich.text import Text

    from r1zero.reports.audit_tables import agreements, overview, render, simulations

    console = Console()
    head = f"groups of {findings.group_size}, responses of at most {findings.max_tokens} tokens (M), B responses a step"
    console.print(Text(head, style="dim"), Text(), sep="\n")
    for name, rows in findings.resembles.items():
        for row in rows:
            console.print(Text(row.sentence(name)))
        if not rows:
            console.print(Text(f"{name} has the token weights of no row of r1zero's table."))
        console.print()
    console.print(render(findings.audits))
    if findings.trl:
        console.print(Text(), agreements(findings.trl.agreements, findings.trl.without, findings.trl.version), sep="\n")
        console.print(Text(), Text("TRL's losses, audited", style="bold"), overview(findings.trl.audits), sep="\n")
    if findings.simulations or findings.not_simulated:
        console.print(Text(), simulations(findings.simulations, findings.not_simulated), sep="\n")


VERB = Verb(
    name="audit",
    summary="what an objective does: weight by length, difficulty and ratio, what changes its gradient; yours, too",
    usage="[--objective NAME[,NAME]|all] [--loss MODULE:FUNCTION] [--against trl] [--simulate] [--out DIR]",
    run=run,
    positionals=(0, 0),
    options=(
        Option("objective", "NAME[,NAME]", "rows of the table of objectives, or all (default: grpo,dr_grpo)"),
        Option(
            "loss", "MODULE:FUNCTION", "a loss of your own, found from the current directory (also FILE.py:FUNCTION)"
        ),
        Option(
            "against", "trl", "compare with the losses of an installed trainer, by running its code", choices=("trl",)
        ),
        Option("simulate", "", "train a two-branch policy and show where the lengths of right and wrong answers go"),
        Option("group-size", "G", f"responses to a problem (default: {GROUP_SIZE})"),
        Option("max-tokens", "M", f"the response limit, in tokens (default: {MAX_TOKENS})"),
        Option("json", "", "print everything as JSON"),
        Option(
            "out", "DIR", "write DIR/audit.html, a page with figures that opens offline, and DIR/audit.json", short="o"
        ),
    ),
    details="""
Without arguments GRPO and Dr. GRPO are audited side by side.

  r1zero audit
  r1zero audit --objective all
  r1zero audit --loss my_module:my_loss --out audit
  r1zero audit --objective grpo,dapo --against trl

A loss of your own is a function of one micro-batch that returns a number:

  def my_loss(batch):
      advantages_B = batch.rewards_B - batch.group_rewards_BG.mean(-1)
      ratio_BT = (batch.logprobs_BT - batch.old_logprobs_BT).exp()
      loss_BT = -ratio_BT * advantages_B[:, None] * batch.mask_BT
      return loss_BT.sum() / (batch.step_responses * batch.max_tokens)

It is called once a micro-batch, and the gradients are added. The fields: logprobs_BT (with gradient), old_logprobs_BT,
mask_BT, rewards_B, group_rewards_BG (the rewards of each response's group), groups_B (which problem), lengths_B,
max_tokens, step_responses and step_tokens (of all micro-batches), num_microbatches. docs/audit.md explains every probe.
""",
)
