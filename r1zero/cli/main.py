"""The command `r1zero`: finds the verb, runs it, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence

from r1zero.cli import (
    analyze,
    audit,
    compare,
    evaluate,
    grade,
    help,
    import_rollouts,
    label,
    plan,
    pretrain,
    probe,
    ranks,
    report,
    sft,
    study,
    train,
)
from r1zero.cli.arguments import parse
from r1zero.cli.recipes import flat_recipe
from r1zero.cli.verb import Verb
from r1zero.config import nearest

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        train.VERB,
        plan.VERB,
        pretrain.VERB,
        sft.VERB,
        evaluate.VERB,
        probe.VERB,
        report.VERB,
        compare.VERB,
        study.VERB,
        analyze.VERB,
        import_rollouts.VERB,
        label.VERB,
        audit.VERB,
        grade.VERB,
    )
}
DONE, FAILED, WRONG_USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code: 0 done, 1 failed while working, 2 wrong usage or input."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return run(words)
    except BrokenPipeError:  # the reader of our output has left: `r1zero ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        complain("interrupted")
        return FAILED
    except Exception as error:  # the edge of the program: whatever it is, one line and a code
        if os.environ.get("R1ZERO_TRACEBACK"):
            raise
        if not (ranks.is_rank() and ranks.tell_launcher(describe(error))):
            complain(describe(error))
        return WRONG_USAGE if isinstance(error, ValueError) else FAILED


def run(words: Sequence[str]) -> int:
    """The same, letting errors through."""
    version = importlib.metadata.version("r1zero")
    if not words or words[0] in ("-h", "--help", "help"):
        print(help.overview(VERBS.values(), version))
        return DONE
    if words[0] == "--version":
        print(f"r1zero {version}")
        return DONE
    if words[0] not in VERBS:
        raise ValueError(f"unknown verb {words[0]!r}: {nearest(words[0], VERBS)}")
    verb = VERBS[words[0]]
    arguments = parse(verb, words[1:])
    if arguments.has("help"):
        print(help.page(verb, *flat_recipe(verb, arguments)))
        return DONE
    return verb.run(arguments)


def describe(error: Exception) -> str:
    """An error in one line.  What users cause and what training reports speaks for itself; the rest is named."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'file system'}: {error.strerror}"
    if isinstance(error, ValueError) or type(error).__module__.startswith("r1zero."):
        return text
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: lower learner.tokens_per_microbatch or engine.max_concurrent ({text.split('. ')[0]})"
    return f"{type(error).__name__}: {text} (R1ZERO_TRACEBACK=1 shows where)"


def complain(message: str) -> None:
    print(f"r1zero: error: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
