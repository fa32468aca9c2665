"""An ablation is two arms that differ in one setting; anything else is refused with what differs."""

from __future__ import annotations

import json

import pytest

from r1zero.cli.main import main
from r1zero.experiments.ablation import settings_that_differ
from r1zero.experiments.arms import group_arms
from r1zero.experiments.compare import compare
from r1zero.experiments.recorded import load_run

SMALL = {"steps": 2, "every": 2, "problems": 8}
STD = "objective.divide_by_std"


def objective(name: str, **factors: object) -> dict:
    return {"objective": {"name": name} | factors}


def test_names_are_resolved_to_factors(fake_run):
    """GRPO is Dr. GRPO with the standard deviation and the response's own length."""
    runs = [load_run(fake_run("a", **SMALL)), load_run(fake_run("b", objective("grpo"), **SMALL))]
    differing = settings_that_differ(group_arms(runs)[0])
    assert differing == {
        STD: {"a": False, "b": True},
        "objective.normalizer": {"a": "constant", "b": "response_length"},
    }


def test_another_name_is_fine_where_only_the_named_factor_differs(fake_run):
    """grpo with Dr. GRPO's normaliser is dr_grpo with the standard deviation, by whatever name."""
    runs = [fake_run("a", **SMALL), fake_run("b", objective("grpo", normalizer="constant"), **SMALL)]
    comparison = compare(runs, ablation=STD)
    assert comparison.ablation == STD
    assert list(comparison.settings_that_differ) == [STD]
    assert not any("not an ablation" in note for note in comparison.notes)


def test_a_second_difference_is_named_with_both_values(fake_run):
    runs = [fake_run("a", **SMALL), fake_run("b", objective("grpo") | {"learner": {"lr": 3e-5}}, **SMALL)]
    with pytest.raises(ValueError) as refusal:
        compare(runs, ablation=STD)
    said = str(refusal.value)
    assert said.startswith(f"not an ablation of {STD}: 2 other settings differ too")
    assert "objective.normalizer (constant, response_length)" in said and "learner.lr (1e-06, 3e-05)" in said
    notes = " ".join(compare(runs).notes)
    assert "b against a is not an ablation: 3 settings differ" in notes


def test_whole_objectives_may_be_ablated_by_name(fake_run):
    a, b = fake_run("a", **SMALL), fake_run("b", objective("grpo"), **SMALL)
    assert compare([a, b], ablation="objective.name").ablation == "objective.name"
    c = fake_run("c", objective("grpo", clip_high=0.3), **SMALL)
    with pytest.raises(ValueError, match=r"another setting differs too, objective\.clip_high \(0\.2, 0\.3\)"):
        compare([a, c], ablation="objective.name")


def test_other_knobs_can_be_ablated_and_seed_directory_and_threads_are_none(fake_run):
    a = fake_run("a", **SMALL)
    b = fake_run("b", {"learner": {"lr": 3e-5}, "run": {"threads": 1, "dir": "x"}}, **SMALL)
    assert compare([a, b], ablation="learner.lr").ablation == "learner.lr"


def test_nothing_ablated_a_wrong_name_and_unpaired_seeds_are_refused(fake_run):
    a, b = fake_run("a", **SMALL), fake_run("b", {"learner": {"lr": 3e-5}}, **SMALL)
    with pytest.raises(ValueError, match=r"did you mean objective\.divide_by_std"):
        compare([a, b], ablation="objective.divide_by_sd")
    with pytest.raises(ValueError, match=r"not an ablation of steps: another setting differs too, learner\.lr"):
        compare([a, b], ablation="steps")
    with pytest.raises(ValueError, match="it is 2 in all of a, again"):
        compare([a, fake_run("again", **SMALL)], ablation="steps")
    with pytest.raises(ValueError, match="differ only in their seed"):
        compare([a, fake_run("s", {"seed": 1}, **SMALL)], ablation="steps")


def test_the_verb_refuses_with_exit_code_2_and_else_says_what_it_is(fake_run, capsys):
    a, b = str(fake_run("a", **SMALL)), str(fake_run("b", objective("grpo"), **SMALL))
    assert main(["compare", a, b, "--ablation", STD]) == 2
    assert "objective.normalizer (constant, response_length)" in capsys.readouterr().err
    assert main(["compare", a, b]) == 0
    assert "not an ablation: 2 settings differ" in " ".join(capsys.readouterr().out.split())
    c = str(fake_run("c", objective("dr_grpo", divide_by_std=True), **SMALL))
    assert main(["compare", a, c, "--ablation", STD, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ablation"] == STD
