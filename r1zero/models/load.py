"""A policy: a causal language model, seeing or not, with its tokenizer, ready to be sampled from and trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from r1zero.config import nearest
from r1zero.models import attention, lora
from r1zero.models.vision import VISION, Vision, build_vision

SHIPPED = Path(str(files("r1zero") / "models" / "shipped"))


@dataclass(frozen=True)
class Policy:
    """A model, its tokenizer and what both agree on."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    vocab_size: (
        int  # token ids 0..vocab_size-1 can be sampled and scored; padded embedding rows beyond are masked in both
    )
    end_ids: tuple[int, ...]  # sampling any of these ends a response
    max_context: int  # tokens, prompt and response together
    vision: Vision | None = None  # how it sees; None for a model of text
    pictures: Path | None = None  # folder of kept pictures, sha256:HEX

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def end_id(self) -> int:
        """The end token to write after a text: the tokenizer's own where the model ends with it."""
        own = self.tokenizer.eos_token_id
        return own if own in self.end_ids else self.end_ids[0]

    def part(self, name: Literal["vision", "language"]) -> list[nn.Module]:
        """The modules of one part of a model that sees.  Raises ValueError for a model of text."""
        if self.vision is None:
            raise ValueError(f"learner.freeze={name!r}: {type(self.model).__name__} does not see; set it to none")
        return self.vision.towers(self.model)[name]


def shipped_models() -> list[str]:
    """Names of the models inside the package."""
    return sorted(p.name for p in SHIPPED.iterdir() if (p / "config.json").exists()) if SHIPPED.exists() else []


def resolve_model(path: str) -> str:
    """A directory, the directory of a shipped model, or a Hub id as it is.  Raises ValueError naming the remedy."""
    if path in shipped_models():
        return str(SHIPPED / path)
    if Path(path).is_dir():
        if not holds_model(Path(path)):
            raise ValueError(f"model {path!r} has no config.json: give the directory that save_pretrained wrote")
        return path
    if path.count("/") != 1 or path.startswith((".", "/", "~")):
        raise ValueError(
            f"no model {path!r}: give a directory, a Hub id, or a shipped model ({', '.join(shipped_models())}); "
            f"{nearest(path, shipped_models())}"
        )
    return path


def holds_model(directory: Path) -> bool:
    """Whether a directory has a model's weights, or an adapter to some."""
    return (directory / "config.json").exists() or (directory / lora.CONFIG).exists()


def choose_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"learner.device={name}: this machine has no CUDA device; use cpu or auto")
    return torch.device(name)


def load_policy(path: str, device: str = "auto", *, max_pixels: int = 0, pictures: Path | None = None) -> Policy:
    """Model and tokenizer from a directory, a Hub id or a shipped name, in float32 on `device`.

    A directory with an adapter gives the model that it belongs to, the adapter merged into its weights.
    Of a model that sees also its picture settings: `max_pixels` above 0 replaces its limit on a picture's area, and
    `pictures` is the folder where sha256:HEX is looked up.
    """
    attention.register()
    where = resolve_model(path)
    if (base := lora.base_of(Path(where))) is not None:
        policy = load_policy(base, device, max_pixels=max_pixels, pictures=pictures)
        return replace(policy, model=lora.with_adapter_of(policy.model, Path(where)))
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        config = AutoConfig.from_pretrained(where)
        kind = AutoModelForImageTextToText if config.model_type in VISION else AutoModelForCausalLM
        model: PreTrainedModel = kind.from_pretrained(where, dtype=torch.float32, attn_implementation=attention.NAME)
        vision = build_vision(config, where, max_pixels)
    except (OSError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"model {path!r} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    except Exception as error:  # safetensors raises its own type for a corrupt file
        raise ValueError(f"model {path!r} is corrupt: {error}") from error
    finally:
        transformers_logging.set_verbosity(level)
    model.to(choose_device(device))  # type: ignore[arg-type]
    return make_policy(model.eval(), tokenizer, vision, pictures)


def make_policy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    vision: Vision | None = None,
    pictures: Path | None = None,
) -> Policy:
    """Bundle a loaded model with its tokenizer, and with how it sees."""
    text_config = model.config.get_text_config()
    ends: set[int] = set()
    for source in (model.generation_config, tokenizer):
        ids = getattr(source, "eos_token_id", None)
        ends |= set(ids) if isinstance(ids, list | tuple) else {ids} if ids is not None else set()
    vocab_size = min(len(tokenizer), text_config.vocab_size)
    ends = {e for e in ends if e < vocab_size}
    if not ends:
        raise ValueError("the model has no end token: set eos_token_id in generation_config.json or the tokenizer")
    context = getattr(text_config, "max_position_embeddings", None) or 1 << 30
    return Policy(model, tokenizer, vocab_size, tuple(sorted(ends)), int(context), vision, pictures)


def weights_digest(model: PreTrainedModel, samples: int = 256) -> str:
    """A digest of a model's weights, from some hundred numbers of each: another training step gives another one.

    An adapter is left out: with one or without, it is the digest of the model's own weights.
    """
    digest = hashlib.sha256()
    adapters = lora.adapter_weights(model)
    for name, weight in model.state_dict().items():
        if name in adapters:
            continue
        flat = weight.detach().flatten()
        some = flat[:: max(1, flat.numel() // samples)].to("cpu", torch.float32)
        name = name.replace(".base_layer.", ".")
        digest.update(f"{name} {tuple(weight.shape)}".encode() + some.numpy().tobytes())
    return digest.hexdigest()


def save_policy(
    policy: Policy,
    directory: Path,
    dtype: torch.dtype = torch.float32,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a Hugging Face directory that `AutoModelForCausalLM.from_pretrained` opens (or ...ImageTextToText).

    `weights` stand for the model's own where it holds only a part of them.  An adapter is merged into what is written.
    """
    whole = policy.model.state_dict() if weights is None else weights
    if lora.is_adapted(policy.model):
        whole = dict(lora.merged(policy.model, whole))
    state = {name: t.detach().to("cpu", dtype if t.is_floating_point() else t.dtype) for name, t in whole.items()}
    policy.model.config.dtype = dtype
    policy.model.save_pretrained(directory, state_dict=state)
    policy.tokenizer.save_pretrained(directory)
    if policy.vision is not None:
        policy.vision.save(Path(directory))
