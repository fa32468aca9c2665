"""Addressed randomness and the distributions tokens are drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from r1zero.config import SamplingConfig
from r1zero.engines.sampling import distribution, draw, stream_key, uniforms

LOGITS = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()  # four ids with round probabilities
GREEDY = SamplingConfig(temperature=0.0)


def test_uniforms_are_splitmix64() -> None:
    """First outputs of the published generator from state 0 are 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, ..."""
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    got = uniforms(torch.tensor(0), torch.arange(3)).tolist()
    assert got == [((x >> 12) + 0.5) / 2**52 for x in expected]


def test_uniforms_are_uniform_and_unrelated_between_neighbouring_addresses() -> None:
    keys = torch.tensor([stream_key((0, step), "p", sample) for step in range(20) for sample in range(20)])
    values = uniforms(keys, torch.arange(100)[:, None])
    assert values.min() > 0 and values.max() < 1
    assert stats.kstest(values.flatten().numpy(), "uniform").pvalue > 0.001
    along_positions = torch.corrcoef(torch.stack((values[:-1].flatten(), values[1:].flatten())))[0, 1]
    along_addresses = torch.corrcoef(torch.stack((values[:, :-1].flatten(), values[:, 1:].flatten())))[0, 1]
    assert abs(along_positions) < 4 / math.sqrt(values.numel())
    assert abs(along_addresses) < 4 / math.sqrt(values.numel())


def test_key_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert stream_key((7, "eval", 3), "é", 2) == -6221391223139141702


def test_key_tells_every_part_of_the_address_apart() -> None:
    addresses = [((1, 2), "3", 4), ((1,), "2", 3), (("1", 2), "3", 4), ((12,), "3", 4), ((1, 2), "34", 4)]
    assert len({stream_key(*a) for a in [*addresses, ((1, 2), "3", 5)]}) == len(addresses) + 1


def test_a_token_is_the_inverse_of_the_cumulative_distribution() -> None:
    u = torch.tensor([0.05, 0.39, 0.41, 0.69, 0.71, 0.89, 0.91, 0.999], dtype=torch.float64)
    ids, logprobs = draw(LOGITS.expand(len(u), -1), u, SamplingConfig())
    assert ids.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert logprobs.exp().tolist() == pytest.approx([0.4, 0.4, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1])


def test_temperature_one_half_squares_the_probabilities() -> None:
    got = distribution(LOGITS, SamplingConfig(temperature=0.5))[0].tolist()
    assert got == pytest.approx([0.16 / 0.30, 0.09 / 0.30, 0.04 / 0.30, 0.01 / 0.30])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_k": 9}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.65}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_p": 0.01}, [1, 0, 0, 0]),
        (
            {"top_k": 3, "top_p": 0.7},
            [4 / 7, 3 / 7, 0, 0],
        ),  # of 4/9 3/9 2/9 the first two reach .7; of .4 .3 .2 only all
    ],
)
def test_truncated_distributions_by_hand(settings: dict[str, float], expected: list[float]) -> None:
    shuffled = torch.tensor([2, 0, 3, 1])  # the order of ids must not matter
    got = distribution(LOGITS[:, shuffled], SamplingConfig(**settings))[0]  # type: ignore[arg-type]
    assert got.tolist() == pytest.approx([expected[i] for i in shuffled])


def test_ties_at_the_cut_go_to_the_smaller_id() -> None:
    assert distribution(torch.zeros(1, 4), SamplingConfig(top_k=2))[0].tolist() == [0.5, 0.5, 0, 0]
    assert distribution(torch.zeros(1, 4), SamplingConfig(top_p=0.6))[0].tolist() == pytest.approx([1 / 3] * 3 + [0])


def test_logprobs_are_of_the_truncated_distribution() -> None:
    ids, logprobs = draw(LOGITS, torch.tensor([0.9], dtype=torch.float64), SamplingConfig(top_k=2))
    assert ids.item() == 1
    assert logprobs.item() == pytest.approx(math.log(3 / 7))


def test_greedy_takes_the_mode_and_reports_its_probability_at_temperature_one() -> None:
    ids, logprobs = draw(LOGITS.flip(-1), torch.tensor([0.01], dtype=torch.float64), GREEDY)
    assert ids.item() == 3
    assert logprobs.exp().item() == pytest.approx(0.4)


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    u = torch.tensor([2.0**-53, 0.4999, 0.5, 0.5001, 1 - 2.0**-53], dtype=torch.float64)
    assert draw(logits.expand(5, -1), u, SamplingConfig())[0].tolist() == [1, 1, 3, 3, 3]


def test_drawn_frequencies_follow_the_distribution() -> None:
    torch.manual_seed(0)
    logits, settings = torch.randn(1, 50), SamplingConfig(temperature=0.7, top_p=0.95)
    n = 200_000
    u = uniforms(torch.tensor(stream_key((0,), "chi-square", 0)), torch.arange(n))
    counts = torch.bincount(draw(logits.expand(n, -1), u, settings)[0], minlength=50)
    expected = distribution(logits, settings)[0].double() * n
    assert counts[expected == 0].sum() == 0
    kept = expected > 0
    assert 1 < kept.sum() < 50
    expected = expected[kept] * (n / expected[kept].sum())
    assert stats.chisquare(counts[kept].numpy(), expected.numpy()).pvalue > 0.001


def test_a_large_vocabulary_is_drawn_from_without_drift() -> None:
    """Over 150,000 equal probabilities the inverse is u * V; a float32 sum would be off by hundreds of ids."""
    vocab = 150_000
    u = torch.tensor([0.123456, 0.5, 0.999], dtype=torch.float64)
    ids = draw(torch.zeros(3, vocab), u, SamplingConfig())[0].double()
    assert ((ids - u * vocab).abs() < 2).all()
