"""Every benchmark in turn; each prints its table and writes its numbers.

python -m benchmarks                                     # benchmarks/results/local-NAME.json, not under version control
python -m benchmarks --only engine learner --name laptop
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    "engine",
    "learner",
    "objective",
    "plan",
    "scale",
    "trl",
)  # benchmarks/organism.py measures a model, not speed
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, help="those to run")
    parser.add_argument("--name", default="local", help="what the files' names begin with: the machine, say")
    options = parser.parse_args()
    failed = []
    for benchmark in options.only:
        path = RESULTS / f"{options.name}-{benchmark}.json"
        command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--json", str(path)]
        print(f"\n{' '.join(['python', *command[1:3]])}", flush=True)
        if subprocess.run(command, cwd=RESULTS.parent.parent).returncode:
            failed.append(benchmark)
        else:
            print(f"numbers: {path}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
