"""Qwen2-VL and Qwen2.5-VL: pictures of any size, and positions of three axes.

A picture is scaled to sides that are multiples of patch_size * merge_size, within limits of its area.  A feature covers
merge_size^2 patches.  Positions (arXiv:2409.12191, section 2.1) run over time, height and width: the features of a
picture share the time at which it begins, text moves all three axes together, and after a picture text goes on from the
largest of them.

Letters: T tokens of a prompt, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from r1zero.models.vision import Patches, Sight

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class QwenVision:
    """See r1zero.models.vision.Vision."""

    processor: Qwen2VLImageProcessorPil
    image_id: int
    start_id: int
    end_id: int
    forbidden_ids: tuple[int, ...]
    merge_size: int

    def patches(self, picture: Image) -> Patches:
        """Pixels are [patches, 3 * temporal_patch_size * patch_size^2], those of a feature next to each other."""
        made = self.processor(picture, return_tensors="pt")
        time, height, width = made["image_grid_thw"][0].tolist()
        return Patches(made["pixel_values"], (time, height, width), time * height * width // self.merge_size**2)

    def placeholders(self, patches: Patches) -> list[int]:
        return [self.start_id, *[self.image_id] * patches.num_tokens, self.end_id]

    def features(self, model: PreTrainedModel, patches: Sequence[Patches]) -> list[Tensor]:
        pixels = torch.cat([picture.pixels for picture in patches]).to(model.device)
        grids = torch.tensor([picture.grid for picture in patches], device=model.device)
        made = model.get_image_features(pixels, grids, return_dict=True)  # type: ignore[operator]
        return list(made.pooler_output)

    def positions(self, token_ids: Sequence[int], grids: Sequence[tuple[int, int, int]]) -> Tensor:
        parts, at, position = [], 0, 0
        pictures = iter(grids)
        while at < len(token_ids):
            if token_ids[at] == self.image_id:
                time, height, width = next(pictures)
                height, width = height // self.merge_size, width // self.merge_size
                axes = torch.meshgrid(torch.arange(time), torch.arange(height), torch.arange(width), indexing="ij")
                parts.append(torch.stack(axes).flatten(1) + position)
                at += time * height * width
                position += max(height, width)
            else:
                begin = at
                while at < len(token_ids) and token_ids[at] != self.image_id:
                    at += 1
                parts.append(torch.arange(position, position + at - begin).expand(3, -1))
                position += at - begin
        return torch.cat(parts, dim=1)

    def towers(self, model: PreTrainedModel) -> dict[str, list[nn.Module]]:
        inner: Any = model.model
        return {"vision": [inner.visual], "language": [inner.language_model, model.get_output_embeddings()]}

    def generate_inputs(self, input_ids_BW: Tensor, sights: Sequence[Sight | None]) -> dict[str, Tensor]:
        grids = [picture.grid for sight in sights if sight is not None for picture in sight.patches]
        return {
            "image_grid_thw": torch.tensor(grids, device=input_ids_BW.device),
            "mm_token_type_ids": (input_ids_BW == self.image_id).int(),
        }

    def save(self, directory: Path) -> None:
        self.processor.save_pretrained(directory)


def qwen_vision(config: PretrainedConfig, settings: Mapping[str, Any], max_pixels: int = 0) -> QwenVision:
    """The adapter of a model config and what preprocessor_config.json says."""
    tower, limit = config.vision_config, {"max_pixels": max_pixels} if max_pixels else {}
    processor = Qwen2VLImageProcessorPil(**{k: v for k, v in {**settings, **limit}.items() if k not in _NAMES})
    merge = tower.spatial_merge_size
    for name, ours, theirs in (
        ("patch_size", tower.patch_size, processor.patch_size),
        ("temporal_patch_size", tower.temporal_patch_size, processor.temporal_patch_size),
        ("merge_size", merge, processor.merge_size),
    ):
        if ours != theirs:
            raise ValueError(f"preprocessor_config.json has {name}={theirs}, the model's vision_config {ours}")
    ids = (config.vision_start_token_id, config.vision_end_token_id, config.image_token_id, config.video_token_id)
    start, end, image, _ = ids
    return QwenVision(processor, image, start, end, tuple(sorted(set(ids))), merge)


_NAMES = {"image_processor_type", "processor_class", "feature_extractor_type"}
