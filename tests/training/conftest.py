import pytest

from r1zero.config import ArchitectureConfig
from r1zero.models.load import save_policy
from r1zero.models.tiny import fresh_policy, train_tokenizer


def random_policy(padding):
    tokenizer = train_tokenizer(["Numbers: 3, 8, 5\nTarget: 23\n3 * 8 = 24\nAnswer: 3 * 8"], 300)
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, intermediate_size=48,
        vocab_size=len(tokenizer) + padding,
    )  # fmt: skip
    return fresh_policy(shape, tokenizer, seed=0)


@pytest.fixture
def policy():
    """A two-layer Qwen2 with random weights and a tokenizer of some 270 entries."""
    return random_policy(padding=0)


@pytest.fixture
def padded_policy():
    """The same with 42 embedding rows that no token has."""
    return random_policy(padding=42)


@pytest.fixture
def base(tmp_path, policy):
    """The directory of `policy`."""
    save_policy(policy, tmp_path / "base")
    return tmp_path / "base"
