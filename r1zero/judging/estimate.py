"""What a judge would be asked, before it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1zero.config import JudgeConfig
from r1zero.judging.instructions import load_instruction
from r1zero.judging.judge import BOTH, Counts, cost_of

CHARS_PER_TOKEN = 3.0  # mathematics has shorter tokens than prose, which has about 4


@dataclass(frozen=True)
class Estimate:
    """The most that a judge would be asked: nothing cached, every reply as long as it may be."""

    requests: int
    tokens_in: int
    tokens_out: int
    cost: float  # in the currency of the prices; NaN without prices
    minutes: float  # the least time that the limit of requests per minute leaves; 0 without a limit


def estimate(n: int, mean_chars: float, config: JudgeConfig, which: Sequence[str] = BOTH) -> Estimate:
    """For `n` responses that are, with their problems, `mean_chars` characters long on average."""
    told = [len(load_instruction(name).text) + min(mean_chars, 2 * config.max_chars) for name in which]
    tokens_in = round(n * sum(told) / CHARS_PER_TOKEN)
    requests = n * len(told)
    tokens_out = requests * config.max_tokens
    minutes = requests / config.requests_per_minute if config.requests_per_minute else 0.0
    cost = cost_of(Counts(tokens_in=tokens_in, tokens_out=tokens_out), config)
    return Estimate(requests, tokens_in, tokens_out, cost, minutes)
