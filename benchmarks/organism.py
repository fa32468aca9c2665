"""Measure what makes a model a good organism for R1-Zero experiments, and hold it to what the shipped one promises.

    python benchmarks/organism.py [MODEL] [--problems 512] [--samples 8] [--template native] [--json]

Prints one row a property and, with the native template, the promises; exits 1 where one of them is not kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time

from r1zero.analysis.organism import Organism, organism_rows
from r1zero.config import PretrainConfig
from r1zero.models.load import load_policy
from r1zero.training.pretrain import measure_policy


def promises(organism: Organism) -> list[tuple[str, bool]]:
    """What the shipped model promises on held-out 3-number Countdown, and whether it is so."""
    pass_1, pass_8 = organism.pass_at[1].estimate, organism.pass_at[8].estimate
    malformed = organism.outcomes["unformatted"] + organism.outcomes["truncated"]
    return [
        ("calculations right, at least 98 %", organism.calculations_right.estimate >= 0.98),
        ("checks right, at least 95 %", organism.checks_right.estimate >= 0.95),
        ("checks right where the value is the target, at least 95 %", organism.checks_of_hits_right.estimate >= 0.95),
        ("pass@1 between 10 and 35 %", 0.10 <= pass_1 <= 0.35),
        ("pass@8 at least 55 %", pass_8 >= 0.55),
        ("some responses malformed or cut", malformed > 0),
        ("some responses with reflection cues, some without", 0 < organism.cue_share.estimate < 1),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="tiny-search", help="directory or shipped name")
    parser.add_argument("--problems", type=int, default=512, help="held-out problems")
    parser.add_argument("--samples", type=int, default=8, help="responses to each; pass@8 needs at least 8")
    parser.add_argument("--template", default="native")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if given.samples < 8:
        parser.error("--samples must be at least 8: pass@8 is measured")
    started = time.perf_counter()
    config = PretrainConfig(card_problems=given.problems)
    organism = measure_policy(load_policy(given.model), config, samples=given.samples, template=given.template)
    seconds = time.perf_counter() - started
    kept = promises(organism) if given.template == "native" else []
    if given.json:
        print(json.dumps(dataclasses.asdict(organism) | {"promises": dict(kept), "seconds": seconds}, default=dict))
    else:
        print(
            f"{given.model}: {organism.num_problems} problems x {given.samples} responses, "
            f"template {given.template}, {seconds:.0f} s"
        )
        for name, value in organism_rows(organism):
            print(f"  {name:<50} {value}")
        for promise, is_kept in kept:
            print(f"  {'kept  ' if is_kept else 'BROKEN'}  {promise}")
    return 0 if all(is_kept for _, is_kept in kept) else 1


if __name__ == "__main__":
    sys.exit(main())
