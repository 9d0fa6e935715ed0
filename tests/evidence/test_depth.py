"""Task vectors by layer are what the deltas themselves say, and nothing more is read."""

import numpy as np
import pytest

from mergecast.evidence.weights.depth import DEPTH_COLUMNS, depth_table
from mergecast.evidence.weights.fingerprints import WeightFingerprints

NAMES = ["blocks.0.w", "blocks.0.v", "blocks.1.w", "embed"]


def fingerprints(deltas):
    """Of deltas, one array (N, size) a parameter."""
    grams = {name: values @ values.T for name, values in deltas.items()}
    members = tuple("abc"[: len(next(iter(deltas.values())))])
    return WeightFingerprints(members, grams, (), 1.0)


@pytest.fixture
def deltas():
    random = np.random.default_rng(0)
    return {name: random.normal(size=(3, 50)) for name in NAMES}


def test_every_pair_and_layer_as_from_the_deltas(deltas):
    table = depth_table(fingerprints(deltas))
    assert list(table.columns) == DEPTH_COLUMNS
    assert table["layer"].tolist() == ["embed", "blocks.0", "blocks.1"] * 3
    for row in table.itertuples():
        i, j = ("abc".index(name) for name in (row.left, row.right))
        inside = [n for n in NAMES if n == row.layer or n.startswith(f"{row.layer}.")]
        [x, y], [u, v] = (
            [np.concatenate([deltas[n][m] for n in names]) for m in (i, j)]
            for names in (inside, NAMES)
        )
        assert row.apart == pytest.approx(np.sum((x - y) ** 2) / np.sum((u - v) ** 2))
        assert row.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
        assert row.left_share == pytest.approx(x @ x / (u @ u))
        assert row.right_share == pytest.approx(y @ y / (v @ v))
    parts = table.groupby(["left", "right"])[["apart", "left_share", "right_share"]].sum()
    assert np.allclose(parts, 1)


def test_some_models_in_the_order_of_their_names(deltas):
    table = depth_table(fingerprints(deltas), ["c", "a"])
    assert set(zip(table["left"], table["right"], strict=True)) == {("a", "c")}


def test_what_is_not_defined_is_missing(deltas):
    deltas["embed"][0] = 0
    deltas["blocks.1.w"][1] = deltas["blocks.1.w"][0]
    first = depth_table(fingerprints(deltas)).set_index(["left", "right", "layer"])
    assert np.isnan(first["cosine"]["a", "b", "embed"])
    assert first["cosine"]["a", "b", "blocks.1"] == pytest.approx(1)
    assert first["apart"]["a", "b", "blocks.1"] == pytest.approx(0, abs=1e-12)
    same = depth_table(fingerprints({name: np.ones((2, 4)) for name in NAMES}))
    assert same["apart"].isna().all()
    assert np.allclose(same["cosine"], 1)
    zero = depth_table(fingerprints({name: np.zeros((2, 4)) for name in NAMES}))
    assert zero[["apart", "cosine", "left_share"]].isna().all(axis=None)
