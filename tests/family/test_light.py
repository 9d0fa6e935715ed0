"""The light preflight of a merge: it refuses what `check` refuses, and reads little for it."""

from __future__ import annotations

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError
from mergecast.family import Family, light
from mergecast.family.blocks import ParamBlock
from mergecast.family.light import refuse_unusable
from mergecast.family.preflight import check

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
    monkeypatch.setattr(light, "_SMALL", 0)
    with pytest.raises(FamilyError, match=r"model 'b': its distance from the base is 1\.[34]"):
        refuse_unusable(opened(far=True))


def test_it_reads_a_bounded_part(opened, monkeypatch):
    monkeypatch.setattr(light, "_ELEMENTS", 100)
    monkeypatch.setattr(light, "_SMALL", 0)
    read = []
    part = ParamBlock.part

    def counting(self, start, stop):
        read.append(stop - start)
        return part(self, start, stop)

    monkeypatch.setattr(ParamBlock, "part", counting)
    refuse_unusable(opened(far=False))
    assert read.count(24) == LAYERS  # the norms
    assert 8 <= read.count(100) <= 16
    assert set(read) == {24, 100}


@pytest.mark.parametrize("small", [0, 1 << 22])
def test_large_norms_excuse_matrices_as_they_do_for_check(small, tmp_path, monkeypatch):
    monkeypatch.setattr(light, "_SMALL", small)
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((8, 8), dtype=np.float32)
    base = {"a.weight": matrix, "a.norm": np.full(8, 20, dtype=np.float32)}
    moved = {**base, "a.weight": rng.standard_normal((8, 8), dtype=np.float32)}
    paths = [tmp_path / f"{name}.safetensors" for name in ("base", "a")]
    for path, tensors in zip(paths, (base, moved), strict=True):
        write_safetensors(path, tensors)
    assert check(paths[0], paths[1:]).usable == ["a"]
    assert refuse_unusable(Family.open(paths[0], paths[1:])) == []


def test_a_model_that_equals_its_base_is_warned_of(opened, tmp_path):
    base = opened(far=False).base
    models = {"a": tmp_path / "a.safetensors", "same": tmp_path / "base.safetensors"}
    [finding] = refuse_unusable(Family.open(base, models))
    assert (finding.severity, finding.about, finding.rule) == (
        "warning",
        "same",
        "zero task vector",
    )


def test_a_sum_that_the_stored_dtype_cannot_hold_is_said(tmp_path):
    for name, value in {"base": 1, "a": 60_000, "b": 65_000}.items():
        tensors = {"w": np.full((4, 4), value, dtype=np.float16)}
        write_safetensors(tmp_path / f"{name}.safetensors", tensors)
    paths = [tmp_path / f"{name}.safetensors" for name in ("base", "a", "b")]
    with pytest.raises(FamilyError, match="and their sum overflows float16 in 'w'"):
        refuse_unusable(Family.open(paths[0], paths[1:]))
