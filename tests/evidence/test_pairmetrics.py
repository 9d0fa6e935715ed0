"""Laws of the metrics, walked over the registry; undefined values are missing with a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mergecast as mc
from measured import pair_table
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError, MergecastError, UsageError
from mergecast.evidence import EVIDENCE
from mergecast.evidence.table import columns_of
from mergecast.evidence.weights.effective_rank import effective_rank_of, stack_singular_values
from mergecast.evidence.weights.fingerprints import WeightFingerprints
from mergecast.family import Family
from tiny_family import arrays

WEIGHTS = [spec for spec in mc.metric_specs() if spec.tier == "weights"]
#: Metrics that scale with the task vectors, and by which power.
POWERS = {"task_vector_l2_distance": 1, "task_vector_dot_product": 2}


def family_of(folder, models, base=None):
    write_safetensors(folder / "base.safetensors", base or arrays(0))
    paths = {}
    for label, tensors in models.items():
        paths[label] = folder / f"{label}.safetensors"
        write_safetensors(paths[label], tensors)
    return Family.open(folder / "base.safetensors", paths)


def weights_columns():
    return [(str(column), spec) for column, spec in columns_of(WEIGHTS, ())]


def metrics(table):
    return table.drop(columns=["suite", "left", "right"])


def test_every_metric_declares_itself_completely():
    assert len([s for s in mc.metric_specs("paper") if s.tier == "weights"]) == 18
    for spec in mc.metric_specs():
        assert spec.source
        assert spec.range[0] < spec.range[1]
        assert spec.function.__doc__
        assert spec.evidence in EVIDENCE


def test_values_keep_their_declared_range(family_paths):
    table = mc.metrics(Family.open(*family_paths), suite="s")
    assert list(table["left"] + table["right"]) == ["ab", "ac", "bc"]
    assert set(table["suite"]) == {"s"}
    assert [column for column, _ in weights_columns()] == list(table.columns[3:])
    for column, spec in weights_columns():
        assert table[column].between(*spec.range).all(), column


def test_order_of_models_changes_nothing(tmp_path):
    models = {label: arrays(seed) for seed, label in enumerate("abc", 1)}
    forward = mc.metrics(family_of(tmp_path, models))
    backward = mc.metrics(family_of(tmp_path, dict(reversed(models.items()))))
    pd.testing.assert_frame_equal(forward, backward, rtol=1e-12)


def test_symmetric_metrics_do_not_see_which_model_is_first(tmp_path):
    first = mc.metrics(family_of(tmp_path, {"a": arrays(1), "b": arrays(2)})).iloc[0]
    second = mc.metrics(family_of(tmp_path, {"a": arrays(2), "b": arrays(1)})).iloc[0]
    for spec in WEIGHTS:
        if spec.symmetric:
            assert first[spec.key] == pytest.approx(second[spec.key], rel=1e-12)
        else:
            left, right = (str(column) for column, _ in columns_of([spec], ()))
            assert first[left] == pytest.approx(second[right], rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(factor=st.floats(0.05, 20))
def test_scaling_both_task_vectors_changes_only_what_it_should(tmp_path_factory, factor):
    def scaled(seed):
        base, model = arrays(0, dtype="float64"), arrays(seed, dtype="float64")
        return {
            n: base[n] + factor * (model[n] - base[n]) if base[n].dtype.kind == "f" else base[n]
            for n in base
        }

    folder = tmp_path_factory.mktemp("scaled")
    base = arrays(0, dtype="float64")
    plain = {label: arrays(s, dtype="float64") for s, label in ((1, "a"), (2, "b"))}
    before = mc.metrics(family_of(folder, plain, base)).iloc[0]
    after = mc.metrics(family_of(folder, {"a": scaled(1), "b": scaled(2)}, base)).iloc[0]
    for column, spec in weights_columns():
        power = POWERS.get(spec.key, 0)
        assert after[column] == pytest.approx(factor**power * before[column], rel=1e-6)


def test_permuting_neurons_of_all_models_alike_changes_nothing(tmp_path):
    def permuted(seed):
        rows = np.random.default_rng(5).permutation(12)
        tensors = arrays(seed)
        tensors["layer.weight"] = tensors["layer.weight"][rows]
        tensors["layer.bias"] = tensors["layer.bias"][rows]
        tensors["embed.weight"] = tensors["embed.weight"][:, rows]
        return tensors

    plain = mc.metrics(family_of(tmp_path, {"a": arrays(1), "b": arrays(2)}))
    turned = mc.metrics(family_of(tmp_path, {"a": permuted(1), "b": permuted(2)}, base=permuted(0)))
    np.testing.assert_allclose(metrics(turned), metrics(plain), rtol=1e-6, atol=1e-9)


def test_identical_models_are_the_extreme_of_every_similarity(tmp_path):
    row = mc.metrics(family_of(tmp_path, {"a": arrays(1), "b": arrays(1)})).iloc[0]
    one = [
        "task_vector_cosine_similarity",
        "task_vector_magnitude_ratio",
        "effective_rank",
        "layerwise_effective_rank",
        "right_subspace_overlap_top_k",
        "spectral_gap",
        "interaction_matrix_overlap_bottom_k",
        "singular_value_overlap",
    ]
    for key in one:
        assert row[key] == pytest.approx(1, abs=1e-6), key
    assert row["weight_space_angle"] == pytest.approx(0, abs=1e-3)
    assert row["task_vector_l2_distance"] == pytest.approx(0, abs=1e-6)


def test_a_zero_task_vector_is_missing_with_its_reason_never_a_number(tmp_path):
    table = pair_table(family_of(tmp_path, {"a": arrays(1), "zero": arrays(0)}))
    assert table.frame[table.metrics].isna().all(axis=None)
    reasons = {entry.key: entry.reason for entry in table.missing}
    assert set(reasons) == set(table.metrics)
    assert "model 'zero': equals its base" in reasons["task_vector_cosine_similarity"]
    assert "undefined on all 2 matrices" in reasons["subspace_overlap"]


def test_models_without_matrices_have_no_subspaces(tmp_path):
    def vector(seed):
        return {"bias": arrays(seed)["layer.bias"]}

    table = pair_table(family_of(tmp_path, {"a": vector(1), "b": vector(2)}, vector(0)))
    assert table.frame["subspace_overlap"].isna().all()
    assert table.frame["effective_rank"].notna().all()
    reasons = {entry.reason for entry in table.missing}
    assert reasons == {"family: has no two-dimensional parameter"}


def test_a_single_model_has_no_pairs(tmp_path):
    with pytest.raises(FamilyError, match="pairs need at least two"):
        mc.metrics(family_of(tmp_path, {"a": arrays(1)}))


def pair_of(gram):
    gram = np.asarray(gram, dtype=np.float64)
    fingerprints = WeightFingerprints(("a", "b"), {"w": gram}, (), 1.0)
    return fingerprints.pair("a", "b")


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-1, 1))
def test_stack_singular_values_are_an_svd_s(a, b, cosine):
    stack = np.array([[a, 0.0], [b * cosine, b * np.sqrt(1 - cosine**2)]])
    found = stack_singular_values(stack @ stack.T)
    expected = np.linalg.svd(stack, compute_uv=False)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6 * expected[0])


def test_effective_rank_of_orthogonal_and_parallel_stacks():
    assert effective_rank_of(np.eye(2)) == pytest.approx(2)
    assert effective_rank_of(np.ones((2, 2))) == pytest.approx(1)


def test_rounding_never_leaves_the_range():
    nearly = pair_of([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]])
    assert nearly.cosine == 1.0


def test_a_plug_in_metric_joins_the_table_and_is_held_to_its_range(family_paths):
    declared = {"family": "test", "tier": "weights", "symmetric": True, "source": "test"}
    family = Family.open(*family_paths)
    with mc.METRICS.isolated():
        mc.metric("norm_sum", range=(0, 1e9), **declared)(lambda pair: sum(pair.norms))
        assert (mc.metrics(family)["norm_sum"] > 0).all()
        mc.metric("broken", range=(0, 1), **declared)(lambda pair: 2.0)
        with pytest.raises(MergecastError, match=r"'broken' of a and b: is 2.0, not in its range"):
            mc.metrics(family)
    with pytest.raises(UsageError, match="by package 'mergecast' .* and again by package 'test"):
        mc.metric("effective_rank", range=(0, 1), **declared)(lambda pair: 0.0)
    with pytest.raises(UsageError, match="give .low, high. with low < high"):
        mc.metric("empty", range=(1, 1), **declared)
    with pytest.raises(UsageError, match="metric set 'papr': unknown; did you mean 'paper'"):
        mc.metric_specs("papr")
