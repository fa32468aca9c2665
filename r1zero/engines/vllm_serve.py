"""vLLM's server as r1zero uses it: the command that starts it, and `python -m r1zero.engines.vllm_serve MODEL`.

The server is `vllm serve` (OpenAI-compatible) with r1zero's mask on its logits and r1zero.engines.vllm_endpoint around
it.  It starts with random weights and answers to r1zero only once it was sent the learner's.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from r1zero.config import EngineConfig
from r1zero.engines.vllm_settings import check_settings, engine_arguments, environment, within_context, write_model
from r1zero.models.load import Policy, load_policy

ENDPOINT = "r1zero.engines.vllm_endpoint.WeightEndpoint"
PATH = "/r1zero/weights"  # where weights are sent, and told
HEADER = "x-r1zero-weights"  # of a request: the weights it wants to be answered by
NAME = "r1zero"  # of the model, in requests
ENDS_WITH_STDIN = "R1ZERO_ENDS_WITH_STDIN"  # the server ends when its standard input does, so that it outlives nobody


def serve_command(config: EngineConfig, policy: Policy, directory: Path, *, host: str, port: int) -> list[str]:
    """The command line of a server for this policy.  Raises ValueError for an open host without a key."""
    if not _is_loopback(host) and not os.environ.get("VLLM_API_KEY"):
        raise ValueError(
            f"host {host}: others could reach the server and replace its weights; set VLLM_API_KEY to a secret in its "
            "environment and in that of the training run, or keep 127.0.0.1"
        )
    arguments = engine_arguments(config, policy, directory)
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            command.append(flag if value else "--no-" + flag.removeprefix("--"))
        elif isinstance(value, dict):
            command += [flag, json.dumps(value)]
        elif isinstance(value, list):
            command += [flag, *value]
        else:
            command += [flag, str(value)]
    return [
        *command,
        *("--host", host, "--port", str(port), "--served-model-name", NAME, "--middleware", ENDPOINT),
        *("--uvicorn-log-level", "warning"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Start a server in place of this process; `engine.name=vllm_server` with `engine.url` then connects to it."""
    parser = argparse.ArgumentParser(prog="python -m r1zero.engines.vllm_serve", description=__doc__)
    parser.add_argument("model", help="a directory, a Hub id or a shipped model, of which the config is used")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; beyond this machine set VLLM_API_KEY"
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--device", default="auto", help="cpu, cuda or cuda:N")
    parser.add_argument("--max_concurrent", type=int, default=128, help="sequences sampled at once")
    parser.add_argument("--max_context", type=int, default=0, help="as engine.max_context of the run")
    parser.add_argument("--tensor_parallel", type=int, default=1, help="GPUs that share one copy of the model")
    parser.add_argument("--gpu_memory", type=float, default=0.9, help="share of each GPU's memory")
    given = parser.parse_args(arguments)
    config = EngineConfig(
        name="vllm_server",
        max_concurrent=given.max_concurrent,
        max_context=given.max_context,
        tensor_parallel=given.tensor_parallel,
        gpu_memory=given.gpu_memory,
    )
    try:
        policy = load_policy(given.model, given.device)
        check_settings(config, policy)
        policy = within_context(config, policy)
        directory = Path(tempfile.mkdtemp(prefix="r1zero-serve-"))
        write_model(policy, directory)
        command = serve_command(config, policy, directory, host=given.host, port=given.port)
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    with environment(config, policy):
        os.execv(command[0], command)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
