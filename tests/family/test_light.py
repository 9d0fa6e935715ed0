"""The light preflight of a merge: it refuses what `check` refuses, and reads little for it."""

from __future__ import annotations

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError
from mergecast.family import Family, light
from mergecast.family.blocks import ParamBlock
from mergecast.family.light import refuse_unusable

LAYERS = 40


def write(folder, label, seed, *, far):
    """A model of many layers whose norms are near 1 in all models; matrices of another, if far."""
    rng, base = np.random.default_rng(seed), np.random.default_rng(0)
    tensors = {}
    for layer in range(LAYERS):
        first = base.standard_normal((24, 24), dtype=np.float32)
        own = rng.standard_normal((24, 24), dtype=np.float32)
        weight = own if far else first + 0.01 * own * bool(seed)
        tensors[f"layers.{layer:02}.weight"] = weight
        tensors[f"layers.{layer:02}.norm"] = np.ones(24, dtype=np.float32)
    write_safetensors(folder / f"{label}.safetensors", tensors)
    return folder / f"{label}.safetensors"


@pytest.fixture
def opened(tmp_path):
    def open_family(*, far):
        base = write(tmp_path, "base", 0, far=False)
        return Family.open(
            base, [write(tmp_path, "a", 1, far=False), write(tmp_path, "b", 2, far=far)]
        )

    return open_family


def test_fine_tunes_pass(opened):
    assert refuse_unusable(opened(far=False)) == []


@pytest.mark.parametrize("elements", [64, 1 << 18])
def test_a_wrong_base_shows_in_matrices_however_large_they_are(elements, opened, monkeypatch):
    monkeypatch.setattr(light, "_ELEMENTS", elements)
    with pytest.raises(FamilyError, match=r"model 'b': its distance from the base is 1\.[34]"):
        refuse_unusable(opened(far=True))


def test_it_reads_a_bounded_part(opened, monkeypatch):
    monkeypatch.setattr(light, "_ELEMENTS", 100)
    read = []
    part = ParamBlock.part

    def counting(self, start, stop):
        read.append(stop - start)
        return part(self, start, stop)

    monkeypatch.setattr(ParamBlock, "part", counting)
    refuse_unusable(opened(far=False))
    assert 8 <= len(read) <= 16
    assert set(read) == {100}
