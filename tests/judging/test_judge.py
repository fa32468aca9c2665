"""Judging many responses: one row each, nothing asked twice, everything counted."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from r1zero.config import JudgeConfig, build
from r1zero.judging import Counts, estimate, judge
from r1zero.judging.instructions import load_instruction
from r1zero.judging.pace import Pace

QUESTIONS = [(2**64 - 1, "1+1?", "It is 2."), (5, "2+2?", "No wait, 4."), (7, "3+3?", "Once upon a time")]


def is_reflection(request: dict) -> bool:
    return "looks back" in request["messages"][0]["content"]


def test_a_row_holds_both_verdicts_of_a_response(endpoint, act):
    def script(request: dict, _: int):
        text = request["messages"][0]["content"]
        if is_reflection(request):
            return act.verdict(2 if "No wait" in text else 1)
        return act.verdict(0 if "Once upon" in text else 1)

    here = endpoint(script)
    verdicts = judge(QUESTIONS, config=here.config(concurrency=4))
    assert verdicts.frame.schema == {"digest": pl.UInt64, "judge_answers": pl.Boolean, "judge_category": pl.Int8}
    assert sorted(verdicts.frame.rows()) == [(5, True, 2), (7, False, 1), (2**64 - 1, True, 1)]
    assert verdicts.total == Counts(asked=6, tokens_in=600, tokens_out=120)
    assert verdicts.counts == {label: Counts(3, tokens_in=300, tokens_out=60) for label in verdicts.counts}
    assert list(verdicts.counts) == ["answering-1", "reflection-1"]
    assert not verdicts.faults and verdicts.retried == 0 and verdicts.structured is True


def test_a_request_carries_the_settings_and_the_schema(endpoint, act):
    here = endpoint(lambda *_: act.verdict(1))
    judge(QUESTIONS[:1], ("answering",), here.config(max_tokens=77, temperature=0.25))
    [request] = here.requests
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("judge", 77, 0.25)
    assert request["response_format"] == load_instruction("answering").response_format
    assert [message["role"] for message in request["messages"]] == ["user"]


def test_only_what_is_asked_about_is_judged(endpoint, act):
    here = endpoint(lambda *_: act.verdict(2))
    verdicts = judge(QUESTIONS[:1], ("reflection",), here.config())
    assert verdicts.frame.rows() == [(2**64 - 1, None, 2)]
    assert len(here.requests) == 1


def test_a_digest_is_judged_once_however_often_it_comes(endpoint, act):
    here = endpoint(lambda *_: act.verdict(1))
    assert judge(QUESTIONS[:1] * 5, ("answering",), here.config()).frame.height == 1
    assert len(here.requests) == 1


def test_no_questions_give_an_empty_frame(endpoint, act):
    verdicts = judge([], config=endpoint(lambda *_: act.verdict(1)).config())
    assert verdicts.frame.is_empty() and verdicts.total == Counts() and verdicts.structured is None


def test_unparseable_replies_are_null_counted_apart_and_kept(endpoint, act, tmp_path: Path):
    here = endpoint(lambda *_: act.say("The answer is 12."))
    first = judge(QUESTIONS, ("reflection",), here.config(), directory=tmp_path)
    assert first.frame["judge_category"].to_list() == [None] * 3
    assert first.total == Counts(asked=3, unparseable=3, tokens_in=300, tokens_out=60)
    again = judge(QUESTIONS, ("reflection",), here.config(), directory=tmp_path)
    assert again.total == Counts(cached=3, unparseable=3, cached_in=300, cached_out=60) and len(here.requests) == 3


def test_a_reply_without_content_is_unparseable(endpoint, act):
    verdicts = judge(QUESTIONS[:1], ("answering",), endpoint(lambda *_: act.say(None)).config())
    assert verdicts.total == Counts(asked=1, unparseable=1, tokens_in=100, tokens_out=20)


def test_a_digit_at_a_cut_is_no_verdict(endpoint, act):
    here = endpoint(lambda *_: act.say("First,\n1", finish="length"))
    assert judge(QUESTIONS[:1], ("answering",), here.config()).total.unparseable == 1


def test_replies_without_token_counts_are_counted(endpoint, act):
    verdicts = judge(QUESTIONS, ("answering",), endpoint(lambda *_: act.say("1", usage=None)).config())
    assert verdicts.total == Counts(asked=3, unmetered=3)


def test_shortened_texts_are_counted(endpoint, act):
    here = endpoint(lambda *_: act.verdict(1))
    verdicts = judge([(1, "q", "a" * 301), (2, "q", "b" * 300)], ("answering",), here.config(max_chars=300))
    assert verdicts.total.shortened == 1
    assert sum("1 characters left out" in text for text in here.texts()) == 1


def test_the_cost_is_that_of_this_run_and_nan_without_prices(endpoint, act, tmp_path: Path):
    here = endpoint(lambda *_: act.verdict(1))
    assert math.isnan(judge(QUESTIONS, ("answering",), here.config()).cost)
    priced = here.config(price_in=10.0, price_out=50.0)
    first = judge(QUESTIONS, ("answering",), priced, directory=tmp_path)
    assert first.cost == pytest.approx((300 * 10 + 60 * 50) / 1e6)  # 0.006
    assert judge(QUESTIONS, ("answering",), priced, directory=tmp_path).cost == 0


def test_what_is_cached_is_not_asked_again_and_other_settings_are(endpoint, act, tmp_path: Path):
    here = endpoint(lambda *_: act.verdict(1))
    first = judge(QUESTIONS, config=here.config(), directory=tmp_path)
    again = judge(QUESTIONS, config=here.config(concurrency=5), directory=tmp_path)
    assert again.total == Counts(cached=6, cached_in=600, cached_out=120) and len(here.requests) == 6
    assert again.frame.sort("digest").equals(first.frame.sort("digest"))
    judge(QUESTIONS, config=here.config(max_tokens=301), directory=tmp_path)
    judge(QUESTIONS, config=here.config(model="other"), directory=tmp_path)
    assert len(here.requests) == 18


def test_the_cache_of_the_config_comes_before_the_directory(endpoint, act, tmp_path: Path):
    here = endpoint(lambda *_: act.verdict(1))
    judge(QUESTIONS, ("answering",), here.config(cache=str(tmp_path / "shared")), directory=tmp_path / "own")
    assert [path.name for path in tmp_path.rglob("*")] == ["shared", "judge.sqlite"]


def test_two_runs_share_a_cache_at_the_same_time(endpoint, act, tmp_path: Path):
    here = endpoint(lambda *_: act.verdict(1))
    many = [(i, "q", f"text {i}") for i in range(30)]
    runs: list = []
    threads = [
        threading.Thread(
            target=lambda: runs.append(judge(many, ("answering",), here.config(concurrency=3), directory=tmp_path))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.frame["judge_answers"].sum() for run in runs] == [30, 30]
    assert judge(many, ("answering",), here.config(), directory=tmp_path).total.cached == 30


def test_progress_ends_at_the_totals(endpoint, act):
    seen: list[Counts] = []
    verdicts = judge(QUESTIONS, config=endpoint(lambda *_: act.verdict(1)).config(), on_progress=seen.append)
    assert len(seen) == 6 and seen[-1] == verdicts.total
    assert [counts.asked for counts in seen] == [1, 2, 3, 4, 5, 6]


def test_questions_are_drawn_only_as_they_are_asked(endpoint, act):
    drawn: list[int] = []

    def questions():
        for i in range(20):
            drawn.append(i)
            yield i, "q", str(i)

    here = endpoint(lambda _, before: act.verdict(1) if before < 4 else act.status(401))
    with pytest.raises(ValueError, match="401"):
        judge(questions(), ("answering",), here.config())
    assert drawn == [0, 1, 2, 3, 4]


def test_as_many_requests_are_in_flight_as_asked_for_and_no_more(endpoint, act):
    lock, now, most = threading.Lock(), [0], [0]
    four = threading.Barrier(4)  # breaks, and the request with it, unless four are there together

    def script(*_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        four.wait(20)
        with lock:
            now[0] -= 1
        return act.verdict(1)

    here = endpoint(script)
    many = [(i, "q", str(i)) for i in range(12)]
    assert judge(many, ("answering",), here.config(concurrency=4, timeout_s=30, retries=0)).total.asked == 12
    assert most[0] == 4


def test_requests_start_evenly_spaced(monkeypatch: pytest.MonkeyPatch):
    clock, starts = [100.0], []

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr("r1zero.judging.pace.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("r1zero.judging.pace.asyncio.sleep", sleep)

    async def five() -> None:
        pace = Pace(per_minute=120)
        for i in range(5):
            await pace.turn()
            starts.append(clock[0])
            if i == 2:
                pace.hold(7)

    asyncio.run(five())
    assert starts == pytest.approx([100, 100.5, 101, 108, 108.5])


def test_every_request_of_every_worker_waits_for_its_turn(endpoint, act, monkeypatch: pytest.MonkeyPatch):
    turns: list[float] = []

    class Counted(Pace):
        async def turn(self) -> None:
            turns.append(60 / self._gap_s)

    monkeypatch.setattr("r1zero.judging.client.Pace", Counted)
    here = endpoint(lambda _, before: act.status(500) if before < 2 else act.verdict(1))
    judge(QUESTIONS, ("answering",), here.config(concurrency=3, requests_per_minute=600), backoff_s=0.001)
    assert turns == [600] * 5  # three questions, two of them again


def test_it_runs_inside_a_running_event_loop(endpoint, act):
    here = endpoint(lambda *_: act.verdict(1))

    async def notebook():
        return judge(QUESTIONS, ("answering",), here.config())

    assert asyncio.run(notebook()).total.asked == 3


def test_a_killed_run_goes_on_where_it_was(endpoint, act, tmp_path: Path):
    """Killed for good (SIGKILL) after some replies; the next run asks for none of those again."""
    here = endpoint(lambda _, before: act.verdict(1) if before < 7 else act.hang(20))
    program = (
        "import sys; from pathlib import Path\n"
        "from r1zero.config import JudgeConfig; from r1zero.judging import judge\n"
        "many = [(i, 'q', f'text {i}') for i in range(12)]\n"
        "config = JudgeConfig(url=sys.argv[1], model='judge', concurrency=2)\n"
        "judge(many, ('answering',), config, directory=Path(sys.argv[2]))"
    )
    running = subprocess.Popen([sys.executable, "-c", program, here.url, str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(here.requests) < 9 and time.monotonic() < deadline:  # seven replies, and two that hang
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    before, here2 = set(here.texts()), endpoint(lambda *_: act.verdict(1))
    assert len(before) == 9
    done = judge([(i, "q", f"text {i}") for i in range(12)], ("answering",), here2.config(), directory=tmp_path)
    assert done.total.cached == 7 and done.total.asked == 5
    assert done.frame["judge_answers"].to_list() == [True] * 12
    assert len(before & set(here2.texts())) == 2  # those in flight


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, endpoint, act):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ValueError, match=r"pip install 'r1zero\[judge\]'"):
        judge(QUESTIONS, config=endpoint(lambda *_: act.verdict(1)).config())


def test_importing_the_room_does_not_import_the_package():
    code = "import sys, r1zero.judging, r1zero.judging.client; print('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_without_an_endpoint_both_settings_are_named():
    with pytest.raises(ValueError, match=r"--judge\.url and --judge\.model"):
        judge(QUESTIONS)


def test_an_estimate_is_a_ceiling_worked_out_by_hand():
    config = JudgeConfig(url="http://h/v1", model="m", price_in=2.0, price_out=8.0, requests_per_minute=50)
    told = len(load_instruction("answering").text)
    found = estimate(100, 1700.0, config, ("answering",))
    assert (found.requests, found.tokens_out, found.minutes) == (100, 30_000, 2.0)
    assert found.tokens_in == round(100 * (told + 1700) / 3)
    assert found.cost == pytest.approx((found.tokens_in * 2 + 30_000 * 8) / 1e6)
    assert math.isnan(estimate(100, 1700.0, JudgeConfig()).cost)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"url": "http://h/v1"}, "give both"),
        ({"model": "m"}, "give both"),
        ({"url": "h/v1", "model": "m"}, r"judge\.url: must be http"),
        ({"url": "https://h/v1?key=topsecret", "model": "m"}, r"judge\.url: must be http"),
        ({"url": "https://me:topsecret@h/v1", "model": "m"}, r"judge\.url: must be http"),
        ({"key_env": "sk-topsecret"}, r"judge\.key_env: must be the NAME"),
        ({"key_env": "hf_topsecret"}, r"judge\.key_env: must be the NAME"),
        ({"concurrency": 0}, r"judge\.concurrency=0"),
        ({"timeout_s": float("nan")}, r"judge\.timeout_s=nan"),
        ({"price_in": -1}, r"judge\.price_in=-1"),
    ],
)
def test_wrong_settings_are_refused_without_showing_what_may_be_secret(given: dict, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        build(JudgeConfig, given)
    assert "topsecret" not in str(caught.value)


def test_the_settings_survive_json():
    config = JudgeConfig(url="http://h/v1", model="m", price_in=1.5)
    assert build(JudgeConfig, json.loads(json.dumps(config.__dict__))) == config
