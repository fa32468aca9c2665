"""One request to a judge, through the `openai` package, repeated while the fault may pass.

The key comes from an environment variable and leaves this process only in the header of a request: texts that come
back are searched for it before anybody sees them.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from r1zero.config import JudgeConfig
from r1zero.judging.instructions import Instruction
from r1zero.judging.pace import Pace

if TYPE_CHECKING:
    import openai

BACKOFF_S = 1.0  # before the first repetition; each further one waits twice as long, with jitter
LONGEST_BACKOFF_S = 60.0
LONGEST_HOLD_S = 300.0  # a Retry-After beyond this is a failure, not a wait
SHORTEST_SECRET = 8  # shorter "keys" are words such as EMPTY, as local servers take them
UNHEARD = 2  # repetitions for an endpoint that has never been reached: a wrong port is found out in seconds
PASSING = frozenset({408, 409, 425, 429})  # and all above 500
NOT_AS_ASKED = frozenset({400, 422})  # what servers answer to a parameter they do not know


@dataclass(frozen=True)
class Reply:
    """What a judge said."""

    text: str
    finished: bool  # False when cut at max_tokens
    tokens_in: int | None  # None where the endpoint does not say
    tokens_out: int | None


class JudgeRefusedError(ValueError):
    """No request to this endpoint can succeed with these settings."""


class UnansweredError(RuntimeError):
    """One request came to nothing; others may succeed."""


class FaultError(Exception):
    """One attempt came to nothing."""

    def __init__(self, reason: str, *, passing: bool = True, reached: bool = True, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.passing = passing  # worth another attempt
        self.reached = reached  # False: no connection
        self.wait_s = wait_s  # the endpoint's Retry-After


class Client:
    """An endpoint and what has been learnt about it."""

    def __init__(self, config: JudgeConfig, *, backoff_s: float = BACKOFF_S) -> None:
        try:
            import openai
        except ImportError:
            raise ValueError("a judge needs the extra `judge`: pip install 'r1zero[judge]'") from None
        if config.url is None or config.model is None:
            raise ValueError("no judge: give its endpoint and its name there, --judge.url and --judge.model")
        self.retried = 0  # attempts beyond the first
        self._reached = False  # by any request
        self.structured: bool | None = None  # takes response_format; None until it has
        self._limit = "max_tokens"  # or what newer models of OpenAI call it
        self._config, self._backoff_s, self._openai = config, backoff_s, openai
        self._pace = Pace(config.requests_per_minute)
        self._jitter = random.Random(0)
        key = os.environ.get(config.key_env, "")
        loopback = urlsplit(config.url).hostname in ("localhost", "127.0.0.1", "::1")
        self._sdk = openai.AsyncOpenAI(
            base_url=config.url,
            api_key=key or "none",
            max_retries=0,
            timeout=config.timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not loopback),  # no proxy leads to this machine
        )
        # A closure instead of a field: nothing that prints this object prints the key.
        self._clean = lambda text: text.replace(key, "***") if len(key) >= SHORTEST_SECRET else text

    async def close(self) -> None:
        await self._sdk.close()

    async def ask(self, text: str, instruction: Instruction) -> Reply:
        """The reply to one text.

        Raises UnansweredError when it came to nothing, JudgeRefusedError (a ValueError) when every request will.
        """
        for attempt in range(self._config.retries + 1):
            if attempt:
                self.retried += 1
            await self._pace.turn()
            try:
                reply = await self._attempt(text, instruction)
            except FaultError as fault:
                self._reached |= fault.reached
                most = self._config.retries if self._reached else min(self._config.retries, UNHEARD)
                if not fault.passing or attempt >= most:
                    raise UnansweredError(str(fault)) from None
                if fault.wait_s is None:
                    await asyncio.sleep(self._backoff(attempt))
                elif fault.wait_s <= LONGEST_HOLD_S:
                    self._pace.hold(fault.wait_s)  # for everybody
                else:
                    raise UnansweredError(f"{fault}, and asks to wait {fault.wait_s:,.0f} seconds") from None
            else:
                self._reached = True
                return reply
        raise AssertionError("the last attempt returns or raises")

    def _backoff(self, attempt: int) -> float:
        """Seconds before the next attempt: between half of and the whole of base · 2^attempt."""
        return min(LONGEST_BACKOFF_S, self._backoff_s * 2**attempt) * self._jitter.uniform(0.5, 1.0)

    async def _attempt(self, text: str, instruction: Instruction) -> Reply:
        """One request; a parameter that the endpoint refuses is renamed or left out, and what it took is remembered."""
        structured = self.structured is not False
        while True:
            limit = self._limit
            settings: dict[str, Any] = {limit: self._config.max_tokens}
            if structured:
                settings["response_format"] = instruction.response_format
            try:
                reply = await self._send(text, settings)
            except self._openai.APIStatusError as error:
                if error.status_code not in NOT_AS_ASKED:
                    raise self._fault(error) from None
                if limit == "max_tokens" and "max_completion_tokens" in self._said(error):
                    self._limit = "max_completion_tokens"
                elif structured and self.structured is None:
                    structured = False
                else:
                    raise FaultError(f"{error.status_code}: {self._said(error)}", passing=False) from None
                await self._pace.turn()
                continue
            if self.structured is None:
                self.structured = structured
            return reply

    async def _send(self, text: str, settings: Mapping[str, Any]) -> Reply:
        """One request and its reply, within the deadline.  Raises FaultError, or APIStatusError for any bad status."""
        sdk = self._openai
        try:
            async with asyncio.timeout(self._config.timeout_s):
                completion = await self._sdk.chat.completions.create(
                    model=str(self._config.model),
                    messages=[{"role": "user", "content": text}],
                    temperature=self._config.temperature,
                    **settings,
                )
        except (TimeoutError, sdk.APITimeoutError):
            raise FaultError(f"no whole reply within {self._config.timeout_s:g} seconds") from None
        except sdk.APIConnectionError as error:
            raise FaultError(
                f"no connection, or one that broke ({self._line(str(error.__cause__))})", reached=False
            ) from None
        except sdk.APIStatusError:
            raise
        except (sdk.APIError, ValueError, RecursionError):  # cut off, no JSON, not even text, or nested without end
            raise FaultError("a reply that is no whole JSON") from None
        return self._reply(completion)

    def _reply(self, completion: Any) -> Reply:
        """What a completion holds; the SDK does not check the shape of what it was sent."""
        choices, usage = getattr(completion, "choices", None), getattr(completion, "usage", None)
        if not isinstance(choices, list) or not choices or getattr(choices[0], "message", None) is None:
            raise FaultError("a reply without choices")
        content = getattr(choices[0].message, "content", None)  # null where the judge refused, or only thought
        return Reply(
            self._clean(content) if isinstance(content, str) else "",
            getattr(choices[0], "finish_reason", None) != "length",
            _count(getattr(usage, "prompt_tokens", None)),
            _count(getattr(usage, "completion_tokens", None)),
        )

    def _fault(self, error: openai.APIStatusError) -> FaultError | JudgeRefusedError:
        """What a status means: for this request, or for all of them."""
        status, said, config = error.status_code, self._said(error), self._config
        if status == 401:  # what was said may quote the key
            return JudgeRefusedError(
                f"{config.url} does not accept the key (401): put the right one in the environment variable "
                f"{config.key_env}, or name another one with --judge.key_env"
            )
        if status == 403:
            return JudgeRefusedError(f"{config.url} does not let this key use {config.model!r} (403): {said}")
        if status == 404:
            return JudgeRefusedError(
                f"{config.url} has no chat completions of {config.model!r} (404: {said}): give --judge.url up to and "
                "with /v1, and --judge.model as the endpoint calls it"
            )
        if status == 429 and error.code == "insufficient_quota":
            return JudgeRefusedError(f"{config.url} says that the quota is used up (429): {said}")
        passing = status in PASSING or status >= 500
        return FaultError(f"{status}: {said}", passing=passing, wait_s=retry_after(error.response.headers))

    def _said(self, error: openai.APIStatusError) -> str:
        """The endpoint's own words, as one line."""
        body = error.body
        message = body.get("message") or body.get("detail") if isinstance(body, dict) else None
        return self._line(str(message or body or error.response.text))

    def _line(self, text: str) -> str:
        """At most 200 printable characters, the key among them made illegible."""
        text = " ".join("".join(c if c.isprintable() else " " for c in self._clean(text)).split())
        return text if len(text) <= 200 else text[:197] + "..."


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks to wait, as a number or a date; None without one that makes sense."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
