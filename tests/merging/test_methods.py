"""Each method against its definition on small blocks.

What all of them have in common is `mergecast.testing`'s: tests/testing walks the registry.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.family import ParamBlock
from mergecast.merging import METHODS, TensorBlock, usual_methods
from mergecast.merging.apply import apply
from mergecast.merging.method import USUAL
from mergecast.merging.methods.spectral import orthogonalise
from mergecast.merging.sparsity import kth_smallest
from mergecast.testing.merging_methods import random_block

ALL = METHODS.names()
SIX = ["weight_avg", "task_arithmetic", "ties", "dare", "tsv", "isotropic"]


def block(n=3, shape=(8, 5), seed=0, dtype=torch.float32):
    return random_block(n, shape, seed, dtype)


def run(name, given_block, **params):
    method = METHODS.get(name)
    return method.kernel(given_block, **method.validate(params))


def test_evidence_is_about_the_nine_usual_methods_whatever_else_is_registered():
    nine = set(SIX) | {"dare_ties", "iso_cts", "slerp"}
    assert set(usual_methods()) == set(USUAL) == nine
    assert nine < set(ALL)


#: Those that read the base's values too, or know an absolute size.
NOT_ON_DELTAS = {"slerp", "karcher", "nearswap", "arcee_fusion", "ram", "ramplus_tl"}


@pytest.mark.parametrize("name", [n for n in ALL if n not in NOT_ON_DELTAS])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_methods_on_deltas_are_homogeneous(name, seed, factor):
    count = METHODS.get(name).max_members or 3
    given_block = block(count, (6, 4), seed, dtype=torch.float64)
    scaled = TensorBlock("w", given_block.base, factor * given_block.deltas, given_block.members)
    torch.testing.assert_close(
        run(name, scaled), factor * run(name, given_block), atol=1e-9, rtol=1e-6
    )


@pytest.mark.parametrize("name", ["weight_avg", "tsv", "slerp"])
def test_one_model_merged_alone_is_itself(name):
    alone = block(1, (6, 4), dtype=torch.float64)
    torch.testing.assert_close(run(name, alone), alone.deltas[0])


def test_weight_avg_and_task_arithmetic():
    b = block()
    torch.testing.assert_close(run("weight_avg", b), b.deltas.mean(0))
    torch.testing.assert_close(run("task_arithmetic", b), 0.3 * b.deltas.sum(0))
    torch.testing.assert_close(run("task_arithmetic", b, scaling=0.5), 0.5 * b.deltas.sum(0))


def test_ties_by_hand():
    deltas = torch.tensor([[4.0, -3.0, 0.1, 2.0, 0.2], [-1.0, -5.0, 6.0, 0.1, 0.2]])
    b = TensorBlock("w", torch.zeros(5), deltas, ("a", "b"))
    # Two of five kept each: a keeps 4, -3; b keeps -5, 6.
    merged = run("ties", b, density=0.4, scaling=1.0)
    assert merged.tolist() == [4.0, -4.0, 6.0, 0.0, 0.0]
    full = run("ties", b, density=1.0, scaling=1.0)
    assert full.tolist() == pytest.approx([4.0, -4.0, 3.05, 1.05, 0.2])


def test_ties_sign_rules_differ_where_mass_and_count_do():
    deltas = torch.tensor([[9.0], [-1.0], [-2.0]])
    b = TensorBlock("w", torch.zeros(1), deltas, ("a", "b", "c"))
    assert run("ties", b, density=1.0, scaling=1.0, sign="mass").item() == 9.0
    assert run("ties", b, density=1.0, scaling=1.0, sign="count").item() == -1.5


def test_dare_keeps_its_share_rescaled_and_differs_by_model_and_seed():
    deltas = torch.ones(2, 100_000)
    b = TensorBlock("w", torch.zeros(100_000), deltas, ("a", "b"))
    merged = run("dare", b)
    values, counts = merged.unique(return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 5.0, 10.0])
    assert counts[2].item() / 100_000 == pytest.approx(0.01, abs=0.002)  # independent masks
    assert merged.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(merged, run("dare", b))
    other = TensorBlock("w", b.base, deltas, ("a", "b"), seed=1)
    assert not torch.equal(merged, run("dare", other))
    elsewhere = TensorBlock("v", b.base, deltas, ("a", "b"))
    assert not torch.equal(merged, run("dare", elsewhere))


def test_dare_by_magnitude_keeps_the_largest():
    deltas = torch.tensor([[1.0, -4.0, 2.0, 3.0]])
    b = TensorBlock("w", torch.zeros(4), deltas, ("a",))
    kept = run("dare", b, drop_rate=0.5, mask="magnitude", rescale=False)
    assert kept.tolist() == [0.0, -4.0, 0.0, 3.0]


def test_dare_without_dropping_is_the_mean_and_dare_ties_is_ties():
    b = block()
    torch.testing.assert_close(run("dare", b, drop_rate=0.0), b.deltas.mean(0))
    torch.testing.assert_close(
        run("dare_ties", b, drop_rate=0.0), run("ties", b, density=1.0, scaling=1.0)
    )


def test_tsv_keeps_rank_over_n_of_orthogonal_tasks_exactly():
    # Tasks in orthogonal subspaces of rank 2 = 6 / 3: nothing is lost and nothing interferes.
    q, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    p, _ = torch.linalg.qr(torch.randn(9, 6, dtype=torch.float64))
    deltas = torch.stack(
        [
            q[:, 2 * i : 2 * i + 2]
            @ torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
            @ p[:, 2 * i : 2 * i + 2].T
            for i in range(3)
        ]
    )
    b = TensorBlock("w", torch.zeros(6, 9, dtype=torch.float64), deltas, tuple("abc"))
    torch.testing.assert_close(run("tsv", b), deltas.sum(0))


def test_tsv_of_two_equal_models_is_the_model_cut_to_the_kept_rank():
    """Two equal sets of singular vectors have no second direction to decorrelate them with."""
    delta = torch.randn(6, 9, dtype=torch.float64)
    b = TensorBlock(
        "w", torch.zeros(6, 9, dtype=torch.float64), torch.stack([delta] * 2), ("a", "b")
    )
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    torch.testing.assert_close(run("tsv", b), u[:, :3] * s[:3] @ vh[:3])


def test_isotropic_gives_every_direction_the_mean_singular_value():
    b = block(dtype=torch.float64)
    merged = run("isotropic", b)
    values = torch.linalg.svdvals(merged)
    expected = torch.linalg.svdvals(b.deltas.sum(0)).mean()
    torch.testing.assert_close(values, expected.expand(5))


def test_iso_cts_is_isotropic_of_full_rank_and_iso_c_at_fraction_one():
    b = block(3, (12, 20), dtype=torch.float64)
    values = torch.linalg.svdvals(run("iso_cts", b, common_fraction=0.5))
    torch.testing.assert_close(values, values.mean().expand(12))
    torch.testing.assert_close(
        run("iso_cts", b, common_fraction=1.0), run("isotropic", b), atol=1e-9, rtol=1e-7
    )


def test_slerp_follows_the_great_circle():
    base = torch.zeros(2, dtype=torch.float64)
    deltas = torch.tensor([[2.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    b = TensorBlock("w", base, deltas, ("a", "b"))
    for t in (0.0, 0.25, 0.5, 1.0):
        angle, length = t * np.pi / 2, 2 * (1 - t) + 4 * t
        expected = torch.tensor([length * np.cos(angle), length * np.sin(angle)])
        torch.testing.assert_close(run("slerp", b, t=t), expected, atol=1e-9, rtol=1e-9)


def test_slerp_of_three_is_their_centre_and_of_a_zero_vector_the_line():
    eye = torch.eye(3, dtype=torch.float64)
    b = TensorBlock("w", torch.zeros(3, dtype=torch.float64), eye, tuple("abc"))
    torch.testing.assert_close(run("slerp", b), torch.full((3,), 3**-0.5, dtype=torch.float64))
    zero = TensorBlock("w", torch.zeros(2), torch.tensor([[0.0, 0.0], [2.0, 2.0]]), ("a", "b"))
    assert run("slerp", zero).tolist() == [1.0, 1.0]
    with pytest.raises(UndefinedError, match=r"slerp between 3 models.*t = 0.25.*karcher"):
        run("slerp", b, t=0.25)


def test_orthogonalise_gives_the_nearest_isometry():
    tall = torch.randn(7, 3, dtype=torch.float64)
    q = orthogonalise(tall)
    torch.testing.assert_close(q.T @ q, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(orthogonalise(tall.T), q.T)


def test_kth_smallest_matches_torch():
    values = torch.randn(1001)
    for k in (1, 500, 1001):
        assert kth_smallest(values, k) == values.kthvalue(k).values


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "ties",
            {"density": 0},
            "parameter 'density' of ties: is 0; Input should be greater than 0",
        ),
        ("ties", {"densty": 0.2}, "parameter of ties 'densty': unknown; did you mean 'density'"),
        ("ties", {"sign": "most"}, "parameter 'sign' of ties: is 'most'"),
        (
            "task_arithmetic",
            {"scaling": "a lot"},
            "parameter 'scaling' of task_arithmetic: is 'a lot'",
        ),
        ("task_arithmetic", {"scaling": float("nan")}, "parameter 'scaling' of task_arithmetic"),
        ("dare", {"drop_rate": 1.0}, "less than 1"),
        ("tsv", {"scaling": True}, "parameter 'scaling' of tsv: is True; give a value such as 1.0"),
    ],
)
def test_wrong_parameters_are_named(name, params, message):
    with pytest.raises(UsageError, match=message):
        METHODS.get(name).validate(params)


def test_apply_keeps_the_stored_dtype_and_names_failures():
    base = np.full((2, 2), 60000, dtype=np.float32)
    half = ParamBlock.from_arrays("w", base, np.stack([base + 1, base + 2]))
    half.dtype = np.dtype(np.float16)
    method = METHODS.get("weight_avg")
    assert apply(half, method, {}).dtype == np.float16
    with pytest.raises(FamilyError, match="merged by 'task_arithmetic' it overflows float16"):
        apply(half, METHODS.get("task_arithmetic"), {"scaling": 9e3})
    broken = ParamBlock.from_arrays("w", base, np.stack([base, base * np.nan]))
    for name in ("weight_avg", "ties", "tsv"):  # TIES' sign election alone would drop NaN
        kernel = METHODS.get(name)
        with pytest.raises(FamilyError, match="model 'model_1': parameter 'w'.*NaN or infinity"):
            apply(broken, kernel, kernel.validate())


def low_rank(dtype, n=2, rank=3, shape=(24, 16)):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn((n, shape[0], rank), generator=generator, dtype=torch.float64)
    right = torch.randn((n, rank, shape[1]), generator=generator, dtype=torch.float64)
    deltas = (left @ right).to(dtype)
    return TensorBlock("w", torch.zeros(shape, dtype=dtype), deltas, tuple("abcdef"[:n]))


@pytest.mark.parametrize("name", ["tsv", "isotropic", "iso_cts"])
def test_directions_of_zero_weight_take_no_part(name):
    # What LAPACK returns for them is arbitrary; a merge of LoRAs must not depend on it.
    double = run(name, low_rank(torch.float64))
    single = run(name, low_rank(torch.float32))
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)
    basis = torch.linalg.svd(low_rank(torch.float64).deltas.sum(0))[0][:, :6]
    torch.testing.assert_close(basis @ (basis.T @ double), double)


@pytest.mark.parametrize("name", ["tsv", "isotropic", "iso_cts"])
def test_matrices_nobody_changed_stay(name):
    nothing = TensorBlock("w", torch.ones(4, 6), torch.zeros(2, 4, 6), ("a", "b"))
    assert not run(name, nothing).any()


def test_iso_cts_shares_the_rank_as_its_authors_do():
    # r = 15, N = 2, f = 0.8: int(15 * 0.8) = 12, the rest 3 rounds to 2 a task, 11 common.
    b = block(2, (15, 20), dtype=torch.float64)
    merged = run("iso_cts", b)
    total = b.deltas.sum(0)
    u, s, vh = torch.linalg.svd(total, full_matrices=False)
    left, values, right = [u[:, :11]], [s[:11]], [vh[:11]]
    for delta in b.deltas:
        ut, st_, vt = torch.linalg.svd(delta - left[0] @ left[0].T @ delta, full_matrices=False)
        left.append(ut[:, :2])
        values.append(st_[:2])
        right.append(vt[:2])
    polar = [
        torch.linalg.svd(torch.cat(side, d), full_matrices=False)
        for side, d in ((left, 1), (right, 0))
    ]
    expected = (polar[0][0] @ polar[0][2]) @ (polar[1][0] @ polar[1][2])
    torch.testing.assert_close(merged, expected * torch.cat(values).mean())


def test_slerp_of_opposite_weights_takes_the_chord_and_keeps_its_ends():
    deltas = torch.tensor([[0.01], [-0.02]], dtype=torch.float64)
    b = TensorBlock("w", torch.tensor([0.01], dtype=torch.float64), deltas, ("a", "b"))
    for t, delta in ((0.0, 0.01), (0.5, -0.005), (1.0, -0.02)):
        assert run("slerp", b, t=t).item() == pytest.approx(delta)


def test_merges_that_overflow_8_bits_are_refused():
    import ml_dtypes

    base = np.full((2, 2), 400, dtype=np.float32)
    narrow = ParamBlock.from_arrays("w", base, np.stack([base + 48] * 3))
    narrow.dtype = np.dtype(ml_dtypes.float8_e4m3fn)
    with pytest.raises(FamilyError, match="it overflows float8_e4m3fn"):
        apply(narrow, METHODS.get("task_arithmetic"), {"scaling": 3.0})
