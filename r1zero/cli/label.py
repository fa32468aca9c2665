"""`r1zero label`: a sample of responses, read and labelled by hand, a key each."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import nearest

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.text import Text

    from r1zero.analysis.labels import Candidate, Label
    from r1zero.facts.cues import CuePool

NUM, POOL, OUT = 100, "extended", "labels.jsonl"
KEYS = {"y": True, "n": False, "s": None}
HINT = "y yes   n no   s skip   u undo   q quit"


def run(arguments: Arguments) -> int:
    """Ask until the sample is labelled, or until q."""
    from rich.console import Console

    from r1zero.analysis.labels import QUESTIONS, sample_candidates
    from r1zero.facts.cues import load_pool, pool_text

    if arguments.has("print-pool"):
        sys.stdout.write(pool_text(load_pool(arguments.options["print-pool"])))
        return 0
    if not arguments.positionals:
        raise ValueError(f"usage: r1zero label {VERB.usage}")
    question = arguments.options.get("question", "reflects")
    if question not in QUESTIONS:
        raise ValueError(f"--question {question}: {nearest(question, QUESTIONS)}")
    pool = load_pool(arguments.options.get("pool", POOL))
    seed, num = _seed(arguments.options.get("seed", "0")), arguments.count("n", NUM)
    out = Path(arguments.options.get("out", OUT))
    done = earlier(out, question, pool)
    rollouts = read(arguments.positionals)
    queue = sample_candidates(rollouts, question, pool, num=num, seed=seed)
    if not queue:
        raise ValueError(f"{', '.join(arguments.positionals)}: no responses to label")
    session = Session(
        Console(highlight=False), out, question, pool, seed, done,
        labeller=arguments.options.get("labeller") or _user(), blind=arguments.has("blind"),
    )  # fmt: skip
    session.ask_all(queue, key_reader())
    session.summarise(queue)
    return 0


def earlier(out: Path, question: str, pool: CuePool) -> dict[tuple[str, int], Label]:
    """What an earlier session said.  Raises ValueError where its sample was drawn by other cues."""
    from r1zero.analysis.labels import label_lines, latest

    if not out.exists():
        return {}
    done = latest(label_lines(out))
    pools = {label.pool for (asked, _), label in done.items() if asked == question == "reflects"} - {pool.name}
    if pools:
        raise ValueError(
            f"{out} was sampled with the pool {', '.join(sorted(pools))}: give --pool {min(pools)}, or another file"
        )
    return done


def read(paths: Sequence[str]) -> pl.LazyFrame:
    """The rollouts to draw from: of a run its evaluations, where it has any."""
    import polars as pl

    from r1zero.store import FOLDERS, read_rollouts

    frames = []
    for path in paths:
        evaluated = any((Path(path) / FOLDERS["eval"]).glob("[!.]*.parquet"))
        frames.append(read_rollouts(path, split="eval" if evaluated else "train"))
    return pl.concat(frames)


def _seed(value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"--seed {value}: give a whole number, at least 0")
    return int(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        return ""


# ---------------------------------------------------------------------------------------------------------------------
# Asking


class Session:
    """One sitting: shows responses, takes keys, keeps each label at once."""

    def __init__(
        self,
        console: Console,
        out: Path,
        question: str,
        pool: CuePool,
        seed: int,
        done: dict[tuple[str, int], Label],
        *,
        labeller: str,
        blind: bool,
    ):
        self.console, self.out, self.question, self.pool, self.seed = console, out, question, pool, seed
        self.done, self.labeller, self.blind = dict(done), labeller, blind

    def ask_all(self, queue: Sequence[Candidate], read_key: Callable[[], str]) -> None:
        """Ask what is not labelled yet; u goes back one and takes its label back; q or the end of input stops."""
        open_ones = [candidate for candidate in queue if (self.question, candidate.digest) not in self.done]
        place = 0
        while place < len(open_ones):
            self.show(open_ones[place], len(queue) - len(open_ones) + place + 1, len(queue))
            key = read_key()
            while key not in (*KEYS, "u", "q", ""):
                self.console.print(HINT)
                key = read_key()
            if key in ("q", ""):
                return
            if key == "u":
                place = max(0, place - 1)
                self.undo(open_ones[place])
            else:
                self.keep(open_ones[place], KEYS[key])
                place += 1

    def keep(self, candidate: Candidate, label: bool | None, *, undone: bool = False) -> None:
        from r1zero.analysis.labels import Label, append_label

        line = Label(
            candidate.digest, self.question, label, self.labeller, candidate.stratum, candidate.stratum_size,
            self.seed, self.pool.name if self.question == "reflects" else "", undone,
        )  # fmt: skip
        append_label(self.out, line)
        self.done[self.question, candidate.digest] = line

    def undo(self, candidate: Candidate) -> None:
        if (self.question, candidate.digest) in self.done:
            self.keep(candidate, None, undone=True)
            del self.done[self.question, candidate.digest]

    def show(self, candidate: Candidate, number: int, total: int) -> None:
        """Problem and response as text: nothing in them is taken for markup or for a terminal's control codes."""
        from rich.rule import Rule
        from rich.text import Text

        from r1zero.analysis.labels import QUESTIONS

        if self.console.is_terminal:
            self.console.clear()
        head = f"{number} of {total}" + ("" if self.blind else f"   detector: {candidate.stratum}")
        self.console.print(Rule(Text(head), align="left"))
        self.console.print(Text(harmless(candidate.problem), style="bold"))
        if self.question == "correct":
            self.console.print(Text(f"gold: {harmless(candidate.gold)}", style="bold"))
        self.console.print(Rule(style="dim"))
        self.console.print(self.marked(candidate.response) if candidate.response.strip() else Text("(empty)"))
        self.console.print(Rule(style="dim"))
        self.console.print(Text(QUESTIONS[self.question], style="bold"))
        self.console.print(HINT)

    def marked(self, response: str) -> Text:
        """The response, with cues set off unless the labeller is to see none."""
        from rich.text import Text

        from r1zero.facts.cues import find_cues

        shown = Text(harmless(response))
        if self.question == "reflects" and not self.blind:
            for span in find_cues(response, self.pool):
                shown.stylize("reverse", span.start, span.end)
        return shown

    def summarise(self, queue: Sequence[Candidate]) -> None:
        """How many were labelled, by stratum."""
        from rich.text import Text

        said = [(c, self.done[self.question, c.digest]) for c in queue if (self.question, c.digest) in self.done]
        self.console.print(Text(f"{len(said)} of {len(queue)} labelled in {self.out}"))
        for stratum in dict.fromkeys(candidate.stratum for candidate in queue):
            labels = [label.label for candidate, label in said if candidate.stratum == stratum]
            size = next(candidate.stratum_size for candidate in queue if candidate.stratum == stratum)
            counts = f"{labels.count(True)} yes, {labels.count(False)} no, {labels.count(None)} skipped"
            self.console.print(Text(f"  {stratum}: {counts}; there are {size:,}"))


def harmless(text: str) -> str:
    """The same number of characters, with control and direction codes made visible: nothing moves the cursor.

    >>> harmless("a\\x1b[2Jb\\r\\n\\u202ec")
    'a·[2Jb·\\n·c'
    """
    return "".join(c if c in "\n\t" or (c.isprintable() and not _turns(c)) else "·" for c in text)


def _turns(character: str) -> bool:
    """Whether a character changes the direction of those behind it."""
    return "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def key_reader() -> Callable[[], str]:
    """Reads one key: a key press of a terminal, else the first letter of a line of stdin; "" at the end of input."""
    if not sys.stdin.isatty():
        return _key_of_line
    return _key_pressed


def _key_of_line() -> str:
    line = sys.stdin.readline()
    return (line.strip() or "?")[0].lower() if line else ""


def _key_pressed() -> str:
    try:
        import termios
        import tty
    except ImportError:  # Windows: a line a key
        return _key_of_line()
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        return sys.stdin.read(1).lower()
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


VERB = Verb(
    name="label",
    summary="a sample of responses labelled by hand, for the precision and recall of detectors",
    usage="PATH [...] [--question answers|reflects|correct] [--n N] [-o FILE.jsonl] [--blind]",
    run=run,
    positionals=(0, 256),
    options=(
        Option(
            "question",
            "NAME",
            "what is asked of each response: does it try to answer, does it reflect, is its answer right "
            "(default: reflects)",
            choices=("answers", "reflects", "correct"),
        ),
        Option("n", "N", f"responses in the sample; a larger one continues a smaller one (default: {NUM})"),
        Option("seed", "N", "the sample is drawn by it (default: 0)"),
        Option("pool", "NAME|FILE", f"cues by which responses are sampled and marked (default: {POOL})"),
        Option("out", "FILE", f"where labels are kept, a JSON object a line (default: {OUT})", short="o"),
        Option("blind", "", "show neither the detector's verdict nor its cues"),
        Option("labeller", "NAME", "who labels, kept with each label (default: the user's name)"),
        Option("print-pool", "NAME", "print a cue pool as a file to edit, and do nothing else"),
    ),
    details="""
PATH is the directory of a run, an evaluation or a probe, or parquet; other trainers' files go through `r1zero import`.
The sample is half responses in which the detector fires and half others, so that rare ones are among them; how many
there are of each is kept with every label, and precision and recall are weighted by it. Label with the pool that you
probe with, and with --blind where the labels are to judge the detector.

Keys: y yes, n no, s skip, u undo, q quit. Every label is kept at once; the same command goes on where it was, and asks
nothing twice. Where stdin is no terminal a line is a key.

  r1zero label runs/probe --question reflects --n 200 --blind
  r1zero probe tiny-search --labels labels.jsonl
  r1zero label --print-pool extended > mine.txt        edit it, then --pool mine.txt
""",
)
