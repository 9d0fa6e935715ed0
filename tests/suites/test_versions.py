"""A stored number is missed by a change of what it was made by, and by nothing else."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from importlib import import_module

import pytest

from mergecast.evidence.kind import EVIDENCE
from mergecast.merging import METHODS
from mergecast.suites import evaluate as scoring
from mergecast.suites import pair_table, units
from mergecast.suites import run as running
from mergecast.suites.digits.suite import Digits
from mergecast.suites.merges import SIX
from mergecast.suites.run import run_suite

TASKS = ["parity", "upright", "noisy"]


@pytest.fixture
def again(tmp_path, finished, tiny, monkeypatch):
    """Run the finished run again in a copy; what is computed, by kind of unit and method."""
    folder = shutil.copytree(finished, tmp_path / "copy")

    computed = []

    def counted(name, function):
        def call(*arguments):
            unit = arguments[0]
            kind = type(unit).__name__ if name == "units" else name
            computed.append((kind, getattr(unit, "method", "")))
            return function(*arguments)

        return call

    def run_again() -> Counter:
        computed.clear()
        run_suite("digits-14", folder, only=TASKS, workers=1, recipe=tiny)
        return Counter(computed)

    monkeypatch.setattr(running, "compute", counted("units", running.compute))
    monkeypatch.setattr(pair_table, "columns_anew", counted("pairs", pair_table.columns_anew))
    run_again.folder = folder
    return run_again


def raise_version(monkeypatch, name, module=units):
    stage = getattr(module, name)
    monkeypatch.setattr(module, name, replace(stage, version=stage.version + 1))


def changed(monkeypatch, name, **fields):
    """Another merging method under the same name."""
    entry = METHODS._entries[name]
    method = replace(METHODS.get(name), **fields)
    monkeypatch.setitem(METHODS._entries, name, replace(entry, value=method))


PAIRS = {("pairs", ""): 1}
MERGES = {("OutcomeUnit", method): 4 for method in SIX}  # three pairs and one set


def test_the_same_again_computes_nothing(again):
    assert again() == {}


def test_a_methods_version_misses_its_own_merges(again, monkeypatch):
    changed(monkeypatch, "ties", version=2)
    assert again() == {("OutcomeUnit", "ties"): 4, **PAIRS}  # whose other metrics are kept
    assert json.loads((again.folder / "suite.json").read_text())["stages"]["method ties"] == 2


def test_a_methods_default_misses_its_own_merges(again, monkeypatch):
    def task_arithmetic(block, *, scaling: float = 0.4):
        return block.deltas.sum(0) * scaling

    changed(monkeypatch, "task_arithmetic", kernel=task_arithmetic)
    assert again() == {("OutcomeUnit", "task_arithmetic"): 4, **PAIRS}


def test_the_merge_itself_misses_all_merges(again, monkeypatch):
    raise_version(monkeypatch, "MERGE", scoring)
    assert again() == MERGES


def test_evaluation_misses_all_scores_and_trains_nothing(again, monkeypatch):
    raise_version(monkeypatch, "EVALUATION", scoring)
    assert again() == {("SingleUnit", ""): 3, **MERGES}


def test_fine_tuning_is_done_again_and_what_reads_the_same_file_is_not(again, monkeypatch):
    raise_version(monkeypatch, "FINE_TUNE")
    assert again() == {("ModelUnit", ""): 3}


def test_the_evidence_misses_the_pairs_alone(again, monkeypatch):
    retention = import_module(EVIDENCE.get("retention").module)
    stage = retention.STAGE
    monkeypatch.setattr(retention, "STAGE", replace(stage, version=stage.version + 1))
    assert again() == PAIRS


def test_the_suites_version_misses_everything(again, monkeypatch):
    monkeypatch.setattr(Digits, "version", 2)
    assert again() == {
        **PAIRS,
        ("BaseUnit", ""): 1,
        ("ModelUnit", ""): 3,
        ("SingleUnit", ""): 3,
        **MERGES,
    }


def test_the_version_of_the_package_is_part_of_no_key(again, monkeypatch):
    monkeypatch.setattr("mergecast.suites.folder.__version__", "99.0.0")
    assert again() == {}
    content = json.loads((again.folder / "suite.json").read_text())
    assert content["versions"]["mergecast"] == "99.0.0"
