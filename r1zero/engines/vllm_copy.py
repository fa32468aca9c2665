"""What both ways to vLLM have in common: a copy of the policy's weights, in processes that may die.

Requests are asked until all are answered; after a death what runs is started or reached again, with the newest weights.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines.requests import Request, make_requests
from r1zero.engines.stopping import StopStrings, stop_strings
from r1zero.engines.vllm_settings import engine_dtype, within_context, written_banned
from r1zero.engines.weight_file import WeightFile
from r1zero.engines.weights import named_weights
from r1zero.models.load import Policy
from r1zero.records import Prompt, Response

MISSING = (
    "engine.name={name}: vLLM is not installed: pip install 'r1zero[vllm]' on a machine with a GPU (without one, `make "
    "test-vllm` installs a build that runs on a processor), or use engine.name fast"
)


class EngineError(RuntimeError):
    """An engine's processes died more often than they may."""


class VLLMCopy(ABC):
    """Samples with a copy of the policy's weights, which `load_weights` replaces."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        self.config, self.policy = config, within_context(config, policy)
        self.version = 0
        self.restarts = 0  # since `metrics` was last asked
        self.update_seconds = 0.0
        self.asleep = False
        self._deaths = 0  # in a row
        self._weights = WeightFile()
        self._weights.write(named_weights(policy), engine_dtype(config, policy))

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
        """`samples` responses to each prompt; see `Engine.generate`."""
        requests = make_requests(self.policy, prompts, samples, sampling, address)
        if any(prompt.images for prompt in prompts):
            raise ValueError(
                f"engine.name={self.config.name} does not show pictures: use engine.name fast or huggingface"
            )
        stops = stop_strings(stop, self.policy, (), keep=keep_stop)
        bans = written_banned(banned, self.policy)
        finished: dict[int, Response] = {}
        self.wake()
        while len(finished) < len(requests):
            waiting = {i: request for i, request in enumerate(requests) if i not in finished}
            try:
                self._sample(waiting, sampling, stops, bans, finished, on_tokens)
            except self._death() as error:
                self._again(error)
        if self.config.sleep:
            self.sleep()
        self._deaths = 0
        responses = [finished[i] for i in range(len(requests))]
        return [responses[at : at + samples] for at in range(0, len(responses), samples)]

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Sample with these from now on: at once, or on waking."""
        started = time.perf_counter()
        self._weights.write(named_tensors, engine_dtype(self.config, self.policy))
        self.version = version
        if not self.asleep:
            try:
                self._receive()
            except self._death() as error:
                self._again(error)
        self.update_seconds += time.perf_counter() - started

    def metrics(self) -> dict[str, float]:
        """engine/...: what happened since this was last asked."""
        measured = {"engine/restarts": float(self.restarts), "engine/update_s": self.update_seconds}
        self.restarts, self.update_seconds = 0, 0.0
        return measured

    def _again(self, error: BaseException) -> None:
        """Start or reach anew what died.  Raises EngineError when that was needed too often."""
        self._deaths += 1
        self.restarts += 1
        if self._deaths > self.config.max_restarts:
            raise EngineError(self._given_up(error)) from error
        self._restart(error)

    @abstractmethod
    def sleep(self) -> None:
        """Give the GPU's memory back, where it is this machine's."""

    @abstractmethod
    def wake(self) -> None:
        """Be ready to sample, with the newest weights."""

    @abstractmethod
    def close(self) -> None:
        """End what was started."""

    @abstractmethod
    def _death(self) -> type[Exception]:
        """The error by which vLLM, or its connection, says that it is gone."""

    @abstractmethod
    def _given_up(self, error: BaseException) -> str:
        """What to say after too many deaths."""

    @abstractmethod
    def _restart(self, error: BaseException) -> None:
        """Have it run again, with the newest weights."""

    @abstractmethod
    def _receive(self) -> None:
        """Put the weights of the file into the running model."""

    @abstractmethod
    def _sample(
        self,
        waiting: dict[int, Request],
        sampling: SamplingConfig,
        stops: StopStrings,
        bans: str,
        finished: dict[int, Response],
        on_tokens: Callable[[int], None] | None,
    ) -> None:
        """Sample the waiting requests; each is in `finished` as soon as it is."""
