import importlib.util
import json
import re

import pytest

LOSS = """
def per_sequence_mean(batch):
    advantages_B = batch.rewards_B - batch.group_rewards_BG.mean(-1)
    ratio_BT = (batch.logprobs_BT - batch.old_logprobs_BT).exp() * batch.mask_BT
    return -(ratio_BT.sum(-1) / batch.lengths_B * advantages_B).sum() / batch.step_responses
"""
SMALL = ("--group-size", 4, "--max-tokens", 32)


def test_without_arguments_grpo_and_dr_grpo_stand_side_by_side(r1zero):
    outcome = r1zero("audit", *SMALL)
    assert outcome.code == 0
    assert "1 over own length" in outcome.out
    assert "constant 1/M" in outcome.out


def test_all_gives_every_row_a_line(r1zero):
    from r1zero.objectives import OBJECTIVES

    lines = r1zero("audit", "--objective", "all", *SMALL).out.splitlines()
    first_words = {line.split()[0] for line in lines if line.strip()}
    assert set(OBJECTIVES) <= first_words


def test_json_names_what_was_asked_and_keeps_its_keys(r1zero):
    found = r1zero("audit", "--objective", "dapo,bnpo", "--json", *SMALL).json
    assert list(found) == ["group_size", "max_tokens", "audits", "equals"]
    dapo, bnpo = found["audits"]
    assert (dapo["name"], bnpo["name"]) == ("dapo", "bnpo")
    assert (dapo["split"], bnpo["split"][:7]) == ("unchanged", "changes")
    assert set(dapo) == {
        "name", "group_size", "max_tokens", "classification", "lengths", "difficulty", "rewards", "invariances", "clip",
        "silent", "note", "shift", "scale", "split", "padding", "padding_side", "order", "equal_rewards", "verdicts",
    }  # fmt: skip


def test_the_same_audit_prints_the_same_json(r1zero):
    assert r1zero("audit", "--json", *SMALL).out == r1zero("audit", "--json", *SMALL).out


def test_a_users_loss_is_audited_from_the_current_directory(r1zero, tmp_path):
    (tmp_path / "verb_losses.py").write_text(LOSS)
    found = r1zero("audit", "--loss", "verb_losses.py:per_sequence_mean", "--json", *SMALL).json
    assert [one["name"] for one in found["audits"]] == ["per_sequence_mean"]
    assert found["audits"][0]["classification"]["label"] == "1 over own length"
    assert [one["row"] for one in found["equals"]["per_sequence_mean"]] == ["grpo_no_std"]


def test_the_page_opens_offline_and_holds_the_numbers(r1zero, tmp_path):
    outcome = r1zero("audit", "--out", "audit", *SMALL)
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert outcome.out.strip().endswith("audit/audit.html")
    document = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", document)
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])
    assert [len(row) for row in figures] == [3, 3]
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["audits"][0]["name"] == "grpo"


def test_simulated_lengths_follow_the_length_bias_of_grpo_and_not_of_dr_grpo(r1zero):
    outcome = r1zero("audit", "--simulate", "--json", *SMALL)
    ends = {one["name"]: (one["right"]["end"], one["wrong"]["end"]) for one in outcome.json["simulations"]}
    assert ends["grpo"][0] < 2 and ends["grpo"][1] > 40
    assert ends["dr_grpo"] == pytest.approx((10, 10), abs=3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--objective", "drgrpo"), "did you mean dr_grpo"),
        (("--objective", ","), "names no objective"),
        (("--group-size", "1"), "at least 2"),
        (("--max-tokens", "4"), "at least 16"),
        (("--against", "verl"), "did you mean trl?"),
        (("--loss", "nowhere"), "give MODULE:FUNCTION"),
    ],
)
def test_wrong_usage_is_answered_with_the_remedy(r1zero, words, message):
    outcome = r1zero("audit", *words)
    assert outcome.code == 2
    assert message in outcome.err


@pytest.mark.skipif(importlib.util.find_spec("trl") is not None, reason="TRL is installed")
def test_a_missing_trl_names_the_extra_to_install(r1zero):
    outcome = r1zero("audit", "--against", "trl", *SMALL)
    assert outcome.code == 2
    assert "r1zero[bench]" in outcome.err
