"""Weights go through memory unchanged, and what is no weights is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from r1zero.engines.weight_file import WeightFile, read_weights

WEIGHTS = {
    "a": torch.arange(6.0).view(2, 3),
    "b.bias": torch.tensor([1.0 + 2**-10]),
    "empty": torch.zeros(0, 4),
    "count": torch.tensor([7]),
}


def test_another_reader_finds_the_same_names_shapes_and_numbers_in_order() -> None:
    file = WeightFile()
    file.write(WEIGHTS.items(), torch.float32)
    read = list(read_weights(file.path))
    assert [name for name, _ in read if name != "empty"] == ["a", "b.bias", "count"]
    for name, tensor in read:
        assert tensor.dtype == WEIGHTS[name].dtype
        assert torch.equal(tensor, WEIGHTS[name])


def test_it_is_the_safetensors_format(tmp_path: Path) -> None:
    file = WeightFile()
    file.write(WEIGHTS.items(), torch.float32)
    (tmp_path / "copy.safetensors").write_bytes(b"".join(file.pieces(most=10)))
    assert {name: tensor.tolist() for name, tensor in load_file(tmp_path / "copy.safetensors").items()} == {
        name: tensor.tolist() for name, tensor in WEIGHTS.items()
    }


def test_floating_point_weights_are_rounded_to_the_engines_type_and_others_are_not() -> None:
    file = WeightFile()
    file.write(WEIGHTS.items(), torch.bfloat16)
    read = dict(read_weights(file.path))
    assert read["b.bias"].dtype == torch.bfloat16
    assert read["b.bias"].item() == 1.0  # 2^-10 is below bfloat16's 8 bits
    assert read["count"].item() == 7


def test_a_smaller_model_replaces_a_larger_one() -> None:
    file = WeightFile()
    file.write([("a", torch.ones(1000))], torch.float32)
    file.write([("b", torch.full((2,), 3.0))], torch.float32)
    assert {name: tensor.tolist() for name, tensor in read_weights(file.path)} == {"b": [3.0, 3.0]}
    assert file.size == sum(map(len, file.pieces())) == os.fstat(file.descriptor).st_size


def test_shards_are_gathered_before_they_are_written() -> None:
    class Sharded(torch.Tensor):
        def full_tensor(self) -> torch.Tensor:
            return torch.arange(4.0)

    file = WeightFile()
    file.write([("a", torch.zeros(4).as_subclass(Sharded))], torch.float32)
    assert dict(read_weights(file.path))["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not weights at all",
        (1 << 60).to_bytes(8, "little") + b"{}",
        (len(text := json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode())).to_bytes(
            8, "little"
        )
        + text
        + b"\0" * 35,
    ],
)
def test_what_is_no_weights_is_refused(body: bytes) -> None:
    file = WeightFile()
    file.append(body)
    with pytest.raises(ValueError, match="safetensors"):
        list(read_weights(file.path))


def test_the_memory_is_given_back() -> None:
    file = WeightFile()
    file.write([("a", torch.ones(10))], torch.float32)
    path = file.path
    file.close()
    assert not os.path.exists(path)
