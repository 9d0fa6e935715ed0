import math

import pytest

from mergecast.evidence import METRICS, metric_specs, pair_table
from mergecast.evidence.retention.collect import collect_retention
from mergecast.evidence.retention.metrics import BUILT_IN_METHODS
from mergecast.evidence.session import ProbedFamily, ProbeSettings
from mergecast.evidence.settings import MergeSettings
from mergecast.merging import METHODS
from tiny_models import tiny_family, tiny_tasks

MERGES = MergeSettings(samples=8, draws=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    settings = ProbeSettings(calibration=5, seed=0, cache=folder / "cache")
    return pair_table(
        tiny_family(folder), tasks=tiny_tasks(), tier="probe", settings=settings, merges=MERGES
    )


def test_the_built_in_methods_are_all_there_is():
    assert sorted(METHODS.names()) == sorted(BUILT_IN_METHODS)


def test_every_method_has_its_retention_and_probe_metrics():
    for method in BUILT_IN_METHODS:
        retention = [s for s in metric_specs("retention") if s.method == method]
        assert len(retention) == 16
        assert {s.tier for s in retention if "unlabelled" in s.key} == {"activations"}
        assert {s.tier for s in retention if "_labelled@" in s.key} == {"gradients"}
        assert len([s for s in metric_specs("probe") if s.method == method]) == 11
    assert all(s.tier in ("activations", "gradients") for s in metric_specs("interference"))


def test_every_column_is_filled_and_nothing_is_missing_without_a_reason(table):
    missing = {(m.left, m.right, m.key) for m in table.missing}
    rows = table.frame.set_index(["left", "right"])
    ours = [s for s in METRICS if {"retention", "probe", "interference"} & set(s.sets)]
    for column in (column for spec in ours for column in spec.columns):
        empty = rows.index[rows[column].isna()]
        assert set(empty) == {(left, right) for left, right, key in missing if key == column}
    assert all(m.reason for m in table.missing)


def test_a_directed_column_speaks_of_the_model_left_of_the_arrow(table, tmp_path):
    probed = ProbedFamily(
        tiny_family(tmp_path), tiny_tasks(), ProbeSettings(seed=0, cache=tmp_path / "cache")
    )
    found = collect_retention(probed, methods=["tsv"], settings=MERGES)
    row = table.frame.set_index(["left", "right"]).loc[("a", "c")]
    for member, arrow in (("a", "left<-right"), ("c", "right<-left")):
        for key, partner in (("retention", "base"), ("retention_scrambled", "scrambled")):
            assert row[f"{key}_overlap_unlabelled@tsv:{arrow}"] == found.value(
                member, "tsv", "overlap_unlabelled", partner
            )


def test_retention_is_the_same_whoever_the_partner_is(table):
    column = "retention_kept_unlabelled@ties:left<-right"
    assert table.frame[table.frame["left"] == "a"][column].nunique() == 1


def test_crosstalk_forgets_the_norms_when_both_directions_are_averaged(tmp_path):
    """Scaling one task vector moves the two directions apart, not their mean."""
    from mergecast.checkpoints.writer import write_safetensors
    from tiny_models import tiny_states

    states = tiny_states("ab")
    values = []
    for scale in (1.0, 1.5):
        folder = tmp_path / str(scale)
        folder.mkdir()
        for label, state in states.items():
            # Biases stay: they would change what the layers' inputs are.
            kept = dict(state)
            if label == "b":
                base = states["base"]["down.weight"]
                kept["down.weight"] = base + scale * (state["down.weight"] - base)
                kept["up.weight"] = states["base"]["up.weight"]
            if label == "a":
                kept["up.weight"] = states["base"]["up.weight"]
            write_safetensors(folder / f"{label}.safetensors", kept)
        settings = ProbeSettings(calibration=5, seed=0, cache=folder / "cache")
        table = pair_table(
            tiny_family(folder, "ab"),
            tasks=tiny_tasks("ab"),
            tier="activations",
            settings=settings,
            merges=MERGES,
        ).frame.iloc[0]
        values.append(
            [table[f"interference_crosstalk:{a}"] for a in ("left<-right", "right<-left")]
        )
    shift = math.log(1.5)
    assert values[1][0] - values[0][0] == pytest.approx(shift, abs=1e-4)
    assert sum(values[1]) == pytest.approx(sum(values[0]), abs=1e-4)
