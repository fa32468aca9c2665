"""What an evaluation asks: suites expanded into benchmarks, each with its problems and its template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from r1zero.config import EvalConfig, nearest
from r1zero.records import Problem
from r1zero.tasks import build_task
from r1zero.tasks.benchmarks import BENCHMARKS, SUFFIXES, SUITES, find_file, find_folder, load_benchmark
from r1zero.tasks.datafiles import FileCountdown, read_table
from r1zero.tasks.mathematics import FileMathematics, read_problems
from r1zero.tasks.templates import Template
from r1zero.tasks.visual_rows import VisualRows

GENERATED = 512  # problems where they are made rather than read
SEEING: dict[str, Literal["visual", "cvbench"]] = {"visual": "visual", "cvbench": "cvbench"}
TASK_SUITES = ("countdown", *SEEING)  # suites that are tasks of the same name, with its settings


@dataclass(frozen=True)
class Entry:
    """One benchmark as it is asked.

    Example: Entry("aime24", problems=(...), template=TEMPLATES["qwen_math"])
    """

    name: str
    problems: tuple[Problem, ...]
    template: Template


def expand(suites: Sequence[str]) -> list[str]:
    """Names of benchmarks, tasks, files and Hub ids in the order asked, each once.

    Raises ValueError for a name that is none of them, naming the nearest.

    >>> expand(["countdown", "math", "aime24"])
    ['countdown', 'aime24', 'amc', 'math500', 'minerva', 'olympiad_bench']
    """
    names: list[str] = []
    for suite in suites:
        if suite not in SUITES and suite not in BENCHMARKS and suite not in TASK_SUITES and not is_source(suite):
            known = [*TASK_SUITES, *SUITES, *BENCHMARKS]
            raise ValueError(f"unknown suite {suite!r}: {nearest(suite, known)}; or give a parquet or jsonl file")
        names += SUITES.get(suite, (suite,))
    return list(dict.fromkeys(names))


def is_source(name: str) -> bool:
    """Whether a suite is a file or a Hub id rather than a name."""
    return name.endswith(SUFFIXES) or (name.count("/") == 1 and not name.startswith((".", "/", "~")))


def is_mathematical(name: str) -> bool:
    return name in BENCHMARKS or name in SUITES


def load_entries(names: Sequence[str], config: EvalConfig, template: Template) -> list[Entry]:
    """Every benchmark with its problems; without names, the config's own task.

    Raises ValueError naming what cannot be read, or stands there twice.
    """
    entries = [Entry(_title(name), tuple(_problems(name, config)), template) for name in names]
    if not names:
        entries = [Entry(config.task.name, tuple(own_problems(config)), template)]
    twice = [name for name, count in Counter(entry.name for entry in entries).items() if count > 1]
    if twice:
        raise ValueError(f"two suites are called {twice[0]!r}: rename one of the files")
    ids = Counter(problem.id for entry in entries for problem in entry.problems)
    if ids and (most := ids.most_common(1)[0])[1] > 1:
        raise ValueError(f"problem {most[0]} is asked twice: leave one of the suites out")
    return entries


def _title(name: str) -> str:
    """A file goes by its name; one that is called like a benchmark keeps its suffix, for it may hold something else.

    >>> _title("mine/sums.jsonl"), _title("mine/math500.jsonl"), _title("math500")
    ('sums', 'math500.jsonl', 'math500')
    """
    file = Path(name)
    if not name.endswith(SUFFIXES):
        return name
    return file.name if file.stem in {*TASK_SUITES, *SUITES, *BENCHMARKS} else file.stem


def _problems(name: str, config: EvalConfig) -> list[Problem]:
    if name in BENCHMARKS:
        problems = load_benchmark(name, config.data)
    elif seeing := SEEING.get(name):
        return _visual(seeing, config)
    elif name == "countdown":
        return _countdown(name, config)
    elif shown := visual_task(columns := read_table(name, config.task.split).columns):
        return own_problems(replace(config, task=replace(config.task, name=shown, path=name)))
    elif "nums" not in {column.lower() for column in columns}:
        problems = read_problems(name, config.task.split, prefix=_title(name))
    else:
        return _countdown(name, config)
    return problems[: config.num_problems] if config.num_problems else problems


def visual_task(columns: Sequence[str]) -> Literal["sat", "cvbench", "visual_file"] | None:
    """The task that reads a table with pictures in it; None of a table without.

    >>> visual_task(["problem", "answer", "images"]), visual_task(["problem", "answer"])
    ('visual_file', None)
    """
    if {"image_bytes", "correct_answer"} <= set(columns):
        return "sat"
    if {"image", "choices", "task", "source"} <= set(columns):
        return "cvbench"
    return "visual_file" if {"image", "images", "messages", "conversations"} & set(columns) else None


def _countdown(name: str, config: EvalConfig) -> list[Problem]:
    path = name if name != "countdown" else config.task.path if config.task.name == "countdown" else None
    return own_problems(replace(config, task=replace(config.task, name="countdown", path=path)))


def _visual(name: Literal["visual", "cvbench"], config: EvalConfig) -> list[Problem]:
    """CV-Bench lies where the config's task says, else in the data directory (a file or folder), else on the Hub."""
    own = config.task.path if config.task.name == name else None
    found = None if own or name == "visual" else find_file(name, config.data) or find_folder(name, config.data)
    path = own or (str(found) if found else None)
    split = config.task.split if config.task.name == name else "test"
    return own_problems(replace(config, task=replace(config.task, name=name, path=path, split=split)))


def own_problems(config: EvalConfig) -> list[Problem]:
    """What the config's own task asks: the first `num_problems`, or all of a file."""
    task = build_task(config.task, config.seed, whole_file=not config.held_out_only)
    of_file = len(task.rows["eval"]) if isinstance(task, FileCountdown | FileMathematics | VisualRows) else GENERATED
    return task.problems("eval", 0, config.num_problems or of_file)
