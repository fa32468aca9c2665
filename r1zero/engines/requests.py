"""What an engine is asked, one response at a time, and what it answers: shared by all engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1zero.config import SamplingConfig
from r1zero.engines.sampling import stream_key
from r1zero.engines.stopping import StopStrings, cut, decode
from r1zero.models.load import Policy
from r1zero.records import FinishReason, Prompt, Response


@dataclass(frozen=True)
class Request:
    """One response to be sampled."""

    prompt: Prompt
    sample: int  # place in the group, 0..G-1
    key: int  # address of its randomness
    limit: int  # most tokens it may have: max_tokens, or less where the model's context ends before


def room(policy: Policy, prompt: Prompt) -> int:
    """Tokens left for a response in the model's context: below 1 the prompt cannot be answered."""
    return policy.max_context - len(prompt.token_ids)


def make_requests(
    policy: Policy, prompts: Sequence[Prompt], samples: int, sampling: SamplingConfig, address: tuple[int | str, ...]
) -> list[Request]:
    """`samples` requests for each prompt, prompts in order.  Raises ValueError for a prompt that leaves no room."""
    requests = []
    for prompt in prompts:
        left = room(policy, prompt)
        if not prompt.token_ids:
            raise ValueError(
                f"problem {prompt.problem.id!r}: an empty prompt: a model needs at least one token to read"
            )
        if left < 1:
            raise ValueError(
                f"problem {prompt.problem.id!r}: its prompt has {len(prompt.token_ids)} tokens, which leaves no room "
                f"for a response in the model's context of {policy.max_context} tokens: leave this problem out, "
                "choose a shorter template, or take a model with a longer context"
            )
        limit = min(sampling.max_tokens, left)
        requests += [Request(prompt, s, stream_key(address, prompt.problem.id, s), limit) for s in range(samples)]
    return requests


def make_response(
    policy: Policy,
    token_ids: Sequence[int],
    logprobs: Sequence[float],
    stopped_by: StopStrings | None,
    version: int | None = None,
) -> Response:
    """The record of sampled tokens; `stopped_by` are the stop strings of which the last token completed one.

    `version` is the number of updates behind the weights, of an engine that has a copy of them.
    """
    ended = token_ids[-1] in policy.end_ids
    text = decode(policy.tokenizer, token_ids[:-1] if ended else token_ids)
    if stopped_by is not None:
        text = cut(text, stopped_by.strings, keep=stopped_by.keep)
    reason: FinishReason = "stop" if ended or stopped_by is not None else "length"
    return Response(text, tuple(token_ids), tuple(logprobs), reason, version)
