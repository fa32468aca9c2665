"""Who answers: prompts in, responses out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from r1zero.config import EngineConfig, SamplingConfig, nearest
from r1zero.engines.choose import choose_engine
from r1zero.engines.fast import FastEngine
from r1zero.engines.huggingface import HuggingFaceEngine
from r1zero.engines.vllm import VLLMEngine
from r1zero.engines.vllm_server import VLLMServerEngine
from r1zero.models.load import Policy
from r1zero.records import Prompt, Response

log = logging.getLogger("r1zero")


class Engine(Protocol):
    """Samples responses from a policy."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        samples: int,
        sampling: SamplingConfig,
        address: tuple[int | str, ...],
        stop: Sequence[str] = (),
        keep_stop: bool = True,
        banned: Sequence[Sequence[int]] = (),
        on_tokens: Callable[[int], None] | None = None,
    ) -> list[list[Response]]:
        """`samples` responses to each prompt, [P][G].

        Randomness is addressed by (address, problem, sample, position).  No sequence of `banned` token ids is
        completed, not even one that the prompt began.  `on_tokens` is called with every count of newly sampled tokens.
        Raises ValueError for a prompt that leaves no room in the model's context, and for bans that leave no token.
        """
        ...


ENGINES: dict[str, Callable[[EngineConfig, Policy], Engine]] = {
    "fast": FastEngine,
    "huggingface": HuggingFaceEngine,
    "vllm": VLLMEngine,
    "vllm_server": VLLMServerEngine,
}


def build_engine(config: EngineConfig, policy: Policy) -> Engine:
    """The engine of that name over a policy, or the one that suits it.  Raises ValueError for an unknown name."""
    if config.name == "auto":
        name, why = choose_engine(policy)
        log.info("engine %s: %s", name, why)
        config = replace(config, name=name)  # type: ignore[arg-type]
    if config.name not in ENGINES:
        raise ValueError(f"engine.name={config.name!r}: {nearest(config.name, [*ENGINES, 'auto'])}")
    return ENGINES[config.name](config, policy)
