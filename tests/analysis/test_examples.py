"""The examples in docstrings of store, analysis, experiments and reports stay true."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "store analysis.groups analysis.ledger facts.cues statistics.intervals experiments.arms reports.console "
    "reports.findings reports.samples"
)


@pytest.mark.parametrize("module", MODULES.split())
def test_docstring_examples_hold(module):
    results = doctest.testmod(importlib.import_module(f"r1zero.{module}"))
    assert results.failed == 0
