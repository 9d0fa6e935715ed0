import math

import pytest

from measured import pair_table
from mergecast.evidence import (
    METRICS,
    MergeSettings,
    ProbeSettings,
    Session,
    metric_specs,
)
from mergecast.evidence.retention.collect import collect
from mergecast.evidence.table import columns_of
from mergecast.merging import METHODS, merging_method, usual_methods
from mergecast.tables.columns import Column
from mergecast.testing.tiny import tiny_family, tiny_tasks

MERGES = MergeSettings(samples=8, draws=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    settings = ProbeSettings(calibration=5, seed=0, cache=folder / "cache")
    return pair_table(
        tiny_family(folder),
        tasks=tiny_tasks(),
        tier="probe",
        settings=settings,
        merges=MERGES,
        metric_set="all",
    )


def test_retention_and_probe_metrics_are_declared_once_for_every_method(table):
    retention, probe = metric_specs("retention"), metric_specs("probe")
    assert (len(retention), len(probe)) == (24, 15)
    superposed = [s for s in metric_specs("superposition") if s.family == "superposition"]
    assert len(superposed) == 15
    assert all(spec.per_method for spec in (*retention, *superposed, *probe))
    assert {spec.tier for spec in retention if "unlabelled" in spec.key} == {"activations"}
    assert {spec.tier for spec in retention if spec.key.endswith("_labelled")} == {"labels"}
    assert len(METRICS) < 120
    for method in usual_methods():
        about = [column for column in table.metrics if Column.parse(column).method == method]
        assert len(about) == 2 * (24 + 15 + 15 + 2)


def test_a_method_of_another_package_gets_its_metrics_without_another_line(tmp_path):
    with METHODS.isolated():
        merging_method("half_sum", reference="a test")(lambda block: 0.5 * block.deltas.sum(0))
        table = pair_table(
            tiny_family(tmp_path),
            tasks=tiny_tasks(),
            tier="probe",
            settings=ProbeSettings(calibration=5, seed=0),
            merges=MergeSettings(methods=("half_sum", "weight_avg"), draws=1),
            metric_set="all",
        )
    half = [column for column in table.metrics if "@half_sum" in column]
    assert "method half_sum" in table.versions
    assert len(half) == 2 * (24 + 15 + 15 + 2)
    for column in half:
        # Half of the sum of two is their mean.
        same = table.frame[column.replace("half_sum", "weight_avg")]
        assert table.frame[column].to_numpy() == pytest.approx(
            same.to_numpy(), rel=1e-4, nan_ok=True
        )


def test_gradient_interference_is_collected_only_where_it_is_asked_for(tmp_path):
    def columns(**options):
        family, merges = tiny_family(tmp_path), MergeSettings(methods=("ties",), draws=1)
        settings = ProbeSettings(calibration=5, seed=0, cache=tmp_path / "cache")
        options |= {"tasks": tiny_tasks(), "settings": settings, "merges": merges}
        return set(pair_table(family, **options).metrics)

    dear = {"interference_fisher:left<-right", "interference_displacement@ties:left<-right"}
    by_default = columns(tier="gradients")
    assert not dear & by_default
    assert {"interference_crosstalk:left<-right", "encoder_gradient_dot_product"} <= by_default
    assert dear <= columns(tier="gradients", metric_set="interference")
    assert dear | by_default <= columns(tier="gradients", metric_set="all")


def test_columns_of_a_table_come_in_the_order_of_published_ones(table):
    """Method by method within a family, as tables have always been written."""
    names = [Column.parse(column).key for column in table.metrics]
    order = list(dict.fromkeys(name.partition("@")[0].partition("_")[0] for name in names))
    assert order[:4] == ["activation", "effective", "stable", "spectral"]
    assert names.index("retention_overlap_unlabelled@dare") < names.index(
        "retention_probability_unlabelled@ties"
    )
    assert names.index("interference_fisher") < names.index("interference_displacement@dare")
    assert names.index("interference_displacement@dare") < names.index(
        "interference_first_order@ties"
    )


def test_every_column_is_filled_and_nothing_is_missing_without_a_reason(table):
    missing = {(m.left, m.right, m.key) for m in table.missing}
    rows = table.frame.set_index(["left", "right"])
    ours = [s for s in METRICS if {"retention", "probe", "interference"} & set(s.sets)]
    for column in (str(column) for column, _ in columns_of(ours, sorted(usual_methods()))):
        empty = rows.index[rows[column].isna()]
        assert set(empty) == {(left, right) for left, right, key in missing if key == column}
    assert all(m.reason for m in table.missing)


def test_a_directed_column_speaks_of_the_model_left_of_the_arrow(table, tmp_path):
    settings = ProbeSettings(calibration=10, seed=0, cache=tmp_path / "cache")
    merges = MergeSettings(samples=8, draws=1, methods=("tsv",))
    found = collect(Session(tiny_family(tmp_path), tiny_tasks(), settings, merges))
    row = table.frame.set_index(["left", "right"]).loc[("a", "c")]
    for member, arrow in (("a", "left<-right"), ("c", "right<-left")):
        for key, partner in (("retention", "base"), ("retention_scrambled", "scrambled")):
            assert row[f"{key}_overlap_unlabelled@tsv:{arrow}"] == found.value(
                member, "tsv", partner, "overlap_unlabelled"
            )


def test_retention_is_the_same_whoever_the_partner_is(table):
    column = "retention_kept_unlabelled@ties:left<-right"
    assert table.frame[table.frame["left"] == "a"][column].nunique() == 1


def test_crosstalk_forgets_the_norms_when_both_directions_are_averaged(tmp_path):
    """Scaling one task vector moves the two directions apart, not their mean."""
    from mergecast.checkpoints.writer import write_safetensors
    from mergecast.testing.tiny import tiny_states

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
