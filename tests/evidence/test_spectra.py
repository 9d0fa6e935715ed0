"""Spectra against a float64 SVD, on every shape and spectrum that takes another path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mergecast.errors import UndefinedError
from mergecast.evidence.weights.spectra import GRAM_LIMIT, rounding_floor, small_gram, spectrum


def with_values(m, n, values, seed=0):
    """A float32 matrix with the given singular values."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((m, len(values))))
    right, _ = np.linalg.qr(rng.standard_normal((n, len(values))))
    return left * values @ right.T


def projector(rows):
    return rows.T @ rows


@settings(max_examples=40, deadline=None)
@given(m=st.integers(1, 60), n=st.integers(1, 60), seed=st.integers(0, 999))
def test_values_and_subspaces_are_those_of_an_svd(m, n, seed):
    delta = np.random.default_rng(seed).standard_normal((m, n))
    left, values, right = np.linalg.svd(delta, full_matrices=False)
    k = min(10, m, n)
    found = spectrum(delta)
    np.testing.assert_allclose(found.values, values, rtol=1e-9, atol=1e-7 * values[0])
    if values[-1] < 1e-4 * values[0]:
        return
    np.testing.assert_allclose(projector(found.left), left[:, :k] @ left[:, :k].T, atol=1e-6)
    np.testing.assert_allclose(projector(found.right), projector(right[:k]), atol=1e-6)
    assert found.weak is not None
    np.testing.assert_allclose(projector(found.weak), projector(right[-k:]), atol=1e-6)


@pytest.mark.parametrize("shape", [(200, 64), (64, 200), (96, 96)])
def test_the_long_way_through_lapack_keeps_vectors_orthonormal(shape):
    delta = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    found = spectrum(delta)
    for rows in (found.left, found.right, found.weak):
        np.testing.assert_allclose(rows @ rows.T, np.eye(10), atol=1e-8)
    triple = np.einsum("km,mn,kn->k", found.left, delta.astype(np.float64), found.right)
    np.testing.assert_allclose(triple, found.values[:10], rtol=1e-9)


def test_a_steep_spectrum_takes_the_svd_and_keeps_its_weak_end():
    values = np.geomspace(1, 3e-6, 48)
    delta = with_values(48, 60, values)
    assert values[-1] < GRAM_LIMIT * values[0]
    found = spectrum(delta)
    np.testing.assert_allclose(found.values, values, rtol=1e-6)
    weak = np.linalg.svd(delta)[2][:48][-10:]
    np.testing.assert_allclose(projector(found.weak), projector(weak), atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 70), (70, 40)])
def test_a_low_rank_update_has_its_rank_and_no_weak_directions(shape):
    delta = with_values(*shape, np.linspace(2, 1, 8)).astype(np.float32)
    found = spectrum(delta)
    assert found.rank == 8
    assert found.left.shape == (8, shape[0])
    assert found.weak is None
    assert "rank 8 of 40" in found.weak_undefined or "coincide" in found.weak_undefined


def test_weak_directions_of_a_small_square_matrix_are_everything():
    found = spectrum(np.diag([3.0, 2.0, 0.0]))
    np.testing.assert_allclose(projector(found.weak), np.eye(3), atol=1e-12)
    assert found.rank == 2


def test_a_tall_matrix_with_one_null_direction_keeps_its_weak_subspace():
    delta = with_values(50, 30, np.append(np.linspace(2, 1, 29), 0.0))
    weak = np.linalg.svd(delta)[2][-10:]
    np.testing.assert_allclose(projector(spectrum(delta).weak), projector(weak), atol=1e-5)


def test_equal_singular_values_at_the_border_are_told():
    assert "coincide" in spectrum(np.eye(30)).weak_undefined


def test_a_zero_matrix_has_no_spectrum():
    with pytest.raises(UndefinedError, match="is zero"):
        spectrum(np.zeros((3, 4)))


def test_the_floor_of_rounding_is_what_rounding_leaves():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 500))
    noise = base.astype(np.float32) - base
    norm = np.linalg.svd(noise, compute_uv=False)[0]
    floor = rounding_floor(float(np.linalg.norm(base)), base.shape)
    assert 0.5 < norm / floor < 2
    low_rank = 1e-4 * rng.standard_normal((300, 4)) @ rng.standard_normal((4, 500))
    stored = (base + low_rank).astype(np.float32) - base.astype(np.float32)
    assert spectrum(stored, floor=2 * floor).rank == 4


def test_gram_is_summed_in_bands(monkeypatch):
    from mergecast.evidence.weights import spectra

    delta = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    whole = small_gram(delta)
    monkeypatch.setattr(spectra, "_ROWS", 8)
    np.testing.assert_allclose(small_gram(delta), whole, rtol=1e-13)
    np.testing.assert_allclose(
        spectrum(delta).values, np.linalg.svd(delta.astype("f8"), compute_uv=False), rtol=1e-7
    )


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_a_kept_direction_too_weak_for_a_gram_matrix_stays_orthonormal(shape):
    # Rank-deficient and steep at once: σ of 4e-6 σ₁ is above the rank tolerance.
    found = spectrum(with_values(*shape, [1.0, 0.5, 0.2, 4e-6, 3e-6]))
    assert found.rank == 5
    for rows in (found.left, found.right):
        np.testing.assert_allclose(rows @ rows.T, np.eye(5), atol=1e-12)
