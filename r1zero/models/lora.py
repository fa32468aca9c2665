"""LoRA: what learns is a low-rank addition to linear layers; the model's own weights stay as they are, to the bit.

An adapted layer computes W x + (alpha / rank) B A x (arXiv:2106.09685, section 4.1).  B starts at 0, so the adapted
model starts as the model itself.  The layers are peft's, put into the model's own modules: whoever holds the model
samples and learns through them.  There is no dropout: what is sampled is what is scored.

Letters: R rank.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from r1zero.config import LoraConfig, nearest

if TYPE_CHECKING:
    from r1zero.models.load import Policy

NAME = "default"  # of the one adapter
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # peft's names
PREFIX = "base_model.model."  # of the weights' names in peft's files


def adapt(
    policy: Policy, config: LoraConfig, *, base: str, freeze: Literal["none", "vision", "language"], seed: int
) -> None:
    """Put adapters into a policy's model, in place; afterwards nothing else learns.

    None is put into the part that `freeze` names.  A is drawn from (seed, layer); `base` is what the saved adapter says
    it belongs to.  Raises ValueError for a layer that the model has not, and where peft is not installed.
    """
    peft = _peft()
    model = policy.model
    names = chosen_layers(_linear_layers(policy, freeze), config.targets, type(model).__name__)
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=names,
        base_model_name_or_path=str(Path(base).resolve()) if Path(base).is_dir() else base,
    )
    with torch.random.fork_rng(devices=[]):  # peft's own draw is replaced
        peft.inject_adapter_in_model(settings, model, adapter_name=NAME)
    layers = _adapted_layers(model)
    assert set(layers) == set(names)
    for name, layer in layers.items():
        first_RD = layer.lora_A[NAME].weight
        digest = hashlib.sha256(f"lora {seed} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        bound = 1 / math.sqrt(first_RD.shape[1])
        with torch.no_grad():
            first_RD.copy_(torch.empty(first_RD.shape).uniform_(-bound, bound, generator=generator))
            layer.lora_B[NAME].weight.zero_()
    adapters = adapter_weights(model)
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in adapters)


def chosen_layers(layers: Mapping[str, nn.Linear], targets: Sequence[str], model: str) -> list[str]:
    """Full names of the layers that `targets` name, by their last words.  Raises ValueError for one that names none."""
    if not layers:
        raise ValueError(f"lora: {model} has no linear layer that could get an adapter")
    if "all" in targets:
        return list(layers)
    chosen: dict[str, None] = {}
    for target in targets:
        found = [name for name in layers if f".{name}".endswith(f".{target}")]
        if not found:
            known = sorted({name.rsplit(".", 1)[-1] for name in layers})
            raise ValueError(
                f"lora.targets={target!r}: no linear layer of {model} that may learn is called so (embeddings and the "
                f"output head have no adapters); {nearest(target, ['all', *known])}"
            )
        chosen |= dict.fromkeys(found)
    return list(chosen)


def _linear_layers(policy: Policy, freeze: Literal["none", "vision", "language"]) -> dict[str, nn.Linear]:
    """The linear layers that may get an adapter, by their full names."""
    model, frozen = policy.model, [] if freeze == "none" else policy.part(freeze)
    left_out = {id(module) for part in frozen for module in part.modules()} | {id(model.get_output_embeddings())}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in left_out
    }


def is_adapted(model: nn.Module) -> bool:
    """Whether some of a model's layers have adapters."""
    return any(hasattr(module, "lora_A") for module in model.modules())


def adapter_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """A [R, in] and B [out, R] of every adapted layer, by their full names."""
    return {name: weight for name, weight in model.named_parameters() if ".lora_A." in name or ".lora_B." in name}


def _adapted_layers(model: nn.Module) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


@torch.no_grad()
def merged(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """An adapted model's weights with the adapters added up, W + (alpha / rank) B A, under the model's own names.

    Where ranks hold parts of them all ranks take part, and what was added up is whole.
    """
    layers = _adapted_layers(model)
    for name, weight in weights.items():
        layer = name.removesuffix(".base_layer.weight")
        if layer != name and layer in layers:
            first_RD, second_DR = (_whole(weights[f"{layer}.lora_{which}.{NAME}.weight"]) for which in "AB")
            yield f"{layer}.weight", _whole(weight) + layers[layer].scaling[NAME] * (second_DR @ first_RD)
        elif ".lora_A." not in name and ".lora_B." not in name:
            yield name.replace(".base_layer.", "."), weight


def _whole(tensor: Tensor) -> Tensor:
    """The tensor itself, or all of it where ranks hold parts."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@contextmanager
def without_adapter(model: nn.Module) -> Iterator[None]:
    """For a while the model is what it was before it was adapted, to the bit."""
    layers = _adapted_layers(model).values()
    scales = [layer.scaling[NAME] for layer in layers]
    try:
        for layer in layers:
            layer.scaling[NAME] = 0.0
        yield
    finally:
        for layer, scale in zip(layers, scales, strict=True):
            layer.scaling[NAME] = scale


@contextmanager
def adapter_as(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """For a while these weights take the places of the adapter's own, which stay as they are, gradients and all."""
    own = adapter_weights(model)
    modules = {name: model.get_submodule(name.removesuffix(".weight")) for name in own}
    try:
        for name, module in modules.items():
            module.weight = weights.get(name, own[name])
        yield
    finally:
        for name, module in modules.items():
            module.weight = own[name]


# ---------------------------------------------------------------------------------------------------------------------
# Files, as peft has them


def write_adapter(model: nn.Module, directory: Path, weights: Mapping[str, Tensor] | None = None) -> None:
    """Write a directory that `PeftModel.from_pretrained` and `load_policy` open, in float32.

    `weights` stand for the model's own where it holds only a part of them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    own = adapter_weights(model)
    written = {_on_disk(n): (own if weights is None else weights)[n].detach().cpu().contiguous() for n in own}
    save_file(written, directory / WEIGHTS, metadata={"format": "pt"})
    settings: Any = model.peft_config[NAME]  # type: ignore[index]
    settings.save_pretrained(str(directory))


def read_adapter(model: nn.Module, directory: Path) -> dict[str, Tensor]:
    """An adapter's weights, as written, by their names in an adapted model.

    Raises ValueError where they do not fit.
    """
    there, here = load_file(directory / WEIGHTS), adapter_weights(model)
    expected = {_on_disk(name): weight for name, weight in here.items()}
    if there.keys() != expected.keys() or any(there[name].shape != weight.shape for name, weight in expected.items()):
        raise ValueError(f"the adapter in {directory} has other layers or another rank than this run's")
    return {name: there[_on_disk(name)] for name in here}


def base_of(directory: Path) -> str | None:
    """The model that the adapter in a directory belongs to; None where there is no adapter."""
    if not (directory / CONFIG).exists():
        return None
    if not (directory / WEIGHTS).exists():
        raise ValueError(f"{directory} holds {CONFIG} and no {WEIGHTS}: save the adapter as safetensors")
    settings = _peft().PeftConfig.from_pretrained(str(directory))
    if not settings.base_model_name_or_path:
        raise ValueError(f"{directory / CONFIG} does not say which model it belongs to: set base_model_name_or_path")
    base = str(settings.base_model_name_or_path)
    if Path(base).resolve() == directory.resolve():
        raise ValueError(f"{directory / CONFIG} says that the adapter belongs to itself: set base_model_name_or_path")
    return base


def with_adapter_of(model: PreTrainedModel, directory: Path) -> PreTrainedModel:
    """A model with the adapter in a directory, of any kind that peft can merge, merged into its weights.

    Raises ValueError where the adapter is damaged or belongs to another model.
    """
    try:
        return _peft().PeftModel.from_pretrained(model, str(directory)).merge_and_unload().eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"the adapter in {directory} does not fit {type(model).__name__}: {reason}") from error


def _on_disk(name: str) -> str:
    return PREFIX + name.replace(f".{NAME}.", ".")


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise ValueError("LoRA needs the extra `lora`: pip install 'r1zero[lora]'") from None
    return peft
