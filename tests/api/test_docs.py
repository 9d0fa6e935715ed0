"""The examples of docs/api.md, run as they stand."""

from __future__ import annotations

import doctest
from pathlib import Path

from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from synthetic_suite import build_suite

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_examples_of_the_page_run(family_paths, tmp_path, monkeypatch):
    monkeypatch.chdir(family_paths[0].parent)
    pairs, outcomes = build_suite(n_tasks=6)
    PairTable(pairs).write(Path("runs/toy/pairs.parquet"))
    OutcomeTable(outcomes).write(Path("runs/toy/outcomes.parquet"))
    failed, run = doctest.testfile(str(PAGE), module_relative=False, verbose=False)
    assert run > 15
    assert failed == 0
