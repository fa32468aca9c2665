"""Real responses of real models with sure labels, where there are: in R1ZERO_DATA, or shared/data beside us."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from r1zero.grading import equivalent, grade

BESIDE = Path(__file__).parents[3] / "shared" / "data"
DATA = Path(os.environ.get("R1ZERO_DATA") or BESIDE)
FRAC, DFRAC = "\\frac", "\\dfrac"
FILES = sorted((DATA / "responses").glob("*.jsonl"))

pytestmark = pytest.mark.skipif(not FILES, reason="no responses/*.jsonl in R1ZERO_DATA: real responses are not tested")


def labelled() -> list[tuple[dict, bool]]:
    rows = [json.loads(line) for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
    return [(row, grade(row["response"], row["gold"], "any").correct) for row in rows if row["label"] is not None]


def test_whole_responses_are_judged_as_their_labels_say():
    verdicts = labelled()
    # labelled by the first number after the trigger, where `70 + 16 + 27 = 113` counts as 70: our reading is 113
    agreed = sum(row["label"] == correct for row, correct in verdicts) / len(verdicts)
    accepted = [row["label"] for row, correct in verdicts if correct]
    assert agreed >= 0.995
    assert sum(accepted) / len(accepted) >= 0.995


def test_boxed_answers_that_were_read_by_people_agree_every_one():
    rows = [(row, correct) for row, correct in labelled() if (row["label_source"] or "").startswith("last boxed")]
    assert len(rows) > 900
    assert [(row["gold"], row["response"][-100:]) for row, correct in rows if row["label"] != correct] == []


@pytest.mark.parametrize("name", ["math500", "minerva", "olympiad_bench", "aime24", "gsm8k_test"])
def test_every_gold_of_a_benchmark_is_equal_to_itself_in_other_clothes(name):
    polars = pytest.importorskip("polars")
    path = DATA / "eval" / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    golds = polars.read_parquet(path)["answer"].to_list()
    dressed = {gold: f"\\[ {gold.replace('$', '').replace(FRAC, DFRAC)} \\]." for gold in golds if "\\$" not in gold}
    assert [gold for gold, answer in dressed.items() if not equivalent(answer, gold)] == []
    assert [gold for gold in golds if equivalent(f"{gold} + 1", gold)] == []
