"""The key goes into the header of requests and nowhere else."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from r1zero.config import to_dict
from r1zero.judging import judge
from r1zero.judging.client import Client

KEY = "sk-very-secret-0123456789"
QUESTIONS = [(i, "q", f"text {i}") for i in range(4)]


def everything_in(value: object, seen: set[int]) -> str:
    """The reprs of an object's fields, and of theirs."""
    if id(value) in seen or isinstance(value, str | int | float | type(None)):
        return repr(value)
    seen.add(id(value))
    return repr(value) + "".join(repr(field) for field in getattr(value, "__dict__", {}).values())


def test_the_key_is_sent_as_a_header(endpoint, act, monkeypatch: pytest.MonkeyPatch):
    here = endpoint(lambda *_: act.verdict(1))
    monkeypatch.setenv("MY_KEY", KEY)
    judge(QUESTIONS, ("answering",), here.config(key_env="MY_KEY"))
    assert {headers["authorization"] for headers in here.headers} == {f"Bearer {KEY}"}
    assert not any(KEY in text for text in here.texts())


def test_another_variable_is_not_read(endpoint, act, monkeypatch: pytest.MonkeyPatch):
    here = endpoint(lambda *_: act.verdict(1))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    judge(QUESTIONS, ("answering",), here.config(key_env="MY_KEY"))
    assert not any(KEY in str(headers) for headers in here.headers)


@pytest.mark.parametrize("code", [200, 400, 401, 403, 404, 429, 500])
def test_a_server_that_repeats_the_key_spreads_it_nowhere(
    endpoint, act, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd, caplog, code: int
):
    """Replies, errors of every kind, logs of everything, the cache, what is returned and raised."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = f"you said {KEY}\n" + "x" * 170 + KEY
    here = endpoint(lambda *_: act.say(f"{echo}\n1") if code == 200 else act.status(code, echo))
    config = here.config(retries=1)
    told = repr(config) + str(to_dict(config))
    try:
        verdicts = judge(QUESTIONS, config=config, directory=tmp_path, backoff_s=0.001)
    except ValueError as error:
        told += str(error) + repr(error.__cause__) + repr(error.__context__)
        assert code in (401, 403, 404)
    else:
        told += repr(verdicts) + repr(verdicts.frame.rows())
        assert code in (200, 400, 429, 500)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert written  # the cache is there
    told += "".join(capfd.readouterr()) + caplog.text
    assert "judge" in told
    for part in (KEY, KEY[:12], KEY[-12:]):
        assert part.encode() not in written
        assert part not in told
    assert (b"you said ***" in written) == (code == 200)


def test_nothing_that_prints_the_client_prints_the_key(endpoint, act, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    client = Client(endpoint(lambda *_: act.verdict(1)).config())
    assert KEY not in everything_in(client, set())


def test_a_word_that_local_servers_take_for_a_key_is_not_blanked_out(endpoint, act, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    here = endpoint(lambda *_: act.say("EMPTY text\n0"))
    judge(QUESTIONS[:1], ("answering",), replace(here.config(), retries=0), directory=tmp_path)
    assert b"EMPTY text" in (tmp_path / "judge.sqlite").read_bytes()
