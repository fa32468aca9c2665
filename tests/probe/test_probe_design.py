"""Cells over the same problems, and the queue they become."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from r1zero.config import ProbeConfig
from r1zero.evaluation.queue import FULL
from r1zero.models.load import load_policy
from r1zero.probe.design import make_design, plan_of

CONFIG = ProbeConfig(templates=("native", "r1"), temperatures=(0.0, 0.5, 1.0), samples=4, num_problems=5)


@pytest.fixture(scope="module")
def policy(model_dir):
    return load_policy(str(model_dir), "cpu")


def test_a_greedy_cell_asks_once(policy):
    design = make_design(CONFIG)
    assert [(cell.template.name, cell.temperature, cell.samples) for cell in design.cells] == [
        ("native", 0.0, 1),
        ("native", 0.5, 4),
        ("native", 1.0, 4),
        ("r1", 0.0, 1),
        ("r1", 0.5, 4),
        ("r1", 1.0, 4),
    ]
    assert design.num_generations == 5 * 2 * (1 + 4 + 4)
    plan = plan_of(design, policy, concurrent=2)
    assert sum(len(chunk.prompts) * chunk.way.samples for chunk in plan.chunks) == design.num_generations
    assert all(len(chunk.prompts) * chunk.way.samples <= FULL * 2 for chunk in plan.chunks)


def test_cells_have_random_numbers_of_their_own_and_steps_share_them(policy):
    plan = plan_of(make_design(CONFIG, steps=(0, 10)), policy, concurrent=128)
    ways = {(chunk.template.name, chunk.way.temperature, chunk.way.step): chunk.way.address for chunk in plan.chunks}
    assert ways["r1", 0.5, 0] == ways["r1", 0.5, 10]
    assert len({address for (_, _, step), address in ways.items() if step == 0}) == 6


def test_the_fingerprint_is_of_questions_templates_temperatures_and_samples(policy):
    def fingerprint(**changed):
        return plan_of(make_design(replace(CONFIG, **changed)), policy, concurrent=128).fingerprint

    assert fingerprint() == fingerprint(seed=3, top_p=0.5)  # generated held-out problems are the same of all seeds
    others = [{"templates": ("native",)}, {"temperatures": (0.0, 0.5, 0.9)}, {"samples": 3}, {"num_problems": 4}]
    assert len({fingerprint(), *(fingerprint(**changed) for changed in others)}) == 5


def test_a_template_under_which_nothing_fits_is_named(policy):
    design = make_design(CONFIG)
    with pytest.raises(ValueError, match="templates: under 'r1' no prompt fits the model's context of 100 tokens"):
        plan_of(design, replace(policy, max_context=100), concurrent=128)


def test_oat_zeros_questions_are_read_from_its_own_file(tmp_path):
    rows = [
        {"input": "...", "answer": "24", "subject": "Algebra", "level": f"Level {n}", "question": f"What is 23 + {n}?"}
        for n in (1, 5)
    ]
    Path(tmp_path / "math_train_500.json").write_text(json.dumps(rows))
    config = ProbeConfig(suite="math_train_500", data=str(tmp_path), templates=("none", "qwen_math"))
    problems = make_design(config).problems
    assert [(one.id, one.text, one.level) for one in problems] == [
        ("math_train_500/00000", "What is 23 + 1?", 1.0),
        ("math_train_500/00001", "What is 23 + 5?", 5.0),
    ]
    with pytest.raises(ValueError, match="template 'native' does not fit problem math_train_500/00000"):
        make_design(replace(config, templates=("none", "native")))
