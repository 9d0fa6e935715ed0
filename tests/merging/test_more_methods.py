"""Methods with weights, of mergekit and without data, each against its definition.

Parity with files that mergekit wrote is in test_mergekit.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mergecast.errors import UsageError
from mergecast.merging import METHODS, TensorBlock
from mergecast.merging.methods import low_rank
from mergecast.testing.merging_methods import random_block


def of(*rows, base=None, weights=None, dtype=torch.float64):
    deltas = torch.tensor(rows, dtype=dtype)
    start = torch.zeros_like(deltas[0]) if base is None else torch.tensor(base, dtype=dtype)
    return TensorBlock("w", start, deltas, tuple("abcde"[: len(rows)]), given=weights)


def block(n=3, shape=(8, 5), seed=0, weights=None):
    return replace(random_block(n, shape, seed, torch.float64), given=weights)


def run(name, given_block, **params):
    method = METHODS.get(name)
    return method.kernel(given_block, **method.validate(params))


def test_weights_of_means_and_sums():
    b = block(weights=(1.0, 2.0, -0.5))
    total = torch.tensordot(torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64), b.deltas, 1)
    torch.testing.assert_close(run("task_arithmetic", b), 0.3 * total)
    torch.testing.assert_close(run("task_arithmetic", b, normalize=True), 0.3 * total / 2.5)
    torch.testing.assert_close(run("linear", b), total / 2.5)
    weights = b.base + b.deltas
    raw = weights[0] + 2 * weights[1] - 0.5 * weights[2]
    torch.testing.assert_close(b.base + run("linear", b, normalize=False), raw)


def test_weights_in_ties_count_in_the_election_or_only_in_the_mean():
    b = of([3.0], [-2.0], [-2.0], weights=(2.0, 1.0, 1.0))
    full = {"density": 1.0, "scaling": 1.0}
    assert run("ties", b, **full).item() == 3.0  # 6 against 4
    assert run("ties", b, **full, vote="equal").item() == -2.0  # 3 against 4
    assert run("ties", b, **full, normalize=False).item() == 6.0
    assert run("ties", b, **full, sign="count", vote="equal").item() == -2.0


def test_a_density_of_each_member():
    b = of([4.0, 1.0], [3.0, 2.0])
    merged = run("ties", b, density={"a": 0.5, "b": 1.0}, scaling=1.0)
    assert merged.tolist() == [3.5, 2.0]


def test_what_was_dropped_is_made_up_for_by_density_or_by_the_l1_norm():
    b = of([8.0, 1.0, 1.0, 0.0])
    keep = {"density": 0.25, "scaling": 1.0}
    assert run("ties", b, **keep).tolist() == [8, 0, 0, 0]
    assert run("ties", b, **keep, rescale=True).tolist() == [32, 0, 0, 0]
    assert run("ties", b, **keep, rescale="l1").tolist() == [10, 0, 0, 0]
    ones = of([1.0] * 1000)
    for rescale, total in (("l1", 1000), (False, 100)):
        merged = run("dare_linear", ones, density=0.1, rescale=rescale)
        assert float(merged.sum()) == pytest.approx(total, rel=1e-6 if rescale else 0.3)


def test_breadcrumbs_drop_the_largest_and_the_smallest():
    b = of([10.0, -9, 8, -7, 6, 5, -4, 3, 2, 1])
    kept = run("breadcrumbs", b, density=0.4, gamma=0.2, scaling=1.0)
    assert kept.tolist() == [0, 0, 8, -7, 6, 5, 0, 0, 0, 0]
    # Where density and gamma leave no room, fewer outliers go.
    most = run("breadcrumbs", b, density=0.9, gamma=0.5, scaling=1.0)
    assert most.tolist() == [0, *b.deltas[0, 1:].tolist()]
    both = of([10.0, 1.0, 2.0], [-1.0, 10.0, 3.0])
    crumbs = run("breadcrumbs_ties", both, density=0.4, gamma=0.4, scaling=1.0)
    assert crumbs.tolist() == [0, 0, 2.5]


def test_della_keeps_large_entries_more_often_and_the_mean_as_it_is():
    rows = torch.arange(1.0, 6.0, dtype=torch.float64).repeat(20000, 1)
    b = TensorBlock("w", rows * 0, rows[None], ("a",))
    kept = run("della_linear", b, density=0.5, epsilon=0.2, rescale=False, scaling=1.0)
    shares = (kept != 0).double().mean(0)
    np.testing.assert_allclose(shares, [0.3, 0.4, 0.5, 0.6, 0.7], atol=0.02)
    means = run("della_linear", b, density=0.5, epsilon=0.2, scaling=1.0).mean(0)
    np.testing.assert_allclose(means, rows[0], rtol=0.03)
    whole = run("della", b, density=1.0)
    assert torch.equal(whole, rows)


def test_della_says_which_epsilon_leaves_no_probability():
    with pytest.raises(UsageError, match="epsilon of model 'a': is 0.3 beside a density of 0.2"):
        run("della", block(2), density=0.2, epsilon=0.3)


def test_model_stock_by_its_formula_for_the_tensor_its_filters_and_its_rows():
    b = block(3, (4, 3, 2), weights=None)
    for per, shape in (("tensor", (3, 1, 24)), ("filter", (3, 4, 6)), ("row", (3, 12, 2))):
        vectors = b.deltas.reshape(shape)
        unit = vectors / vectors.norm(dim=2, keepdim=True)
        cosine = sum((unit[i] * unit[j]).sum(1) for i in range(3) for j in range(i)) / 3
        expected = (3 * cosine / (1 + 2 * cosine))[:, None] * vectors.mean(0)
        torch.testing.assert_close(run("model_stock", b, per=per), expected.reshape(4, 3, 2))
    alike = of([1.0, 2.0], [1.0, 2.0])
    torch.testing.assert_close(run("model_stock", alike), alike.deltas[0])
    with pytest.raises(UsageError, match="method 'model_stock': got 1 model, takes at least 2"):
        METHODS.get("model_stock").check_members(["a"])


def test_sce_selects_weighs_and_erases():
    b = of([2.0, 0.0, 1.0, 1.0], [0.0, 1.0, -1.0, 1.0])
    # Squares 6 and 3: weights 2/3 and 1/3; the third entries cancel out, and a tie is positive.
    assert run("sce", b).tolist() == pytest.approx([2.0, 1.0, 1.0, 1.0])
    # Three entries vary, by 1, 1/4 and 1: the two that vary most are kept.
    assert run("sce", b, select_topk=0.7).tolist() == pytest.approx([2.0, 0.0, 1.0, 0.0])
    assert run("sce", b, select_topk=0.3).tolist() == [0.0] * 4


def test_ram_averages_what_is_shared_and_keeps_what_is_not():
    b = of([4.0, 2.0, 1e-6, 0.0], [0.0, 4.0, 0.0, 6.0])
    assert run("ram", b).tolist() == [4, 3, 0, 6]
    # Each shares one entry and owns one: 1 + 0.1 · min(1, α).
    for alpha, factor in ((0.2, 1.02), (5, 1.1)):
        own = run("ramplus_tl", b, alpha=alpha)
        assert own.tolist() == pytest.approx([4 * factor, 3, 0, 6 * factor])


def test_nearswap_moves_the_first_towards_the_second_by_no_more_than_t():
    assert run("nearswap", of([0.3, -0.3, 0.05]), t=0.1).tolist() == pytest.approx(
        [0.1, -0.1, 0.05]
    )
    pair = of([1.0, 1.0], [1.05, 2.0])
    assert run("nearswap", pair, t=0.1).tolist() == pytest.approx([1.05, 1.1])
    turned = TensorBlock("w", pair.base, pair.deltas, ("b", "a"))
    assert run("nearswap", turned, t=0.1).tolist() == pytest.approx([1.0, 1.9])


def test_arcee_fusion_takes_the_outstanding_changes_of_the_second():
    b = block(1, (6, 50))
    rows = b.base + b.deltas[0]
    divergence = torch.nn.functional.kl_div(
        b.base.log_softmax(-1), rows.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1, keepdim=True)
    importance = (b.deltas[0].abs() * divergence).flatten()
    low, middle, high = torch.tensor(sorted(importance.tolist()))[[74, 149, 224]]
    taken = (importance >= middle + 1.5 * (high - low)).reshape(6, 50)
    assert 0 < taken.sum() < 60
    torch.testing.assert_close(run("arcee_fusion", b), b.deltas[0] * taken)
    pair = TensorBlock("w", b.base, torch.stack([b.deltas[0], b.deltas[0] * 0]), ("b", "a"))
    torch.testing.assert_close(run("arcee_fusion", pair), b.deltas[0] * taken)


def test_karcher_is_slerp_s_centre_and_weights_move_it_along_the_arc():
    b = block(3)
    torch.testing.assert_close(run("karcher", b), run("slerp", b), atol=1e-7, rtol=1e-6)
    arc = of([2.0, 0.0], [0.0, 4.0], weights=(3.0, 1.0))
    angle, length = np.pi / 8, 2 * 0.75 + 4 * 0.25
    expected = length * torch.tensor([np.cos(angle), np.sin(angle)])
    torch.testing.assert_close(run("karcher", arc), expected, check_dtype=False)
    # Opposite vectors have no centre on the sphere, and a zero one no direction.
    assert run("karcher", of([1.0, 0.0], [-3.0, 0.0])).tolist() == [-1, 0]
    assert run("karcher", of([2.0, 0.0], [0.0, 0.0])).tolist() == [1, 0]


@pytest.mark.parametrize("origin", ["zero", "base"])
def test_multislerp_points_where_the_unit_vectors_do(origin):
    b = block(3, weights=(1.0, 2.0, 3.0))
    points = (b.deltas if origin == "base" else b.base + b.deltas).reshape(3, -1)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) / 6
    lengths = points.norm(dim=1)
    mean = weights @ (points / lengths[:, None])
    expected = mean / mean.norm() * (weights @ lengths)
    merged = run("multislerp", b, origin=origin) + (b.base if origin == "zero" else 0)
    torch.testing.assert_close(merged.flatten(), expected)
    assert run("multislerp", of([1.0, 0.0], [-1.0, 0.0]), origin="base").tolist() == [0, 0]


@pytest.mark.parametrize("per", ["tensor", "row", "column"])
def test_nuslerp_goes_along_the_arc_of_whatever_is_one_vector(per):
    b = block(2, (4, 3), weights=(1.0, 3.0))
    first, second = b.deltas
    if per == "tensor":
        first, second = first.reshape(1, -1), second.reshape(1, -1)
    axis = 0 if per == "column" else 1
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=axis).unsqueeze(axis)
    angle = cosine.acos()
    expected = ((angle / 4).sin() * first + (angle * 3 / 4).sin() * second) / angle.sin()
    torch.testing.assert_close(run("nuslerp", b, per=per), expected.reshape(4, 3))
    chord = run("nuslerp", b, per=per, chord_above=1e-9)
    torch.testing.assert_close(chord, (b.deltas[0] + 3 * b.deltas[1]) / 4)


def interference(merged, deltas, weights):
    """WUDI's loss, with any weights."""
    return sum(
        w * ((merged - d) @ d.T).square().sum() for d, w in zip(deltas, weights, strict=True)
    )


@pytest.mark.parametrize("shape", [(8, 5), (4, 20), (20, 6)])
@pytest.mark.parametrize("method", ["wudi", "actmat"])
def test_interference_is_least_where_it_is_solved(method, shape):
    b = block(3, shape, weights=(1.0, 2.0, 1.0))
    squares = b.deltas.square().sum((1, 2)) if method == "wudi" else torch.ones(3)
    weights = b.weights / squares
    merged = run(method, b).requires_grad_()
    loss = interference(merged, b.deltas, weights)
    [gradient] = torch.autograd.grad(loss, merged)
    scale = torch.autograd.grad(interference(merged * 0.9, b.deltas, weights), merged)[0]
    assert gradient.norm() < 1e-8 * scale.norm()
    assert loss < interference(b.deltas.mean(0), b.deltas, weights)
    alone = block(1, shape)
    torch.testing.assert_close(run(method, alone), alone.deltas[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["wudi", "actmat", "knots_ties"])
def test_low_rank_members_merge_alike_in_single_and_double_precision(method):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn((2, 48, 3), generator=generator, dtype=torch.float64)
    right = torch.randn((2, 3, 40), generator=generator, dtype=torch.float64)
    double = TensorBlock("w", torch.zeros(48, 40, dtype=torch.float64), left @ right, ("a", "b"))
    single = TensorBlock("w", torch.zeros(48, 40), (left @ right).float(), ("a", "b"))
    merged = run(method, double)
    torch.testing.assert_close(run(method, single).double(), merged, atol=2e-3, rtol=1e-3)
    assert torch.linalg.matrix_rank(merged, rtol=1e-4) <= 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_knots_ties_of_wide_low_rank_members_is_that_of_their_whole_decomposition(
    dtype, monkeypatch
):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn((2, 400, 8), generator=generator, dtype=torch.float64)
    right = torch.randn((2, 8, 390), generator=generator, dtype=torch.float64)
    deltas = (left @ right).to(dtype)
    b = TensorBlock("w", torch.zeros(400, 390, dtype=dtype), deltas, ("a", "b"))
    beside = torch.cat(list(deltas), 1)
    basis = low_rank.common_outputs(beside)
    assert basis is not None
    assert low_rank.common_outputs(torch.randn(beside.shape, generator=generator)) is None
    quick = run("knots_ties", b, density=0.5)
    monkeypatch.setattr(low_rank, "common_outputs", lambda matrix: None)
    whole = run("knots_ties", b, density=0.5)
    assert (quick - whole).norm() < (1e-3 if dtype == torch.float32 else 1e-9) * whole.norm()


def test_knots_ties_of_members_without_common_outputs_trims_each_in_its_own():
    # In orthogonal output directions no member has a partner: nothing is elected away.
    deltas = torch.zeros(2, 4, 6, dtype=torch.float64)
    deltas[0, 0], deltas[1, 2] = torch.arange(1.0, 7.0), torch.arange(6.0, 0.0, -1)
    b = TensorBlock("w", deltas[0] * 0, deltas, ("a", "b"))
    merged = run("knots_ties", b, density=1.0, scaling=1.0)
    torch.testing.assert_close(merged, deltas.sum(0))
    # One row of two and of six entries a member are zero: trimming counts them, too.
    kept = run("knots_ties", b, density=0.25, scaling=1.0)
    assert kept[0].tolist() == pytest.approx([0, 0, 0, 4, 5, 6])
    assert kept[2].tolist() == pytest.approx([6, 5, 4, 0, 0, 0])


def test_a_lone_number_is_one_vector_whatever_the_axis():
    b = of(1.0, 3.0, base=2.0)
    for per in ("row", "column"):
        assert run("nuslerp", b, per=per) == run("nuslerp", b)


def test_a_mean_whose_only_direction_weighs_nothing_is_the_straight_one():
    b = of([0.0, 0.0, 0.0], [1.0, 2.0, 3.0], weights=(1.0, 0.0))
    assert not run("karcher", b, origin="base").any()
