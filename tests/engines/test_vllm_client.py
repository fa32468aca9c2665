"""A server that answers, refuses, breaks off or is not there: what the client makes of each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from r1zero.engines.vllm_client import Client, NotAnsweredError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections: set[int] = set()  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.connections.add(self.client_address[1])
        status = int(self.path.rsplit("/", 1)[1])
        if status == 0:
            self.close_connection = True
            return
        self.close_connection = "leaving" in self.path  # without having said so
        content = {"bytes": len(body), "key": self.headers.get("Authorization"), "path": self.path}
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.connections = set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_json_and_pieces_of_bytes_arrive_with_the_key(url: str) -> None:
    client = Client(url + "/root", "secret", 10)
    assert client.ask("POST", "/200", {"a": 1}) == {"bytes": 8, "key": "Bearer secret", "path": "/root/200"}
    assert client.send("/200", [b"x" * 1000, b"y" * 24], 1024)["bytes"] == 1024
    assert Client(url, "", 10).ask("POST", "/200", {})["key"] is None


def test_a_thread_keeps_its_connection(url: str) -> None:
    client = Client(url, "", 10)
    for _ in range(5):
        client.ask("POST", "/200", {})
    assert len(Handler.connections) == 1
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: client.ask("POST", "/200", {}), range(9)))
    assert len(Handler.connections) <= 4


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(url: str) -> None:
    client = Client(url, "", 10)
    for _ in range(3):
        assert client.ask("POST", "/leaving/200", {"a": 1})["bytes"] == 8
        time.sleep(0.05)
    assert client.send("/200", iter([b"x", b"y"]), 2)["bytes"] == 2
    assert len(Handler.connections) == 4


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_wrong_request_is_the_askers_mistake(status: int, url: str) -> None:
    with pytest.raises(ValueError, match=f"refused POST /{status}: {status}"):
        Client(url, "", 10).ask("POST", f"/{status}", {})


@pytest.mark.parametrize("status", [0, 409, 500, 503])
def test_what_may_be_mended_is_told_apart_and_the_client_can_ask_again(status: int, url: str) -> None:
    client = Client(url, "", 10)
    with pytest.raises(NotAnsweredError):
        client.ask("POST", f"/{status}", {})
    assert client.ask("POST", "/200", {})["path"] == "/200"


def test_a_server_that_is_not_there_does_not_answer() -> None:
    with pytest.raises(NotAnsweredError, match="ConnectionRefusedError"):
        Client("http://127.0.0.1:9", "", 10).ask("GET", "/")


@pytest.mark.parametrize("address", ["", "127.0.0.1:8000", "ftp://127.0.0.1", "http://"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="write http://HOST:PORT"):
        Client(address, "", 10)
