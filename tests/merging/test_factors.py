"""A matrix as two factors: exact at its own rank, the nearest below it, energy as NumPy has it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from mergecast.merging.factors import TOLERANCE, factored


def of_rank(rows, columns, rank, seed=0, dtype=np.float64):
    draws = np.random.default_rng(seed)
    left, right = draws.standard_normal((rows, rank)), draws.standard_normal((rank, columns))
    return (left @ right).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (12, 12), (1, 9)])
def test_a_matrix_of_low_rank_is_its_factors(shape, dtype):
    rank = min(5, *shape)
    matrix = of_rank(*shape, rank, dtype=dtype)
    found = factored(matrix, min(shape))
    assert found.rank == rank
    np.testing.assert_allclose(found.left @ found.right, matrix, atol=2e-6 * np.abs(matrix).max())
    assert found.energy == pytest.approx(float((matrix.astype(np.float64) ** 2).sum()))


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (40, 40)])
@pytest.mark.parametrize("limit", [1, 7, 39])
def test_a_matrix_of_full_rank_is_cut_to_the_nearest_one(shape, limit):
    matrix = np.random.default_rng(1).standard_normal(shape)
    found = factored(matrix, limit)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert found.rank == limit
    rest = matrix - found.left @ found.right
    assert (rest**2).sum() == pytest.approx((values[limit:] ** 2).sum(), rel=1e-10)


def test_what_lies_below_the_tolerance_is_no_rank():
    draws = np.random.default_rng(2)
    left = np.linalg.qr(draws.standard_normal((50, 4)))[0]
    right = np.linalg.qr(draws.standard_normal((70, 4)))[0].T
    matrix = left * [1, 1e-2, 3 * TOLERANCE, 0.3 * TOLERANCE] @ right
    assert factored(matrix, 4).rank == 3


def test_a_sketch_is_taken_only_where_it_sees_all(monkeypatch):
    """Low rank costs no Gram matrix; a little full-rank energy is never lost to a sketch."""
    monkeypatch.setattr(scipy.linalg, "eigh", None)
    low = of_rank(80, 100, 6, dtype=np.float32)
    assert factored(low, 10).rank == 6
    low += 1e-4 * np.random.default_rng(3).standard_normal(low.shape).astype(np.float32)
    with pytest.raises(TypeError):
        factored(low, 10)


def test_the_rounding_of_float32_is_not_taken_for_rank(monkeypatch):
    """Of a large matrix its Frobenius norm is above the tolerance, its largest value is not."""
    monkeypatch.setattr(scipy.linalg, "eigh", None)
    assert factored(of_rank(700, 800, 200, dtype=np.float32), 200).rank == 200


def test_one_direction_that_a_sketch_misses_is_found():
    """A rank just above what is looked for: the nearest matrix is still the nearest one."""
    draws = np.random.default_rng(4)
    left = np.linalg.qr(draws.standard_normal((300, 40)))[0]
    right = np.linalg.qr(draws.standard_normal((400, 40)))[0].T
    values = np.array([1.0] * 20 + [1e-4] * 20)
    matrix = left * values @ right
    found = factored(matrix, 20)
    lost = ((matrix - found.left @ found.right) ** 2).sum()
    assert lost == pytest.approx(20 * 1e-8, rel=1e-6)


def test_zeros_are_of_rank_one_and_hold_nothing():
    found = factored(np.zeros((4, 6), np.float32), 3)
    assert (found.rank, found.energy) == (1, 0.0)
    assert not (found.left @ found.right).any()
