"""The `huggingface` engine: transformers' own `generate`, for any architecture and as a check on `fast`.

It draws with the same addressed randomness, so it gives the same responses as `fast`, up to rounding.

Letters: B sequences of a batch, W prompt width, T response tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutputWithPooling

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines.banned import Bans
from r1zero.engines.requests import Request, make_requests, make_response
from r1zero.engines.sampling import draw, uniforms
from r1zero.engines.stopping import StopStrings, stop_strings, token_pieces
from r1zero.models.load import Policy
from r1zero.models.logprobs import FORBIDDEN, forbidden_ids
from r1zero.models.vision_prompt import sight_of_prompt
from r1zero.records import Prompt, Response


class HuggingFaceEngine:
    """Samples with `model.generate`, `max_concurrent` sequences at a time."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        if config.max_concurrent < 1:
            raise ValueError(f"engine.max_concurrent={config.max_concurrent}: must be at least 1")
        self.policy = policy
        self.max_concurrent = config.max_concurrent
        self._pieces: list[str] = []

    @torch.inference_mode()
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
        if stop:
            self._pieces = self._pieces or token_pieces(self.policy)
        stops = stop_strings(stop, self.policy, self._pieces, keep=keep_stop) if stop else None
        responses: list[Response] = []
        was_training = self.policy.model.training
        self.policy.model.eval()
        try:
            with _own_generation_config(self.policy):
                for at in range(0, len(requests), self.max_concurrent):
                    batch = requests[at : at + self.max_concurrent]
                    chooser, stopper = _generate(self.policy, batch, sampling, stops, banned, on_tokens)
                    columns = zip(*chooser.collect(), stopper.lengths, stopper.stopped, strict=True)
                    for token_ids, logprobs, length, stopped in columns:
                        by = stops if stopped else None
                        responses.append(make_response(self.policy, token_ids[:length], logprobs[:length], by))
        finally:
            self.policy.model.train(was_training)
        return [responses[at : at + samples] for at in range(0, len(responses), samples)]


def _generate(
    policy: Policy,
    batch: Sequence[Request],
    sampling: SamplingConfig,
    stops: StopStrings | None,
    banned: Sequence[Sequence[int]],
    on_tokens: Callable[[int], None] | None,
) -> tuple[_Chooser, _Stopper]:
    """Run `generate` on left-padded prompts; what was sampled is left in the two objects it called."""
    width = max(len(request.prompt.token_ids) for request in batch)
    input_ids_BW = torch.full((len(batch), width), policy.end_ids[0])
    mask_BW = torch.zeros(len(batch), width, dtype=torch.long)
    for row, request in enumerate(batch):
        ids = request.prompt.token_ids
        input_ids_BW[row, width - len(ids) :] = torch.tensor(ids)
        mask_BW[row, width - len(ids) :] = 1
    input_ids_BW = input_ids_BW.to(policy.device)
    chooser = _Chooser(batch, policy, sampling, banned)
    stopper = _Stopper(batch, policy, width, stops, on_tokens)
    policy.model.generate(  # type: ignore[operator]
        input_ids_BW,
        attention_mask=mask_BW.to(policy.device),
        **_picture_inputs(policy, batch, input_ids_BW),
        logits_processor=LogitsProcessorList([chooser]),
        stopping_criteria=StoppingCriteriaList([stopper]),
        max_new_tokens=max(request.limit for request in batch),
    )
    return chooser, stopper


def _picture_inputs(policy: Policy, batch: Sequence[Request], input_ids_BW: Tensor) -> dict[str, Any]:
    """What `generate` takes besides ids where prompts have pictures, each of which is encoded once for its group."""
    if policy.vision is None or not any(request.prompt.images for request in batch):
        return {}
    sights, encoded, features = [], {}, []
    for request in batch:
        prompt = request.prompt
        sights.append(sight_of_prompt(policy, prompt))
        for reference, patches in zip(prompt.images, sights[-1].patches if sights[-1] else (), strict=True):
            if reference not in encoded:
                [encoded[reference]] = policy.vision.features(policy.model, [patches])
            features.append(encoded[reference])
    outputs = BaseModelOutputWithPooling(pooler_output=features)  # type: ignore[arg-type]
    return {"mm_encoder_outputs": {"image": outputs}} | policy.vision.generate_inputs(input_ids_BW, sights)


class _Chooser(LogitsProcessor):
    """Draws the token itself, and leaves greedy decoding nothing else to choose."""

    def __init__(
        self, batch: Sequence[Request], policy: Policy, sampling: SamplingConfig, banned: Sequence[Sequence[int]]
    ) -> None:
        self.vocab_size = policy.vocab_size
        self.sampling = sampling
        self.keys_B = torch.tensor([request.key for request in batch], device=policy.device)
        self.rows_B = torch.arange(len(batch), device=policy.device)
        self.forbidden = forbidden_ids(policy)
        self.bans = Bans(banned, policy.vocab_size, len(batch), policy.device) if banned else None
        if self.bans is not None:
            self.bans.enter(range(len(batch)), [request.prompt.token_ids for request in batch])
        self.ids: list[Tensor] = []  # [B] each
        self.logprobs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        uniforms_B = uniforms(self.keys_B, torch.full_like(self.keys_B, len(self.ids)))
        logits_BV = scores[:, : self.vocab_size]
        if self.forbidden is not None:
            logits_BV = logits_BV.index_fill(-1, self.forbidden, FORBIDDEN)
        if self.bans is not None:
            logits_BV = self.bans.mask(logits_BV.clone(), self.rows_B)
        ids_B, logprobs_B = draw(logits_BV, uniforms_B, self.sampling)
        if self.bans is not None:
            self.bans.record(self.rows_B, ids_B)
        self.ids.append(ids_B)
        self.logprobs.append(logprobs_B)
        return torch.full_like(scores, -torch.inf).scatter(-1, ids_B[:, None], 0.0)

    def collect(self) -> tuple[list[list[int]], list[list[float]]]:
        """Token ids and log-probabilities, [B][T] each; what follows a finished response is meaningless."""
        return torch.stack(self.ids, dim=1).tolist(), torch.stack(self.logprobs, dim=1).tolist()


class _Stopper(StoppingCriteria):
    """Ends a row at an end id, at a completed stop string, or at its limit."""

    def __init__(
        self,
        batch: Sequence[Request],
        policy: Policy,
        width: int,
        stops: StopStrings | None,
        on_tokens: Callable[[int], None] | None,
    ) -> None:
        self.limits = [request.limit for request in batch]
        self.end_ids = set(policy.end_ids)
        self.width = width
        self.stops = stops
        self.on_tokens = on_tokens
        self.lengths = [0] * len(batch)  # tokens of a row that is finished
        self.stopped = [False] * len(batch)  # by a stop string

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        if self.on_tokens is not None:
            self.on_tokens(self.lengths.count(0))
        for row, newest in enumerate(input_ids[:, -1].tolist()):
            if self.lengths[row]:
                continue
            length = input_ids.shape[1] - self.width
            if self.stops is not None and newest not in self.end_ids and bool(self.stops.completing_V[newest]):
                self.stopped[row] = self.stops.completed(input_ids[row, self.width :].tolist())
            if newest in self.end_ids or self.stopped[row] or length == self.limits[row]:
                self.lengths[row] = length
        return torch.tensor([length > 0 for length in self.lengths], device=input_ids.device)


@contextmanager
def _own_generation_config(policy: Policy) -> Iterator[None]:
    """Replace the model's generation settings for a while: its repetition penalty and the like would act unseen."""
    theirs = policy.model.generation_config
    end = policy.end_ids[0]
    policy.model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=list(policy.end_ids), pad_token_id=end
    )
    try:
        yield
    finally:
        policy.model.generation_config = theirs
