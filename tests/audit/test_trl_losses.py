"""TRL's own code beside r1zero's rows, where TRL is installed."""

import pytest

pytest.importorskip("trl")
pytest.importorskip("accelerate")
pytest.importorskip("datasets")

from r1zero.audit.classify import classify
from r1zero.audit.trl import COUNTERPARTS, TRL_ALONE, Counterpart, agreement, compare_with_trl
from r1zero.objectives import OBJECTIVES


@pytest.mark.parametrize("pair", COUNTERPARTS, ids=[pair.objective.name for pair in COUNTERPARTS])
def test_token_weights_are_trls_but_for_the_constant_beside_the_std(pair):
    found = agreement(pair, 4, 32)
    assert found.failure == ""
    assert found.explained < 1e-6
    assert max(found.on_policy, found.off_policy, found.split) < (1e-3 if pair.objective.divide_by_std else 1e-12)


def test_a_wrong_pairing_is_seen():
    dapo, grpo = (next(p for p in COUNTERPARTS if p.objective.name == name) for name in ("dapo", "grpo"))
    assert agreement(Counterpart(dapo.objective, grpo.trl), 4, 32).verdict.startswith("differs by")


def test_another_clip_is_seen_off_policy_only():
    grpo, sapo = (next(p for p in COUNTERPARTS if p.objective.name == name) for name in ("grpo", "sapo"))
    found = agreement(Counterpart(sapo.objective, grpo.trl), 4, 32)
    assert found.on_policy < 1e-3 < found.off_policy


def test_trls_losses_divide_by_what_its_documentation_says():
    by_name = {pair.objective.name: pair.trl for pair in COUNTERPARTS}
    labels = {name: classify(by_name[name], 4, 32).label for name in ("grpo", "dr_grpo", "dapo", "bnpo")}
    assert labels == {
        "grpo": "1 over own length",
        "dr_grpo": "constant 1/M",
        "dapo": "1 over batch tokens",
        "bnpo": "1 over micro-batch tokens",
    }
    assert classify(TRL_ALONE[0], 4, 32).label == "1 over batch tokens"


def test_rows_without_counterpart_are_named():
    rows, without = compare_with_trl(4, 32, ["grpo", "opo"])
    assert [row.objective for row in rows] == ["grpo"]
    assert without == ["opo"]


def test_settings_that_trl_refuses_are_reported_and_do_not_stop_the_others():
    refused = Counterpart(OBJECTIVES["grpo"], type(COUNTERPARTS[0].trl)("trl x", {"loss_type": "no_such_loss"}))
    assert agreement(refused, 4, 32).verdict.startswith("not run: ValueError")
