"""Fixtures shared by all rooms: a small family on disk, and the reference data if present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness_files import write_case
from mergecast.checkpoints.writer import write_safetensors
from mergecast.runtime import progress
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from published_folder import write_results
from synthetic_suite import build_suite
from tiny_family import arrays

REFERENCE = Path(__file__).parents[1].parent / "shared" / "reference"
PAPER_RESULTS = REFERENCE.parent / "paper-results" / "results"

TASKS = """
defaults:
  model: {build: "my_models:network"}
  private: ["head.*"]
tasks:
  a: {data: {file: a.npz, inputs: [pixels], labels: digit}}
  b: {data: {file: b.npz, inputs: [pixels], labels: digit}}
"""


@pytest.fixture(autouse=True)
def _quick_enough(monkeypatch):
    """No line of progress on stderr, however slow the machine is."""
    monkeypatch.setattr(progress, "_EVERY", float("inf"))


@pytest.fixture
def family_paths(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A base and three fine-tunes, each with a head of its own, as safetensors files."""
    base = tmp_path / "base.safetensors"
    write_safetensors(base, arrays(0))
    models = []
    for seed, label in enumerate("abc", start=1):
        tensors = arrays(seed)
        tensors["head.weight"] = np.ones((seed + 1, 12), dtype=np.float32)
        path = tmp_path / f"{label}.safetensors"
        write_safetensors(path, tensors)
        models.append(path)
    return base, models


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of parity data; skips where it is not there."""
    if not REFERENCE.is_dir():
        pytest.skip("no reference data beside the repository (../shared/reference)")
    return REFERENCE


@pytest.fixture(scope="session")
def probe_family(tmp_path_factory):
    """Kind of architecture to its tiny family, built once a session; read only."""
    from probe_families import Built, family

    built: dict[str, Built] = {}

    def get(kind: str) -> Built:
        if kind not in built:
            built[kind] = family(kind, tmp_path_factory.mktemp(kind))
        return built[kind]

    return get


@pytest.fixture(scope="session")
def paper_results() -> Path:
    """The folder of the authors' released tables; skips where it is not there."""
    if not PAPER_RESULTS.is_dir():
        pytest.skip("no released tables beside the repository (../shared/paper-results)")
    return PAPER_RESULTS


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder in the authors' layout with one setting: six tasks, two methods, fits."""
    return write_results(tmp_path / "results")


@pytest.fixture
def example_folder(family_paths: tuple[Path, list[Path]], monkeypatch) -> Path:
    """The folder that examples run in: a family, a file of tasks, a suite that was run."""
    folder = family_paths[0].parent
    pairs, outcomes = build_suite(n_tasks=6)
    PairTable(pairs).write(folder / "runs/toy/pairs.parquet")
    OutcomeTable(outcomes).write(folder / "runs/toy/outcomes.parquet")
    (folder / "tasks.yaml").write_text(TASKS, encoding="utf-8")
    write_case(folder / "lm")
    monkeypatch.chdir(folder)
    return folder
