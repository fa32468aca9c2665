"""Log-probabilities and entropies of tokens, without ever holding all positions x vocabulary at once.

Letters: M token positions, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from r1zero.models.load import Policy

CHUNK_ELEMENTS = 1 << 25  # logits held at once: 128 MB in float32
FORBIDDEN = -1e9  # logit of what is never sampled: its probability is 0, and finite as it is 0 times it is 0


@dataclass(frozen=True)
class Head:
    """The last layer of a language model: hidden states to logits over the ids that can be sampled."""

    weight_VD: Tensor
    bias_V: Tensor | None
    vocab_size: int  # padded rows beyond are left out, as the sampler does
    softcap: float | None  # Gemma 2: logits become softcap * tanh(logits / softcap)
    scale: float  # Cohere, Granite: logits are multiplied by it
    forbidden: Tensor | None = None  # ids that stand for pictures: never sampled, never scored

    def logits(self, hidden_MD: Tensor) -> Tensor:
        """[M, D] -> [M, vocab_size] in float32."""
        with torch.autocast(hidden_MD.device.type, enabled=False):
            weight, bias = self.weight_VD[: self.vocab_size], self.bias_V
            logits = F.linear(
                hidden_MD.to(weight.dtype), weight, bias if bias is None else bias[: self.vocab_size]
            ).float()
            if self.scale != 1.0:
                logits = logits * self.scale
            if self.softcap is not None:
                logits = self.softcap * torch.tanh(logits / self.softcap)
            return logits if self.forbidden is None else logits.index_fill(-1, self.forbidden, FORBIDDEN)


def head_of(policy: Policy) -> Head:
    """The head of a policy's model.  Raises ValueError where its logits are not what this file computes."""
    layer = policy.model.get_output_embeddings()
    config = policy.model.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    head = Head(
        layer.weight,
        getattr(layer, "bias", None),
        policy.vocab_size,
        getattr(config, "final_logit_softcapping", None),
        scale,
    )
    with torch.no_grad():
        ids = torch.tensor([[policy.end_ids[0], 0, 1]], device=policy.device)
        theirs = policy.model(input_ids=ids, use_cache=False).logits[0, :, : policy.vocab_size].float()
        ours = head.logits(policy.model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0])
    if not torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3):
        raise ValueError(
            f"the output head of {type(policy.model).__name__} is not supported: its logits are not a linear map "
            "with an optional scale and soft cap"
        )
    return replace(head, forbidden=forbidden_ids(policy))


def forbidden_ids(policy: Policy) -> Tensor | None:
    """Ids within the vocabulary that stand for pictures, on the model's device; None for a model of text."""
    if policy.vision is None:
        return None
    ids = [id for id in policy.vision.forbidden_ids if id < policy.vocab_size]
    return torch.tensor(ids, dtype=torch.long, device=policy.device)


def token_logprobs(
    head: Head,
    hidden_MD: Tensor,
    target_ids_M: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """log p(target) [M] in nats, with gradient, and the entropy of p [M] in nats, with gradient only if asked for.

    p = softmax(logits / temperature) over the ids that can be sampled.  Positions are taken `chunk` at a time and the
    logits of a chunk are computed again in the backward pass, so peak memory is one chunk's logits, not M x V.
    """
    chunk = chunk or max(1, CHUNK_ELEMENTS // head.vocab_size)

    def score(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = head.logits(hidden) / temperature
        normalizer = torch.logsumexp(logits, dim=-1)
        logprobs = logits.gather(-1, targets[:, None])[:, 0] - normalizer
        with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
            probabilities = torch.softmax(logits, dim=-1)
            entropies = normalizer - (probabilities * logits).sum(-1)
        return logprobs, entropies

    if len(target_ids_M) <= chunk:
        return score(hidden_MD, target_ids_M)
    pieces = [
        checkpoint(score, hidden, targets, use_reentrant=False)
        for hidden, targets in zip(hidden_MD.split(chunk), target_ids_M.split(chunk), strict=True)
    ]
    return torch.cat([p[0] for p in pieces]), torch.cat([p[1] for p in pieces])
