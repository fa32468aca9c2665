"""Placeholders, positions and features are those of transformers' own processing and forward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoConfig
from vision_models import fresh

from r1zero.models.attention import hidden_states
from r1zero.models.load import Policy, load_policy, save_policy
from r1zero.models.packing import Tree, pack
from r1zero.models.vision import features_of, sight_of
from r1zero.models.vision_llava import llava_vision
from r1zero.models.vision_prompt import _Memory, encode_prompt, look, sight, sight_of_prompt
from r1zero.models.vision_qwen import qwen_vision
from r1zero.records import Prompt
from r1zero.tasks.pictures import decode_picture

PolicyOf = Callable[[str], Policy]
PromptsOf = Callable[[str], list[Prompt]]


def plain_inputs(policy: Policy, prompt: Prompt, response: tuple[int, ...] = ()) -> dict[str, Any]:
    """What transformers' own forward pass takes: pixels, grids and token types."""
    ids = torch.tensor([[*prompt.token_ids, *response]])
    patches = look(policy, prompt.images) if prompt.images else []
    inputs: dict[str, Any] = {"input_ids": ids}
    if patches:
        inputs["pixel_values"] = torch.cat([p.pixels for p in patches])
        if policy.model.config.model_type != "llava":
            inputs["image_grid_thw"] = torch.tensor([p.grid for p in patches])
            inputs["mm_token_type_ids"] = (ids == policy.vision.image_id).int()
    return inputs


def test_a_picture_becomes_as_many_placeholders_as_it_has_features(
    family: str, policy_of: PolicyOf, pictures: list[str]
) -> None:
    policy = policy_of(family)
    patches = look(policy, pictures)
    counts = [9, 9, 9] if family == "llava" else [4, 6, 2]  # 56x56, 84x56, 28x56 at 28 pixels a feature
    assert [p.num_tokens for p in patches] == counts
    features = policy.vision.features(policy.model, patches)
    assert [tuple(f.shape) for f in features] == [(n, 32) for n in counts]
    for picture, count in zip(patches, counts, strict=True):
        assert policy.vision.placeholders(picture).count(policy.vision.image_id) == count


def test_marks_are_replaced_in_order_and_pictures_come_first_without_any(
    policy_of: PolicyOf, pictures: list[str]
) -> None:
    policy = policy_of("qwen2_vl")
    a, _, c = pictures
    which, then = policy.tokenizer.convert_tokens_to_ids(["which", "then"])
    four, two = [1, 3, 3, 3, 3, 2], [1, 3, 3, 2]
    assert encode_prompt(policy, "which <image> then <image>", (a, c)) == (which, *four, then, *two)
    assert encode_prompt(policy, "which then", (a, c)) == (*four, *two, which, then)
    assert encode_prompt(policy, "which then") == (which, then)


def test_wrong_numbers_of_pictures_are_told(policy_of: PolicyOf, pictures: list[str]) -> None:
    policy = policy_of("qwen2_vl")
    with pytest.raises(ValueError, match="2 times <image> for 1 pictures"):
        encode_prompt(policy, "<image> and <image>", pictures[:1])
    with pytest.raises(ValueError, match="tokens that stand for pictures"):
        encode_prompt(policy, "which <|image_pad|> ?", pictures[:1])
    with pytest.raises(ValueError, match="tokens that stand for pictures"):
        encode_prompt(policy, "which <|image_pad|> ?")
    with pytest.raises(ValueError, match="3 placeholders for 4 features of 1 pictures"):
        sight_of(policy.vision, [1, 3, 3, 3, 2], look(policy, pictures[:1]))


def test_positions_are_those_of_transformers(policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    for family in ("qwen2_vl", "qwen2_5_vl"):
        policy = policy_of(family)
        for prompt in prompts_of(family):
            if not prompt.images:
                continue
            inputs = plain_inputs(policy, prompt)
            inputs.pop("pixel_values")
            expected, delta = policy.model.model.get_rope_index(**inputs)
            seen = sight_of_prompt(policy, prompt)
            assert seen is not None
            torch.testing.assert_close(seen.positions, expected[:, 0])
            assert seen.next_position == len(prompt.token_ids) + int(delta)


def test_text_goes_on_from_the_longer_side_of_a_picture(policy_of: PolicyOf, pictures: list[str]) -> None:
    policy = policy_of("qwen2_vl")
    ids = encode_prompt(policy, "which <image> ?", pictures[1:2])  # 3 x 2 features: which, start, 6, end, ?
    seen = sight(policy, ids, pictures[1:2])
    assert seen is not None
    assert seen.positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]


@torch.no_grad()
def test_hidden_states_of_a_flat_row_are_those_of_a_plain_forward_pass(
    family: str, policy_of: PolicyOf, prompts_of: PromptsOf
) -> None:
    policy, prompts = policy_of(family), prompts_of(family)
    responses = ((5, 6, 7), (8, 9))
    packed = pack([Tree(p.token_ids, responses, sight_of_prompt(policy, p)) for p in prompts])
    features = features_of(policy.vision, policy.model, packed.sights)
    ours = hidden_states(policy.model, packed.input_ids_N, packed.position_ids_N, packed, features, packed.at_F)
    predicting = iter(ours[packed.predicting_M].split([3, 2] * len(prompts)))
    for prompt in prompts:
        for response in responses:
            theirs = policy.model.model(**plain_inputs(policy, prompt, response), use_cache=False).last_hidden_state[0]
            expected = theirs[len(prompt.token_ids) - 1 : -1]
            torch.testing.assert_close(next(predicting), expected, atol=2e-5, rtol=0)


@torch.no_grad()
def test_pictures_matter(family: str, policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    """The same words with another picture of the same size give other hidden states."""
    policy = policy_of(family)
    prompt = prompts_of(family)[0]
    seen = sight_of_prompt(policy, prompt)
    assert seen is not None

    def last(features: torch.Tensor | None) -> torch.Tensor:
        packed = pack([Tree(prompt.token_ids, ((5,),), seen)])
        hidden = hidden_states(policy.model, packed.input_ids_N, packed.position_ids_N, packed, features, packed.at_F)
        return hidden[packed.predicting_M]

    features = features_of(policy.vision, policy.model, [seen])
    assert features is not None
    assert (last(features) - last(features.flip(0))).abs().max() > 1e-3


@torch.no_grad()
def test_a_saved_model_is_loaded_with_how_it_sees(
    family: str, prompts_of: PromptsOf, pictures: list[str], tmp_path: Path
) -> None:
    policy = fresh(family, seed=1)
    save_policy(policy, tmp_path)
    loaded = load_policy(str(tmp_path), "cpu")
    assert type(loaded.vision) is type(policy.vision)
    assert loaded.vision.forbidden_ids == policy.vision.forbidden_ids
    prompt = prompts_of(family)[1]
    assert encode_prompt(loaded, prompt.text, prompt.images) == prompt.token_ids
    for ours, theirs in zip(look(policy, pictures), look(loaded, pictures), strict=True):
        torch.testing.assert_close(ours.pixels, theirs.pixels, atol=0, rtol=0)
    inputs = plain_inputs(policy, prompt)
    torch.testing.assert_close(policy.model(**inputs).logits, loaded.model(**inputs).logits, atol=0, rtol=0)


def test_a_limit_on_pixels_makes_fewer_features(tmp_path: Path, pictures: list[str]) -> None:
    save_policy(fresh("qwen2_vl"), tmp_path / "qwen")
    assert look(load_policy(str(tmp_path / "qwen"), "cpu", max_pixels=56 * 56), pictures[1:2])[0].num_tokens < 6
    with pytest.raises(ValueError, match=r"model\.max_pixels=-1"):
        load_policy(str(tmp_path / "qwen"), "cpu", max_pixels=-1)
    save_policy(fresh("llava"), tmp_path / "llava")
    with pytest.raises(ValueError, match="LLaVA scales every picture"):
        load_policy(str(tmp_path / "llava"), "cpu", max_pixels=56 * 56)


def test_settings_that_do_not_fit_the_tower_are_told(tmp_path: Path) -> None:
    save_policy(fresh("qwen2_vl"), tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"patch_size": 14', '"patch_size": 7'))
    with pytest.raises(ValueError, match="patch_size=7, the model's vision_config 14"):
        load_policy(str(tmp_path), "cpu")
    path.unlink()
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_policy(str(tmp_path), "cpu")


def test_a_model_of_text_refuses_pictures(model_dir: Path, pictures: list[str]) -> None:
    policy = load_policy(str(model_dir), "cpu")
    with pytest.raises(ValueError, match="a model of text: choose one of the kinds qwen2_vl"):
        encode_prompt(policy, "<image> ?", pictures[:1])


def test_a_small_picture_is_enlarged_and_never_refused(policy_of: PolicyOf) -> None:
    for family in ("qwen2_vl", "llava"):
        policy = policy_of(family)
        assert policy.vision.patches(Image.new("RGB", (5, 3))).num_tokens >= 1


CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
PUBLISHED_QWEN = CLIP | {  # as Qwen2-VL's directories have it
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2VLProcessor",
}
PUBLISHED_LLAVA = CLIP | {  # as LLaVA 1.5's have it
    "crop_size": {"height": 336, "width": 336},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "CLIPImageProcessor",
    "processor_class": "LlavaProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 336},
}


def test_published_settings_give_the_published_numbers_of_features() -> None:
    """640 x 480 is 644 x 476 in steps of 28, 23 x 17 features; LLaVA 1.5 has 24 x 24 of every picture."""
    picture = Image.new("RGB", (640, 480))
    for kind in ("qwen2_vl", "qwen2_5_vl"):
        config = AutoConfig.for_model(
            kind, vision_start_token_id=1, vision_end_token_id=2, image_token_id=3, video_token_id=4
        )
        patches = qwen_vision(config, PUBLISHED_QWEN).patches(picture)
        assert patches.num_tokens == 23 * 17 and tuple(patches.pixels.shape) == (4 * 23 * 17, 3 * 2 * 14 * 14)
        large = Image.new("RGB", (4000, 3000))
        assert qwen_vision(config, PUBLISHED_QWEN, max_pixels=401_408).patches(large).num_tokens <= 512
    llava = llava_vision(AutoConfig.for_model("llava"), PUBLISHED_LLAVA)
    assert llava.patches(picture).num_tokens == 576 and llava.patches(picture).pixels.shape == (1, 3, 336, 336)


def test_patches_are_remembered_up_to_a_number_of_bytes(policy_of: PolicyOf, pictures: list[str]) -> None:
    vision = policy_of("qwen2_vl").vision
    sizes = [p.pixels.nbytes for p in look(policy_of("qwen2_vl"), pictures)]
    memory = _Memory(sizes[0] + sizes[1])
    first = memory.patches(vision, pictures[0], None)
    assert memory.patches(vision, pictures[0], None) is first
    memory.patches(vision, pictures[1], None)
    assert len(memory.kept) == 2
    memory.patches(vision, pictures[2], None)
    assert [key[1] for key in memory.kept] == pictures[1:] and memory.bytes == sizes[1] + sizes[2]


def test_a_missing_pillow_is_told_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_policy(fresh("qwen2_vl"), tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match=r"pip install r1zero\[vision\]"):
        load_policy(str(tmp_path), "cpu")
    with pytest.raises(ValueError, match=r"pip install r1zero\[vision\]"):
        decode_picture(b"", "a.png")
