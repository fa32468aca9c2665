"""The shipped model and some responses of its own, sampled once."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pytest

from r1zero.config import EngineConfig, RewardConfig, SamplingConfig, TaskConfig
from r1zero.engines import Engine, build_engine
from r1zero.evaluation.ask import ask
from r1zero.models.load import Policy, load_policy
from r1zero.store import rollouts_frame
from r1zero.tasks import build_task
from r1zero.tasks.templates import TEMPLATES, Template


@dataclass(frozen=True)
class Organism:
    """tiny-search, asked 40 problems three times each under its native template."""

    policy: Policy
    engine: Engine
    template: Template
    sampling: SamplingConfig
    rollouts: pl.DataFrame


@pytest.fixture(scope="session")
def organism() -> Organism:
    policy = load_policy("tiny-search", "cpu")
    engine = build_engine(EngineConfig(), policy)
    template, sampling = TEMPLATES["native"], SamplingConfig(max_tokens=96)
    problems = build_task(TaskConfig(), 0).problems("eval", 0, 40)
    asked = ask(
        engine, policy, template, problems, samples=3, sampling=sampling, rewards=RewardConfig(), address=(0,), step=0
    )
    rollouts = rollouts_frame(asked.rollouts, run="probe", temperature=1.0, top_p=1.0, seed=0)
    return Organism(policy, engine, template, sampling, rollouts)
