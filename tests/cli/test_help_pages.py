"""`--help` explains everything, from the config itself, and costs no torch."""

import subprocess
import sys

import pytest

from r1zero.cli.arguments import knob_types
from r1zero.cli.help import metavar, show
from r1zero.cli.main import VERBS
from r1zero.tasks.templates import TEMPLATES


def test_the_overview_names_every_verb(r1zero):
    page = r1zero("--help")
    assert (page.code, page.err) == (0, "")
    assert all(f"\n  {name} " in page.out for name in VERBS)
    assert r1zero().out == page.out


@pytest.mark.parametrize("name", VERBS)
def test_every_flag_of_every_verb_stands_on_its_page(r1zero, name):
    page = r1zero(name, "--help")
    assert page.code == 0
    words = page.out.split()
    for flag in [*(option.name for option in VERBS[name].options), *knob_types(VERBS[name])]:
        assert f"--{flag}" in words
    assert words.count("(default:") >= len(knob_types(VERBS[name]))


def test_every_template_is_named_on_the_page(r1zero):
    words = r1zero("train", "--help").out.replace(",", " ").split()
    assert set(TEMPLATES) <= set(words)


def test_a_recipe_shows_its_own_values_beside_the_defaults(r1zero):
    page = " ".join(r1zero("train", "oat_zero_countdown", "--help").out.split())
    assert "updates_per_rollout INT optimizer steps on one step's responses" in page
    assert "(default: 1; oat_zero_countdown: 8)" in page


def test_the_page_fits_the_terminal(r1zero, monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    lines = r1zero("train", "--help").out.splitlines()
    assert max(len(line) for line in lines if not line.startswith(("  r1zero", "  torchrun", "  --"))) <= 72


def test_types_and_defaults_are_written_as_one_would_type_them():
    assert [metavar(kind) for kind in (int, float, bool, str, int | None, tuple[int, ...])] == [
        "INT", "FLOAT", "true|false", "TEXT", "INT", "INT,...",
    ]  # fmt: skip
    assert [show(value) for value in (1e-6, 1.0, True, (3, 4), None, "", "x")] == [
        "1e-06", "1", "true", "3,4", "none", "none", "x",
    ]  # fmt: skip


def test_help_and_usage_errors_load_neither_torch_nor_transformers():
    code = (
        "import sys; from r1zero.cli.main import main\n"
        "for line in ('--help', 'train --help', 'eval -h', 'trian', 'train --nope 3'): main(line.split())\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'polars', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_python_dash_m_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "r1zero", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("r1zero ")
