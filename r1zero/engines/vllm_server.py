"""The `vllm_server` engine: vLLM behind HTTP, started here or already running at `engine.url`.

Weights are sent over the connection, in the safetensors format, into the running server; every request says which
weights it wants to be answered by (r1zero.engines.vllm_endpoint).  A server that dies or was started anew gets the
weights again, and what it had not answered is asked again, with the same seeds.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines.requests import Request, make_response
from r1zero.engines.stopping import StopStrings
from r1zero.engines.vllm_client import Client, NotAnsweredError
from r1zero.engines.vllm_copy import MISSING, EngineError, VLLMCopy
from r1zero.engines.vllm_process import ServerProcess
from r1zero.engines.vllm_serve import HEADER, NAME, PATH
from r1zero.engines.vllm_settings import (
    check_settings,
    request_settings,
)
from r1zero.models.load import Policy
from r1zero.records import Response

log = logging.getLogger("r1zero")
PATIENCE = 0.5  # seconds between two looks at a server that does not answer yet


class VLLMServerEngine(VLLMCopy):
    """A server of vLLM, started here or elsewhere."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        if config.url is None and importlib.util.find_spec("vllm") is None:
            raise ValueError(MISSING.format(name=config.name))
        check_settings(config, policy, own_gpus=config.url is None)
        super().__init__(config, policy)
        self._name = secrets.token_hex(8)
        self._server = ServerProcess(config, self.policy) if config.url is None else None
        self._client = self._reach()

    @property
    def label(self) -> str:
        """Of the weights, for the server: no other engine's, be it at the same update."""
        return f"{self._name}-{self.version}"

    @property
    def url(self) -> str:
        return self._server.url if self._server else str(self.config.url)

    def sleep(self) -> None:
        """Nothing: a server has GPUs of its own."""

    def wake(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """End the server, where it was started here."""
        if self._server is not None:
            self._server.end()
        self._weights.close()

    def _reach(self) -> Client:
        """Wait for the server, see that it fits, and give it the newest weights."""
        if self._server is not None and not self._answers():
            self._server.start()
        client = Client(self.url, self._key, self.config.timeout_s)
        deadline = time.monotonic() + self.config.timeout_s
        while True:
            try:
                self._check(client.ask("GET", PATH))
                self._send(client)
                return client
            except NotAnsweredError as error:
                late = time.monotonic() > deadline
                if self._server is not None and (late or not self._server.runs):
                    fault = f"does not answer after engine.timeout_s={self.config.timeout_s:g}" if late else "ended"
                    said = self._server.last_words()
                    raise EngineError(f"the vLLM server that was started {fault}; it said:\n{said}") from error
                if late or (self._server is None and self._deaths == 0):
                    raise EngineError(
                        f"no server answers at {self.url} ({error}); start one with "
                        "python -m r1zero.engines.vllm_serve MODEL, or leave engine.url out"
                    ) from error
                time.sleep(PATIENCE)

    @property
    def _key(self) -> str:
        return self._server.key if self._server else os.environ.get("VLLM_API_KEY", "")

    def _answers(self) -> bool:
        """Whether the server that was started here is there: one that was just killed may still seem to run."""
        try:
            return bool(self.url and Client(self.url, self._key, self.config.timeout_s).ask("GET", PATH))
        except NotAnsweredError:
            return False

    def _check(self, theirs: dict[str, Any]) -> None:
        """Raises ValueError where the server serves another model, or comes from another release."""
        text = self.policy.model.config.get_text_config()
        ours = {
            "r1zero": importlib.metadata.version("r1zero"),
            "vocab_size": self.policy.vocab_size,
            "layers": text.num_hidden_layers,
            "width": text.hidden_size,
            "max_context": self.policy.max_context,
        }
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise ValueError(
                    f"the server at {self.url} has {name} {theirs.get(name)} and the learner {value}: start it again "
                    "with the learner's model and the same release of r1zero"
                )

    def _death(self) -> type[Exception]:
        return NotAnsweredError

    def _given_up(self, error: BaseException) -> str:
        return f"the server at {self.url} failed {self._deaths} times in a row: {error}"

    def _restart(self, error: BaseException) -> None:
        log.warning("the server at %s failed (%s); weights of update %d are sent again", self.url, error, self.version)
        self._client = self._reach()

    def _receive(self) -> None:
        self._send(self._client)

    def _send(self, client: Client) -> None:
        """Send the weights, whatever the server has: another run may have sent its own under the same number."""
        client.send(f"{PATH}?version={self.label}", self._weights.pieces(), self._weights.size)

    def _sample(
        self,
        waiting: dict[int, Request],
        sampling: SamplingConfig,
        stops: StopStrings,
        bans: str,
        finished: dict[int, Response],
        on_tokens: Callable[[int], None] | None,
    ) -> None:
        """Ask for the waiting responses, as many at once as the server samples; each is kept as soon as it is there."""
        with ThreadPoolExecutor(min(len(waiting), self.config.max_concurrent)) as pool:
            asked = {pool.submit(self._ask, request, sampling, stops, bans): i for i, request in waiting.items()}
            try:
                for answer in as_completed(asked):
                    response = finished[asked[answer]] = answer.result()
                    if on_tokens is not None:
                        on_tokens(response.num_tokens)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: Request, sampling: SamplingConfig, stops: StopStrings, bans: str) -> Response:
        """One response, from the server's OpenAI-compatible endpoint."""
        settings = request_settings(self.policy, request, sampling, stops.strings)
        content = settings | {"model": NAME, "prompt": list(request.prompt.token_ids), "return_token_ids": True}
        if bans:
            content["vllm_xargs"] = {"banned": bans}
        answer = self._client.ask("POST", "/v1/completions", content, {HEADER: self.label})
        [choice] = answer["choices"]
        stopped = stops if isinstance(choice["stop_reason"], str) else None
        logprobs = choice["logprobs"]["token_logprobs"]
        return make_response(self.policy, choice["token_ids"], logprobs, stopped, self.version)
