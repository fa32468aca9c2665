"""A scripted endpoint on loopback: it records what it is asked, and answers or fails as a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from r1zero.config import JudgeConfig

Action = Callable[[BaseHTTPRequestHandler], None]


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], cut: int = 0) -> None:
    """A whole response, or one that promises `cut` more bytes than it holds."""
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body) + cut), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()
    handler.close_connection = bool(cut)


def completion(content: str | None, finish: str = "stop", usage: tuple[int, int] | None = (100, 20)) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    reply: dict = {"id": "1", "object": "chat.completion", "created": 1, "model": "judge", "choices": [choice]}
    if usage:
        reply["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return json.dumps(reply).encode()


def say(content: str | None, finish: str = "stop", usage: tuple[int, int] | None = (100, 20)) -> Action:
    return lambda handler: send(handler, 200, completion(content, finish, usage), {})


def verdict(category: int) -> Action:
    return say(json.dumps({"reason": "because", "category": category}))


def status(code: int, message: str = "no", headers: dict[str, str] | None = None, code_name: str = "") -> Action:
    body = json.dumps({"error": {"message": message, "code": code_name or None}}).encode()
    return lambda handler: send(handler, code, body, headers or {})


def raw(body: bytes, cut: int = 0) -> Action:
    return lambda handler: send(handler, 200, body, {}, cut)


def hang(seconds: float) -> Action:
    return lambda handler: time.sleep(seconds)


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """A byte every hundredth of a second, for as long as anyone listens (5 seconds at most)."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    try:
        for byte in completion("x" * 400)[:500]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.01)
    except OSError:
        handler.close_connection = True


@dataclass
class Endpoint:
    """Where the judge listens, and what it was asked."""

    url: str
    requests: list[dict] = field(default_factory=list)  # bodies
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def texts(self) -> list[str]:
        return [request["messages"][0]["content"] for request in self.requests]

    def config(self, **settings: object) -> JudgeConfig:
        fields = {"url": self.url, "model": "judge", "retries": 3, "timeout_s": 5.0, "concurrency": 1, **settings}
        return JudgeConfig(**fields)  # type: ignore[arg-type]


@pytest.fixture
def endpoint() -> Iterator[Callable[[Callable[[dict, int], Action]], Endpoint]]:
    """endpoint(script) starts one; script(request, how many came before) says what it does."""
    servers: list[ThreadingHTTPServer] = []

    def start(script: Callable[[dict, int], Action]) -> Endpoint:
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    before = len(here.requests)
                    here.requests.append(body)
                    here.headers.append({name.lower(): value for name, value in self.headers.items()})
                    here.times.append(time.monotonic())
                try:
                    script(body, before)(self)
                except OSError:  # the client gave up
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        here = Endpoint(f"http://127.0.0.1:{server.server_port}/v1")
        return here

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def act() -> SimpleNamespace:
    """What a scripted endpoint can do."""
    return SimpleNamespace(
        say=say, verdict=verdict, status=status, raw=raw, hang=hang, trickle=trickle, completion=completion
    )


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sends a key that somebody has set here."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
