"""One attention function under every decoder, whose arrangement of tokens is an argument.

transformers lets a model's attention be replaced by a registered function and passes it every keyword given to
`forward`.  Ours looks for `layout=` among them: an object that knows which token attends to which, and how that is
computed without padding (training: models/packing.py) or with a key-value cache (sampling: engines/).  So any
architecture of transformers trains and samples through its own modules, with one copy of its weights.
Without a `layout` it behaves as plain attention, so that `generate` and ordinary calls keep working.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

NAME = "r1zero"


class Layout(Protocol):
    """Which token of the flattened input attends to which."""

    def attend(
        self,
        layer: int,
        query: Tensor,  # [1, H, N, D]
        key: Tensor,  # [1, Hkv, N, D]
        value: Tensor,  # [1, Hkv, N, D]
        *,
        scale: float,
        window: int | None,  # sliding-window length in tokens, None for full attention
        softcap: float | None,  # scores become softcap * tanh(scores / softcap)
    ) -> Tensor:  # [1, N, H, D]
        ...


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """The registered function: [1, H, N, D] queries to [1, N, H, D] outputs, arranged by `layout`."""
    layout: Layout | None = kwargs.pop("layout", None)
    scaling, window, softcap = kwargs.pop("scaling", None), kwargs.pop("sliding_window", None), kwargs.get("softcap")
    if layout is None and kwargs.get("softcap") is not None:  # sdpa refuses it
        return _softcapped(module, query, key, value, attention_mask, scaling, kwargs["softcap"]), None
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if kwargs.get("dropout"):
        raise ValueError("attention dropout is not supported: set attention_dropout to 0 in the model's config")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    return layout.attend(layer, query, key, value, scale=scale, window=window, softcap=softcap), None


def _softcapped(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None,
    softcap: float,
) -> Tensor:
    """Plain attention with soft-capped scores, for calls without a layout.  [B, H, T, D] -> [B, T, H, D]"""
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
    scores = query @ key.transpose(-1, -2) * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    if attention_mask is None and query.shape[2] > 1:  # transformers leaves a purely causal mask out
        attention_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    scores = softcap * torch.tanh(scores / softcap)
    if attention_mask is not None:  # finite, since a padded row may see nothing at all
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    return (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).contiguous()


def hidden_states(
    model: PreTrainedModel,
    input_ids_N: Tensor,
    position_ids: Tensor,  # [N], or [3, N] for time, height and width
    layout: Layout,
    features_FD: Tensor | None = None,
    at_F: Tensor | None = None,
) -> Tensor:
    """Last hidden states of a flat row of tokens that attend as `layout` says.  [N] -> [N, D]

    `features_FD` take the places `at_F` of the embeddings of what stands for pictures.
    """
    inputs: dict[str, Tensor] = {"input_ids": input_ids_N[None]}
    if features_FD is not None:
        assert at_F is not None
        embeddings_ND = model.get_input_embeddings()(input_ids_N)
        inputs = {"inputs_embeds": embeddings_ND.index_copy(0, at_F, features_FD.to(embeddings_ND.dtype))[None]}
    # A mask of four dimensions is passed on as it is; without one transformers would build one of N x N.
    output = model.get_decoder()(
        **inputs,
        position_ids=position_ids.unsqueeze(-2),
        attention_mask=torch.zeros(1, 1, 1, 1, device=input_ids_N.device),
        use_cache=False,
        layout=layout,
    )
    return output.last_hidden_state[0]


def register() -> None:
    """Make `attn_implementation="r1zero"` known to transformers."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


def scores_softmax(scores: Tensor, softcap: float | None) -> Tensor:
    """Softmax of masked attention scores, with Gemma 2's soft cap applied before the mask's -inf."""
    if softcap is not None:
        capped = softcap * torch.tanh(scores / softcap)
        scores = torch.where(torch.isneginf(scores), scores, capped)
    return torch.softmax(scores, dim=-1)
