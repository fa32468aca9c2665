"""A vLLM server that this process started, and that ends with it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from r1zero.config import EngineConfig
from r1zero.engines.vllm_serve import ENDS_WITH_STDIN, serve_command
from r1zero.engines.vllm_settings import environment, write_model
from r1zero.models.load import Policy

HOST = "127.0.0.1"
GRACE = 10  # seconds between asking it to end and ending it


class ServerProcess:
    """At most one running server, on the loopback interface, with a key that only this process knows."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        self.config, self.policy = config, policy
        self.key = secrets.token_hex(16)
        self.url = ""
        self._folder = tempfile.TemporaryDirectory(prefix="r1zero-vllm-")
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: Callable[[], object] = lambda: None  # ends what runs
        write_model(policy, Path(self._folder.name))

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it; it answers some half a minute later."""
        self.end()
        port = self.config.port or _free_port()
        self.url = f"http://{HOST}:{port}"
        with environment(self.config, self.policy), self._log.open("ab") as log:
            command = serve_command(self.config, self.policy, Path(self._folder.name), host=HOST, port=port)
            own = {"VLLM_API_KEY": self.key, ENDS_WITH_STDIN: "1"}
            self._process = subprocess.Popen(
                command, env=os.environ | own, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        self._finalizer = weakref.finalize(self, _end, self._process)

    def end(self) -> None:
        self._finalizer()
        self._process = None

    def last_words(self, lines: int = 15) -> str:
        """The end of what it wrote."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    @property
    def _log(self) -> Path:
        return Path(self._folder.name) / "server.log"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server with all of its workers."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    if process.stdin is not None:
        process.stdin.close()
    process.poll()
