"""What r1zero adds to vLLM's server: `/r1zero/weights`, the key on every path, and the version behind every answer.

`vllm serve --middleware r1zero.engines.vllm_endpoint.WeightEndpoint` puts it around the whole server.
A version is a label of whoever sends weights: hexadecimal digits, then a dash and a number where there are several.
- GET  /r1zero/weights               which weights are loaded, and what the server is made of
- POST /r1zero/weights?version=V     the body is a safetensors file: put into the running model when all that is being
  sampled is finished; nothing is read from disk, nothing is unpickled
- a request with the header `x-r1zero-weights: V` is answered by weights V from its first token to its last, or with 409
When VLLM_API_KEY is set, every path but /health wants `Authorization: Bearer KEY`.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib.metadata
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from r1zero.engines.vllm_serve import ENDS_WITH_STDIN, HEADER, PATH
from r1zero.engines.weight_file import WeightFile, read_weights

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
LABEL = re.compile("[0-9a-f]{1,32}(-[0-9]{1,16})?")


class WeightEndpoint:
    """ASGI middleware; one for each server process."""

    def __init__(self, app: Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self.key = os.environ.get("VLLM_API_KEY", "")
        self.version: str | None = None  # None until weights came, and while they are being replaced
        self.file = WeightFile()
        self.one_at_a_time = asyncio.Lock()
        if os.environ.get(ENDS_WITH_STDIN):
            threading.Thread(target=_end_with_stdin, daemon=True).start()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self.key and scope["path"] != "/health" and not self._admits(headers.get("authorization", "")):
            await _answer(send, 401, {"error": "wrong or missing key: set VLLM_API_KEY to the server's"})
        elif scope["type"] == "http" and scope["path"] == PATH:
            await self._weights(scope, headers, receive, send)
        elif scope["type"] == "http" and HEADER in headers:
            await self._by_version(scope, headers[HEADER], receive, send)
        else:
            await self.app(scope, receive, send)

    def _admits(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode(), f"Bearer {self.key}".encode())

    async def _by_version(self, scope: Mapping[str, Any], wanted: str, receive: Receive, send: Send) -> None:
        """Pass the request on while weights of that version are loaded, and its answer if they still are then."""
        refused = False

        async def checked(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and wanted != self.version:
                refused = True
                await self._refuse(send, wanted)
            elif not refused:
                await send(message)

        if wanted == self.version:
            await self.app(scope, receive, checked)
        else:
            await self._refuse(send, wanted)

    async def _refuse(self, send: Send, wanted: str) -> None:
        await _answer(send, 409, {"error": f"weights {wanted} were asked for, {self.version} are loaded"})

    async def _weights(
        self, scope: Mapping[str, Any], headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        """Say what is loaded, or load what is sent."""
        engine, settings = scope["app"].state.engine_client, scope["app"].state.vllm_config
        if scope["method"] == "GET":
            await _answer(send, 200, about(settings) | {"weights": self.version})
            return
        version = parse_qs(scope["query_string"].decode()).get("version", [""])[0]
        if scope["method"] != "POST" or not LABEL.fullmatch(version):
            await _answer(send, 400, {"error": f"send weights by POST {PATH}?version=V, V as in 0c3f-12"})
            return
        async with self.one_at_a_time:
            await _keep_body(receive, self.file)
            if self.file.size != int(headers.get("content-length", -1)):
                await _answer(send, 400, {"error": "the connection ended before the weights did"})
                return
            try:
                count = sum(1 for _ in read_weights(self.file.path))
            except ValueError as error:
                await _answer(send, 400, {"error": str(error)})
                return
            await self._load(engine, version)
        await _answer(send, 200, {"weights": self.version, "tensors": count})

    async def _load(self, engine: Any, version: str) -> None:
        """Let what is being sampled end, replace the weights, and go on."""
        await engine.pause_generation(mode="wait", clear_cache=True)
        try:
            self.version = None
            await engine.collective_rpc("load_weight_file", args=(self.file.path,))
            await engine.reset_prefix_cache()
            await engine.update_weight_version(version)
            self.version = version
        finally:
            await engine.resume_generation()


async def _keep_body(receive: Receive, file: WeightFile) -> None:
    """The request's body in memory that the workers can open."""
    file.clear()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        file.append(message.get("body", b""))
        more = message.get("more_body", False)


async def _answer(send: Send, status: int, content: Mapping[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def about(vllm_config: Any) -> dict[str, Any]:
    """Versions, and the shape of the model, of a running server: whoever connects compares them with its own."""
    import vllm  # here, since the rest needs none

    text = vllm_config.model_config.hf_text_config
    return {
        "r1zero": importlib.metadata.version("r1zero"),
        "vllm": vllm.__version__,
        "vocab_size": vllm_config.additional_config["r1zero_vocab_size"],
        "layers": text.num_hidden_layers,
        "width": text.hidden_size,
        "max_context": vllm_config.model_config.max_model_len,
    }


def _end_with_stdin() -> None:
    """End this server with all of its processes when its standard input ends: whoever started it is gone."""
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGTERM)
