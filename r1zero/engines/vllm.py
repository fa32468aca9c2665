"""The `vllm` engine: vLLM on this machine, in processes of its own beside the learner.

Weights reach it through memory (r1zero.engines.weight_file) and are put into the running model.  A response's
randomness is a seed made of (address, problem, sample), so the same weights give the same response after a restart, up
to rounding: its numbers are vLLM's, not those of `fast`.  When its processes die, they are started again with the same
weights, and what was being sampled is sampled again.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import tempfile
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines.requests import Request, make_response
from r1zero.engines.stopping import StopStrings
from r1zero.engines.vllm_copy import MISSING, EngineError, VLLMCopy
from r1zero.engines.vllm_settings import (
    check_settings,
    engine_arguments,
    environment,
    request_settings,
    write_model,
)
from r1zero.models.load import Policy
from r1zero.records import Response

log = logging.getLogger("r1zero")


class VLLMEngine(VLLMCopy):
    """vLLM's processes on this machine."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(MISSING.format(name=config.name))
        check_settings(config, policy)
        super().__init__(config, policy)
        self._ids = itertools.count()
        self._llm: Any = None
        self._finalizer: Callable[[], object] = lambda: None  # ends what runs
        self._start()

    def sleep(self) -> None:
        """Give the GPU's memory back: weights and key-value cache.  Without a GPU nothing but a flag changes."""
        if not self.asleep and self.policy.device.type == "cuda":
            self._llm.sleep(level=2)  # the weights are in the file, and need no second copy
        self.asleep = True

    def wake(self) -> None:
        """Be ready to sample, with the newest weights."""
        if not self.asleep:
            return
        self.asleep = False
        if self.policy.device.type == "cuda":
            self._llm.wake_up(tags=["weights"])
            self._receive()
            self._llm.wake_up(tags=["kv_cache"])
        else:
            self._receive()

    def close(self) -> None:
        """End the processes."""
        self._finalizer()
        self._llm = None
        self._weights.close()

    def _start(self) -> None:
        """Build vLLM and give it the newest weights."""
        with tempfile.TemporaryDirectory() as directory, environment(self.config, self.policy):
            write_model(self.policy, Path(directory))
            from vllm import LLM

            try:
                self._llm = LLM(**engine_arguments(self.config, self.policy, Path(directory)), disable_log_stats=True)
            except RuntimeError as error:
                raise EngineError(f"vLLM cannot start: {error}; look above for what its processes said") from error
        core = self._llm.llm_engine.engine_core
        self._finalizer = weakref.finalize(self, core.shutdown)
        threading.Thread(target=_tell_of_death, args=(core,), daemon=True).start()
        self._receive()

    def _death(self) -> type[Exception]:
        return _dead_error()

    def _given_up(self, error: BaseException) -> str:
        return (
            f"vLLM's processes died {self._deaths} times in a row; look above for what they said, and lower "
            "engine.gpu_memory or engine.max_concurrent when memory ran out"
        )

    def _restart(self, error: BaseException) -> None:
        log.warning("vLLM's processes died; starting them again with the weights of update %d", self.version)
        self._finalizer()
        self._start()

    def _receive(self) -> None:
        """Put the weights of the file into the running model; what was computed with the old ones is forgotten."""
        self._llm.collective_rpc("load_weight_file", args=(self._weights.path,))
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM still samples while its weights are replaced")
        self._llm.llm_engine.set_weight_version(str(self.version))

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
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        engine = self._llm.llm_engine
        places: dict[str, int] = {}
        try:
            for i, request in waiting.items():
                name = str(next(self._ids))
                settings = request_settings(self.policy, request, sampling, stops.strings)
                parameters = SamplingParams(
                    **settings,
                    flat_logprobs=True,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                    extra_args={"banned": bans} if bans else None,
                )
                engine.add_request(name, {"prompt_token_ids": list(request.prompt.token_ids)}, parameters)
                places[name] = i
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if output.finished:
                        response = self._response(output.outputs[0], stops)
                        finished[places.pop(output.request_id)] = response
                        if on_tokens is not None:
                            on_tokens(response.num_tokens)
        finally:
            if places:  # something broke off: nothing may run on
                engine.abort_request(list(places))

    def _response(self, answer: Any, stops: StopStrings) -> Response:
        versions = {span.version for span in answer.weight_versions}
        assert versions == {str(self.version)}, f"sampled by weights {versions}, not {self.version}"
        stopped = isinstance(answer.stop_reason, str)
        return make_response(
            self.policy, answer.token_ids, answer.logprobs.logprobs, stops if stopped else None, self.version
        )


def _tell_of_death(core: Any) -> None:
    """Wait for the engine's process to end, and wake whoever waits for it: vLLM tells of deaths that it survived."""
    wait([process.sentinel for process in core.resources.engine_manager.processes])
    core.resources.engine_dead = True
    core.outputs_queue.put(_dead_error()())
    for answer in list(core.utility_results.values()):
        if not answer.done():
            answer.set_exception(_dead_error()())


def _dead_error() -> type[Exception]:
    from vllm.v1.engine.exceptions import EngineDeadError

    return EngineDeadError
