"""How two models' weights meet: energies and conflicting signs by hand, and against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mergecast as mc
from mergecast.checkpoints.writer import write_safetensors
from mergecast.evidence.weights.collect import fingerprint
from mergecast.family import Family, blocks
from mergecast.merging.sparsity import trim
from mergecast.testing.tiny import tiny_family, tiny_states
from tiny_family import arrays

SHARED = ("down.bias", "down.weight", "up.bias", "up.weight")


def test_energy_and_conflict_by_hand(tmp_path):
    states = tiny_states("abc")
    e = torch.eye(6)
    updates = {
        "a": torch.outer(e[0], e[0, :5]),
        "b": torch.outer(e[1], 0.6 * e[0, :5] + 0.8 * e[1, :5]),
        "c": -torch.outer(e[0], e[0, :5]),
    }
    for label, state in states.items():
        state.update({n: states["base"][n].clone() for n in SHARED})
        if label in updates:
            state["up.weight"] += updates[label]
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    table = mc.metrics(tiny_family(tmp_path)).set_index(["left", "right"])

    def value(name, pair, arrow="left<-right"):
        return table[f"interference_{name}:{arrow}"][pair]

    # One matrix changed: only up.weight has energy to share.
    assert value("input_energy", ("a", "b")) == pytest.approx(0.36, abs=1e-5)
    assert value("output_energy", ("a", "b")) == pytest.approx(0, abs=1e-5)
    assert value("input_energy", ("a", "b"), "right<-left") == pytest.approx(0.36, abs=1e-5)
    assert value("sign_conflict", ("a", "c")) == pytest.approx(1, abs=1e-5)
    assert value("sign_conflict", ("a", "b")) == pytest.approx(0, abs=1e-5)


def test_conflict_is_that_of_task_vectors_trimmed_as_ties_trims_them(family_paths, monkeypatch):
    monkeypatch.setattr(blocks, "MEMORY_BUDGET", 0)  # read a chunk at a time
    found = fingerprint(Family.open(*family_paths)).conflict
    names = [name for name, value in arrays(0).items() if value.dtype.kind == "f"]
    deltas = {
        name: torch.from_numpy(np.stack([arrays(s)[name] - arrays(0)[name] for s in (1, 2, 3)]))
        for name in names
    }
    kept = np.concatenate(
        [trim(d, 0.2).reshape(3, -1).double().numpy() for d in deltas.values()], 1
    )
    for i in range(3):
        assert found.mass[i] == pytest.approx(np.abs(kept[i]).sum(), rel=1e-12)
        for j in range(3):
            against = np.abs(kept[i])[kept[i] * kept[j] < 0].sum()
            assert found.against[i, j] == pytest.approx(against, rel=1e-12, abs=1e-12)


def test_a_set_without_interference_does_not_pay_for_it(family_paths):
    family = Family.open(*family_paths)
    found = fingerprint(family, conflict=False)
    assert found.conflict is None
    assert not any(matrix.energies for matrix in found.matrices)
    assert "interference_sign_conflict:left<-right" in mc.metrics(family)
    assert "interference_sign_conflict:left<-right" not in mc.metrics(family, metrics="paper")
