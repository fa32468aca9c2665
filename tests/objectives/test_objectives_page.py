"""docs/objectives.md names what exists: every row and factor, and the tests it points at."""

import re
import typing
from dataclasses import fields
from pathlib import Path

import pytest

from r1zero.config import ObjectiveConfig
from r1zero.objectives import OBJECTIVES
from r1zero.objectives.advantages import BASELINES, BatchScale
from r1zero.objectives.aggregation import NORMALIZERS
from r1zero.objectives.clips import CLIPS
from r1zero.objectives.correction import CORRECTIONS
from r1zero.objectives.ratios import RATIOS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "objectives.md").read_text()


def test_every_row_has_one_line_of_the_table():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.split("### Shift and scale")[0], re.MULTILINE)
    assert sorted(rows) == sorted(OBJECTIVES)


@pytest.mark.parametrize("choices", [BASELINES, typing.get_args(BatchScale), RATIOS, CLIPS, NORMALIZERS, CORRECTIONS])
def test_every_choice_of_a_factor_is_explained(choices):
    missing = [name for name in choices if name != "none" and f'"{name}"' not in PAGE]
    assert not missing


def test_every_recipe_key_is_explained_save_those_of_shadow_gradients():
    keys = {f.name for f in fields(ObjectiveConfig)} - {"name", "shadow", "shadow_every"}
    assert not {key for key in keys if f"`{key}" not in PAGE and f"objective.{key}" not in PAGE}


def test_every_test_and_function_the_page_points_at_exists():
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "objectives").glob("test_*.py"))
    code = "".join(path.read_text() for path in (ROOT / "r1zero").rglob("*.py"))
    named = set(re.findall(r"\b(test_\w+)\b(?!\.py)", PAGE))
    assert len(named) > 20 and not {name for name in named if f"def {name}(" not in tests}
    functions = set(re.findall(r"^\| [^|]+ \| `(\w+)`", PAGE, re.MULTILINE))
    assert len(functions) > 20 and not {
        name for name in functions if f"def {name}(" not in code and name != "Objective"
    }
