"""One pass over a family: any chunking, thread count and order give the same fingerprints."""

from __future__ import annotations

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError
from mergecast.evidence.weights.collect import fingerprint
from mergecast.family import Family, blocks
from recorded_progress import RecordedProgress
from tiny_family import arrays


def test_grams_are_those_of_the_flattened_deltas(family_paths):
    fingerprints = fingerprint(Family.open(*family_paths))
    names = [n for n, v in arrays(0).items() if v.dtype.kind == "f"]
    taus = [
        np.concatenate([(arrays(s)[n] - arrays(0)[n]).astype(np.float64).ravel() for n in names])
        for s in (1, 2, 3)
    ]
    np.testing.assert_allclose(fingerprints.gram, np.array(taus) @ np.array(taus).T, rtol=1e-6)
    base = np.concatenate([arrays(0)[n].ravel() for n in names])
    assert fingerprints.base_norm == pytest.approx(np.linalg.norm(base), rel=1e-6)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(("chunk", "budget"), [(2**17, 2**30), (13, 2**30), (13, 0)])
def test_threads_chunks_and_memory_change_nothing(
    family_paths, workers, chunk, budget, monkeypatch
):
    expected = fingerprint(Family.open(*family_paths))
    monkeypatch.setattr(blocks, "MEMORY_BUDGET", budget)
    monkeypatch.setattr(blocks.ParamBlock.chunks, "__defaults__", (chunk,))
    progress = RecordedProgress()
    found = fingerprint(Family.open(*family_paths), workers=workers, progress=progress)
    np.testing.assert_allclose(found.gram, expected.gram, rtol=1e-12)
    for a, b in zip(found.matrices, expected.matrices, strict=True):
        for side in a.squares:
            np.testing.assert_allclose(a.squares[side], b.squares[side], rtol=1e-9)
        np.testing.assert_allclose(a.profile, b.profile, rtol=1e-9)
        for side in a.energies:
            np.testing.assert_allclose(a.energies[side], b.energies[side], rtol=1e-9)
    np.testing.assert_allclose(found.conflict.against, expected.conflict.against, rtol=1e-12)
    assert progress.stages["weights"] == [5, 5]


def test_a_model_that_is_not_finite_is_refused_or_raised(tmp_path, family_paths):
    base, models = family_paths
    broken = arrays(1)
    broken["layer.weight"][0, 0] = np.inf
    write_safetensors(tmp_path / "broken.safetensors", broken)
    family = Family.open(base, [*models, tmp_path / "broken.safetensors"])
    with pytest.raises(FamilyError, match="model 'broken': parameter 'layer.weight' holds NaN"):
        fingerprint(family)
    found = fingerprint(family, on_error="refuse")
    assert list(found.refused) == ["broken"]
    clean = fingerprint(Family.open(base, models))
    np.testing.assert_allclose(found.gram[:3, :3], clean.gram)
    with pytest.raises(FamilyError, match="model 'broken'"):
        fingerprint(Family.open(base, [tmp_path / "broken.safetensors"]), on_error="refuse")


def test_a_frozen_matrix_is_undefined_for_its_model_only(tmp_path, family_paths):
    base, models = family_paths
    frozen = arrays(4)
    frozen["layer.weight"] = arrays(0)["layer.weight"]
    write_safetensors(tmp_path / "frozen.safetensors", frozen)
    found = fingerprint(Family.open(base, [*models, tmp_path / "frozen.safetensors"]))
    layer = next(m for m in found.matrices if m.name == "layer.weight")
    assert layer.undefined == {"frozen": "is zero"}
    assert np.isnan(layer.squares["left"][3]).all()
    assert np.isfinite(layer.squares["left"][:3, :3]).all()
