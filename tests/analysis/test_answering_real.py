"""Real responses of base models, where there are: in R1ZERO_DATA, or shared/data beside us."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from r1zero.facts.trying import answers

DATA = Path(os.environ.get("R1ZERO_DATA") or Path(__file__).parents[3] / "shared" / "data") / "responses"
OLMO, QWEN = DATA / "olmo2-1b_base_gsm8k.jsonl", DATA / "qwen2.5-math-1.5b_base_math_r1.jsonl"
# Read by hand: OLMo's question_only responses that are not empty and yet do not try to answer, by number of the id.
CONTINUE = {35, 95, 99, 125, 131, 145, 198, 232, 267, 309, 334, 340, 358, 396}

pytestmark = pytest.mark.skipif(not OLMO.exists(), reason="no responses/*.jsonl in R1ZERO_DATA: not tested")


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def verdict(row: dict) -> bool:
    return answers(row["question"], row["response"], formatted=row["r1_format"])


def test_the_rule_agrees_with_hand_labels_of_every_response_to_a_bare_question():
    bare = [row for row in rows(OLMO) if row["template"] == "question_only"]
    labels = [bool(row["response"].strip()) and int(row["id"][-4:]) not in CONTINUE for row in bare]
    agreed = [verdict(row) == label for row, label in zip(bare, labels, strict=True)]
    assert len(bare) == 442 and sum(labels) == 112
    assert sum(agreed) / len(agreed) >= 0.98


def test_base_models_under_r1_try_to_answer():
    asked = rows(QWEN) + [row for row in rows(OLMO) if row["template"] != "question_only"]
    assert sum(map(verdict, asked)) / len(asked) > 0.98
