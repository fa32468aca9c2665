"""Replies on disk: kept once, shared between processes, and never read from a file that is something else."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r1zero.judging.cache import Cache, Kept, cache_key

KEPT = Kept('{"category": 2}', True, 2, 100, 20)


def test_a_reply_is_there_after_reopening(tmp_path: Path):
    path = tmp_path / "new" / "judge.sqlite"
    with Cache(path) as cache:
        assert cache.get("k") is None
        cache.put("k", "reflection-1", "judge", KEPT)
        cache.put("none", "reflection-1", "judge", Kept("12.", False, None, None, None))
    with Cache(path) as cache:
        assert cache.get("k") == KEPT
        assert cache.get("none") == Kept("12.", False, None, None, None)
        assert len(cache) == 2


def test_the_first_of_two_replies_stays(tmp_path: Path):
    with Cache(tmp_path / "c") as cache:
        cache.put("k", "reflection-1", "judge", KEPT)
        cache.put("k", "reflection-1", "judge", Kept("0", True, 0, 1, 1))
        assert cache.get("k") == KEPT


def test_the_key_depends_on_all_that_a_reply_depends_on():
    base = ("judge", "reflection-1", "text", 0.0, 300)
    others = [
        ("other", "reflection-1", "text", 0.0, 300),
        ("judge", "reflection-2", "text", 0.0, 300),
        ("judge", "reflection-1", "text ", 0.0, 300),
        ("judge", "reflection-1", "text", 0.5, 300),
        ("judge", "reflection-1", "text", 0.0, 301),
        ("judger", "eflection-1", "text", 0.0, 300),
    ]
    assert len({cache_key(*parts) for parts in [base, *others]}) == 7
    assert cache_key(*base) == cache_key("judge", "reflection-1", "text", 0, 300)


def test_many_writers_of_one_new_file_lose_nothing(tmp_path: Path):
    path = tmp_path / "judge.sqlite"

    def write(writer: int) -> None:
        with Cache(path) as cache:
            for i in range(15):
                cache.put(f"{writer}-{i}", "answering-1", "judge", KEPT)
                cache.put(f"shared-{i}", "answering-1", "judge", KEPT)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    with Cache(path) as cache:
        assert len(cache) == 6 * 15 + 15


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path):
    path = tmp_path / "judge.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ValueError, match=r"judge\.sqlite is corrupt .*move it away"):
        Cache(path)
    assert path.read_bytes() == b"not a database" * 100


def test_a_damaged_database_is_an_error_that_names_it(tmp_path: Path):
    path = tmp_path / "judge.sqlite"
    with Cache(path) as cache:
        for i in range(30):
            cache.put(f"{i:064}", "answering-1", "judge", Kept("x" * 2000, True, 1, 1, 1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"judge\.sqlite is corrupt"):
        Cache(path)
    path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
    with pytest.raises(ValueError, match=r"judge\.sqlite is corrupt"):
        Cache(path)


@pytest.mark.parametrize("table", ["create table replies (a)", "create table other (a)"])
def test_a_database_of_something_else_is_left_alone(tmp_path: Path, table: str):
    path = tmp_path / "judge.sqlite"
    with sqlite3.connect(path) as file:
        file.execute(table)
    file.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"judge\.sqlite is corrupt .*something else"):
        Cache(path)
    assert path.read_bytes() == before


def test_a_directory_in_its_place_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "judge.sqlite").mkdir()
    with pytest.raises(ValueError, match=r"judge\.sqlite cannot be used"):
        Cache(tmp_path / "judge.sqlite")
