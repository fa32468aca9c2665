"""HTTP to a vLLM server, from the standard library: one kept connection for each thread, JSON in and out."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit


class NotAnsweredError(RuntimeError):
    """The server is not there, broke off, or has other weights: after mending, the same may be asked again."""


class Client:
    """Asks one server; may be used from many threads."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        """Raises ValueError for what is no address of a server."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"engine.url={url!r}: write http://HOST:PORT")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect = lambda: kind(str(parts.hostname), parts.port, timeout=timeout_s)
        self._root = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._own = threading.local()
        self.url = url

    def ask(
        self, method: str, path: str, content: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON that answers.  Raises NotAnsweredError, and ValueError where the server finds the request wrong."""
        body = None if content is None else json.dumps(content).encode()
        return self._exchange(method, path, body, {"Content-Type": "application/json"} | dict(headers or {}))

    def send(self, path: str, pieces: Iterable[bytes], size: int) -> dict[str, Any]:
        """Send `size` bytes in pieces, and return the JSON that answers."""
        self._forget()  # the pieces come once, so they are not risked on a connection that may have been closed
        return self._exchange("POST", path, pieces, {"Content-Length": str(size)})

    def _exchange(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        kept: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        connection = self._own.connection = kept or self._connect()
        try:
            connection.request(method, self._root + path, body, {**self._headers, **headers})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._forget()
            if kept is not None and isinstance(error, ConnectionError):  # servers close what was idle for long
                return self._exchange(method, path, body, headers)
            raise NotAnsweredError(f"{type(error).__name__}: {error}") from error
        if answer.status == 200:
            return dict(json.loads(text))
        said = f"{answer.status} {text[:500].decode(errors='replace')}"
        if answer.status in (400, 401, 403, 404, 413, 422):
            raise ValueError(f"the server at {self.url} refused {method} {path}: {said}")
        raise NotAnsweredError(said)

    def _forget(self) -> None:
        """Close this thread's connection."""
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
        self._own.connection = None
