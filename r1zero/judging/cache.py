"""Judges' replies on disk, so that nothing is paid for twice: one SQLite file, safe to share between processes.

Only replies that arrived whole are kept, each by its own commit: a run that is killed finds there all it was told.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

FILE = "judge.sqlite"
FORMAT = 1  # of the table below
TABLE = """create table if not exists replies (
    key text primary key, instruction text not null, model text not null, reply text not null,
    finished integer not null, category integer, tokens_in integer, tokens_out integer
)"""
COLUMNS = "reply, finished, category, tokens_in, tokens_out"


@dataclass(frozen=True)
class Kept:
    """A reply and what was read from it."""

    reply: str
    finished: bool  # False when cut at max_tokens
    category: int | None  # None: unparseable
    tokens_in: int | None  # None where the endpoint did not say
    tokens_out: int | None


def cache_key(model: str, instruction: str, text: str, temperature: float, max_tokens: int) -> str:
    """All that a reply depends on, as a digest."""
    parts = json.dumps([model, instruction, text, float(temperature), max_tokens])
    return hashlib.sha256(parts.encode()).hexdigest()


class Cache:
    """The replies of one file, or of memory alone where no path is given.  Use it with `with`."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._named():
            self._file = sqlite3.connect(":memory:" if path is None else path, timeout=60)
        try:
            with self._named():
                self._prepare()
        except ValueError:
            self._file.close()
            raise

    def _prepare(self) -> None:
        self._file.execute("pragma synchronous = normal")  # a killed process loses nothing; a power cut may
        if (damage := self._file.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(damage)
        with self._file:
            self._file.execute("begin immediate")  # of two processes that open a new file, one makes the table
            version = self._file.execute("pragma user_version").fetchone()[0]
            tables = self._file.execute("select count(*) from sqlite_master").fetchone()[0]
            if version != (FORMAT if tables else 0):
                raise sqlite3.DatabaseError("it is a database of something else, or of another version")
            self._file.execute(TABLE)
            self._file.execute(f"pragma user_version = {FORMAT}")
        self._file.execute(f"select {COLUMNS} from replies limit 1")

    def get(self, key: str) -> Kept | None:
        """The reply kept under a key."""
        with self._named():
            row = self._file.execute(f"select {COLUMNS} from replies where key = ?", (key,)).fetchone()
        return Kept(row[0], bool(row[1]), *row[2:]) if row else None

    def put(self, key: str, instruction: str, model: str, kept: Kept) -> None:
        """Keep a reply; where another process was faster, its reply stays."""
        row = (key, instruction, model, kept.reply, kept.finished, kept.category, kept.tokens_in, kept.tokens_out)
        with self._named(), self._file:
            self._file.execute("insert or ignore into replies values (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def __len__(self) -> int:
        with self._named():
            return int(self._file.execute("select count(*) from replies").fetchone()[0])

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of SQLite name the file and the remedy."""
        try:
            yield
        except sqlite3.ProgrammingError:  # not the file's fault
            raise
        except sqlite3.OperationalError as error:  # locked, read-only, disk full, or a table with other columns
            raise ValueError(f"the judge's cache {self._path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"the judge's cache {self._path} is corrupt ({error}): move it away, and what it held is asked again"
            ) from error
