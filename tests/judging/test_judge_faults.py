"""What endpoints do when things go wrong, and what becomes of the requests."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from r1zero.judging import Counts, judge
from r1zero.judging.client import Client, retry_after

ONE = [(1, "q", "r")]
ASKED = Counts(asked=1, tokens_in=100, tokens_out=20)


def first(actions: list, then):
    """The actions in order, then the last one for ever."""
    return lambda _, before: actions[before] if before < len(actions) else then


def ask(here, questions=ONE, **settings):
    directory = settings.pop("directory", None)
    return judge(questions, ("answering",), here.config(**settings), directory=directory, backoff_s=0.005)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504, 529])
def test_a_passing_status_is_asked_again(endpoint, act, code: int):
    here = endpoint(first([act.status(code), act.status(code)], act.verdict(1)))
    verdicts = ask(here)
    assert verdicts.total == ASKED and verdicts.frame["judge_answers"].to_list() == [True]
    assert verdicts.retried == 2 and not verdicts.faults


def test_retry_after_holds_everybody_back(endpoint, act):
    here = endpoint(first([act.status(429, headers={"Retry-After": "0.4"})], act.verdict(1)))
    verdicts = ask(here, [(i, "q", str(i)) for i in range(3)])
    assert verdicts.total.asked == 3
    assert here.times[1] - here.times[0] >= 0.39


def test_a_retry_after_of_hours_is_a_failure_and_not_a_wait(endpoint, act):
    here = endpoint(lambda *_: act.status(429, "daily limit", {"Retry-After": "7200"}))
    verdicts = ask(here)
    assert verdicts.faults == {"429: daily limit, and asks to wait 7,200 seconds": 1} and len(here.requests) == 1


def test_retry_after_is_a_number_or_a_date():
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after": "-3"}) == 0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": later}) == pytest.approx(30, abs=2)
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "inf"}, {"retry-after": ""}):
        assert retry_after(nothing) is None


def test_backoff_doubles_with_jitter_up_to_a_minute(endpoint, act):
    client = Client(endpoint(lambda *_: act.verdict(1)).config())
    for attempt, most in [(0, 1), (1, 2), (4, 16), (10, 60)]:
        waits = [client._backoff(attempt) for _ in range(200)]
        assert most / 2 <= min(waits) < 0.6 * most and 0.9 * most < max(waits) <= most


def test_a_fault_that_stays_is_a_null_with_its_reason_and_the_others_are_judged(endpoint, act):
    def script(request: dict, _: int):
        return act.status(500, "boom\nat line 3") if "bad" in request["messages"][0]["content"] else act.verdict(1)

    here = endpoint(script)
    verdicts = ask(here, [(1, "q", "good"), (2, "q", "bad"), (3, "q", "fine")])
    assert verdicts.frame.sort("digest")["judge_answers"].to_list() == [True, None, True]
    assert verdicts.total == Counts(asked=2, failed=1, tokens_in=200, tokens_out=40)
    assert verdicts.faults == {"500: boom at line 3": 1}
    assert verdicts.retried == 3 and len(here.requests) == 6  # 1 + (1 + 3) + 1


def test_failed_requests_are_not_kept_and_are_asked_again_next_time(endpoint, act, tmp_path: Path):
    here = endpoint(first([act.status(500)] * 4, act.verdict(1)))
    assert ask(here, directory=tmp_path).total == Counts(failed=1)
    assert ask(here, directory=tmp_path).total == ASKED


def test_a_time_out_is_asked_again(endpoint, act):
    here = endpoint(first([act.hang(5)], act.verdict(1)))
    verdicts = ask(here, timeout_s=1.5)
    assert verdicts.total == ASKED and verdicts.retried == 1


def test_a_server_that_trickles_bytes_meets_the_deadline_all_the_same(endpoint, act):
    here = endpoint(lambda *_: act.trickle)  # each byte resets a read time-out, and all of them take 5 seconds
    verdicts = ask(here, timeout_s=0.3, retries=1)
    assert verdicts.faults == {"no whole reply within 0.3 seconds": 1} and len(here.requests) == 2


def test_a_connection_closed_in_the_middle_is_asked_again(endpoint, act):
    half = act.completion("1")[:60]
    here = endpoint(first([act.raw(half, cut=500)], act.verdict(1)))
    verdicts = ask(here)
    assert verdicts.total == ASKED and verdicts.retried == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"id": "1", "choices": [{"index": 0, "mess',
        b"<html>busy</html>",
        b"\xff\xfe\x00",
        b"null",
        b'"text"',
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"index": 0}]}',
        b'{"choices": {"0": 1}}',
        b'{"choices": [1]}',
        b'{"error": {"message": "upstream"}}',
        b"[" * 5000,
    ],
)
def test_a_body_that_is_no_whole_completion_is_asked_again(endpoint, act, body: bytes):
    here = endpoint(first([act.raw(body)], act.verdict(1)))
    verdicts = ask(here)
    assert verdicts.total == ASKED and verdicts.retried == 1


def test_nobody_listening_is_a_failure_with_its_reason(endpoint, act):
    here = endpoint(lambda *_: act.verdict(1))
    verdicts = judge(ONE, ("answering",), here.config(url="http://127.0.0.1:9/v1", retries=1), backoff_s=0.005)
    assert verdicts.total == Counts(failed=1)
    assert next(iter(verdicts.faults)).startswith("no connection, or one that broke (")


def test_an_endpoint_that_never_answers_is_left_alone_soon(endpoint, act):
    here = endpoint(lambda *_: act.status(503, "down"))
    verdicts = ask(here, [(i, "q", str(i)) for i in range(500)], retries=0, concurrency=4)
    assert verdicts.total == Counts(failed=500) and verdicts.frame["judge_answers"].null_count() == 500
    assert 6 <= len(here.requests) <= 9  # four and two in a row, and those in flight
    assert "not asked, after 6 failures in a row" in verdicts.faults


def test_an_endpoint_that_goes_down_is_left_alone_after_ten_more(endpoint, act):
    here = endpoint(first([act.verdict(1)] * 5, act.status(503, "down")))
    verdicts = ask(here, [(i, "q", str(i)) for i in range(500)], retries=0, concurrency=1)
    assert verdicts.total == Counts(asked=5, failed=495, tokens_in=500, tokens_out=100)
    assert len(here.requests) == 5 + 11
    assert verdicts.faults == {"not asked, after 11 failures in a row": 484, "503: down": 11}


def test_failures_that_are_not_in_a_row_do_not_stop_anything(endpoint, act):
    turn = itertools.cycle([act.verdict(1), act.status(503)])
    here = endpoint(lambda *_: next(turn))
    verdicts = ask(here, [(i, "q", str(i)) for i in range(40)], retries=0)
    assert verdicts.total.failed == verdicts.total.asked == 20 and len(here.requests) == 40


@pytest.mark.parametrize(
    ("code", "message"),
    [(401, "OPENAI_API_KEY"), (403, r"not let this key use 'judge'"), (404, r"--judge\.url up to and with /v1")],
)
def test_what_no_request_can_pass_stops_at_once(endpoint, act, tmp_path: Path, code: int, message: str):
    here = endpoint(first([act.verdict(1), act.verdict(1)], act.status(code, "go away")))
    many = [(i, "q", str(i)) for i in range(9)]
    with pytest.raises(ValueError, match=message):
        ask(here, many, directory=tmp_path)
    assert len(here.requests) == 3
    better = endpoint(lambda *_: act.verdict(1))
    assert ask(better, many, directory=tmp_path).total.cached == 2


def test_a_used_up_quota_stops_at_once(endpoint, act):
    here = endpoint(lambda *_: act.status(429, "pay first", code_name="insufficient_quota"))
    with pytest.raises(ValueError, match=r"quota is used up .*pay first"):
        ask(here)
    assert len(here.requests) == 1


@pytest.mark.parametrize("code", [400, 422])
def test_an_endpoint_without_structured_output_is_asked_for_plain_text(endpoint, act, code: int):
    def script(request: dict, _: int):
        return act.status(code, "unknown field response_format") if "response_format" in request else act.say("fine\n1")

    here = endpoint(script)
    verdicts = ask(here, [(i, "q", str(i)) for i in range(4)])
    assert verdicts.total.asked == 4 and verdicts.frame["judge_answers"].all() and verdicts.structured is False
    assert ["response_format" in request for request in here.requests] == [True, False, False, False, False]


def test_a_text_that_the_endpoint_refuses_fails_alone_and_is_not_repeated(endpoint, act):
    def script(request: dict, _: int):
        return act.status(400, "too long") if "bad" in request["messages"][0]["content"] else act.verdict(1)

    here = endpoint(script)
    verdicts = ask(here, [(1, "q", "bad"), (2, "q", "good"), (3, "q", "bad too")])
    assert verdicts.faults == {"400: too long": 2} and verdicts.total.asked == 1 and verdicts.structured is True
    assert ["response_format" in request for request in here.requests] == [True, False, True, True]


def test_newer_models_get_the_limit_under_the_name_they_want(endpoint, act):
    def script(request: dict, _: int):
        if "max_tokens" in request:
            return act.status(400, "'max_tokens' is not supported with this model; use 'max_completion_tokens'")
        return act.verdict(1)

    here = endpoint(script)
    verdicts = ask(here, [(1, "q", "a"), (2, "q", "b")], max_tokens=99)
    assert verdicts.total.asked == 2 and verdicts.structured is True
    assert [request.get("max_completion_tokens") for request in here.requests] == [None, 99, 99]


def test_an_error_raised_by_the_progress_display_reaches_the_caller(endpoint, act):
    def broken(_: Counts) -> None:
        raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="the terminal is gone"):
        judge(ONE, ("answering",), endpoint(lambda *_: act.verdict(1)).config(concurrency=3), on_progress=broken)
