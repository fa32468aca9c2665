"""The endpoint around a vLLM server: who may ask, which weights answer, what a failed update leaves; without vLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from r1zero.engines.vllm_endpoint import WeightEndpoint
from r1zero.engines.vllm_serve import HEADER, PATH
from r1zero.engines.weight_file import WeightFile, read_weights

Sent = list[dict[str, Any]]


class FakeEngine:
    """Writes down what it is asked, in order."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.weights: dict[str, torch.Tensor] = {}
        self.fault = fault

    async def pause_generation(self, *, mode: str, clear_cache: bool) -> None:
        self.calls.append(f"pause {mode}")

    async def collective_rpc(self, method: str, args: tuple[str, ...]) -> None:
        self.calls.append(method)
        if self.fault is not None:
            raise self.fault
        self.weights = dict(read_weights(args[0]))

    async def reset_prefix_cache(self) -> None:
        self.calls.append("forget prompts")

    async def update_weight_version(self, version: str) -> None:
        self.calls.append(f"version {version}")

    async def resume_generation(self) -> None:
        self.calls.append("resume")


class Server:
    """The endpoint around an application that answers 200 to everything."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.reached: list[str] = []
        self.endpoint = WeightEndpoint(self.application)
        self.scope_app = SimpleNamespace(state=SimpleNamespace(engine_client=engine, vllm_config=None))
        self.while_answering = lambda: None

    async def application(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        self.reached.append(scope["path"])
        self.while_answering()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    def ask(
        self, path: str, method: str = "POST", body: bytes = b"", query: str = "", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and content of the answer; the body comes in pieces of 100 bytes."""
        pieces = [body[at : at + 100] for at in range(0, len(body), 100)] or [b""]
        names = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "path": path,
            "method": method,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in names.items()],
            "app": self.scope_app,
        }
        sent: Sent = []

        async def receive() -> dict[str, Any]:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self.endpoint(scope, receive, send))
        starts = [message["status"] for message in sent if message["type"] == "http.response.start"]
        assert len(starts) == 1
        return starts[0], json.loads(b"".join(message.get("body", b"") for message in sent))


def weights(value: float) -> bytes:
    file = WeightFile()
    file.write([("a", torch.full((64,), value))], torch.float32)
    return b"".join(file.pieces())


def test_weights_are_loaded_between_requests_and_their_version_is_told() -> None:
    server = Server(engine := FakeEngine())
    assert server.ask(PATH, body=weights(2.0), query="version=4") == (200, {"weights": "4", "tensors": 1})
    assert engine.calls == ["pause wait", "load_weight_file", "forget prompts", "version 4", "resume"]
    assert engine.weights["a"].tolist() == [2.0] * 64
    assert server.ask("/v1/completions", **{HEADER: "4"}) == (200, {})


def test_what_fails_to_load_leaves_a_server_that_answers_for_no_version_and_samples_on() -> None:
    server = Server(FakeEngine())
    server.ask(PATH, body=weights(1.0), query="version=1")
    server.engine.fault = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        server.ask(PATH, body=weights(2.0), query="version=2")
    assert server.engine.calls[-1] == "resume"
    for version in ("1", "2"):
        assert server.ask("/v1/completions", **{HEADER: version})[0] == 409


def test_broken_weights_never_reach_the_model() -> None:
    server = Server(FakeEngine())
    good = weights(1.0)
    for body, length in ((good[:-1], len(good) - 1), (b"\0" * 50, 50), (good[:-10], len(good))):
        status, answer = server.ask(PATH, body=body, query="version=1", content_length=str(length))
        assert status == 400 and answer["error"]
    for query in ("", "version=", "version=-1", "version=1.5", "version=../a", f"version={'a' * 40}"):
        assert server.ask(PATH, body=good, query=query)[0] == 400
    assert server.ask(PATH, "DELETE", query="version=1")[0] == 400
    assert server.engine.calls == []


def test_a_request_is_answered_by_the_weights_it_names_from_beginning_to_end() -> None:
    server = Server(FakeEngine())
    server.ask(PATH, body=weights(1.0), query="version=1")
    status, answer = server.ask("/v1/completions", **{HEADER: "2"})
    assert (status, answer["error"]) == (409, "weights 2 were asked for, 1 are loaded")
    assert server.reached == []

    status, answer = server.ask("/v1/completions", **{HEADER: "ab12-1"})  # another run's first update
    assert status == 409

    def replace_weights() -> None:
        server.endpoint.version = "2"

    server.while_answering = replace_weights
    assert server.ask("/v1/completions", **{HEADER: "1"})[0] == 409  # its answer was begun by other weights
    assert server.ask("/v1/completions")[0] == 200  # who names none takes what there is


def test_with_a_key_every_path_but_health_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    server = Server(FakeEngine())
    for path in ("/v1/completions", "/invocations", "/metrics", PATH):
        for authorization in ({}, {"authorization": "Bearer other"}, {"authorization": "secret"}):
            assert server.ask(path, body=weights(1.0), query="version=1", **authorization)[0] == 401
    assert server.reached == [] and server.engine.calls == []
    assert server.ask("/health")[0] == 200
    assert server.ask(PATH, body=weights(1.0), query="version=1", authorization="Bearer secret")[0] == 200
