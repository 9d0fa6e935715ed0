"""Every column of the paper for every architecture, through one interface."""

from __future__ import annotations

import numpy as np
import pytest

import mergecast as mc
from measured import pair_table
from mergecast.evidence import ProbeSettings, kinds_of, wanted
from probe_families import KINDS

#: What a kind of network leaves undefined: a LoRA's weakest directions are those of zero weight,
#: which are arbitrary, and a convolutional network has no matrix outside its head.
UNDEFINED = {"lora": "matrices: undefined on all", "cnn": "family: has no two-dimensional"}
PAPER = [spec.key for spec in mc.metric_specs("paper")]
FEW = ProbeSettings(calibration=10)


def test_the_paper_has_twenty_eight_metrics():
    tiers = [spec.tier for spec in mc.metric_specs("paper")]
    assert len(PAPER) == 28
    assert {tier: tiers.count(tier) for tier in tiers} == {
        "weights": 18,
        "activations": 4,
        "gradients": 6,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_is_filled(kind, probe_family):
    built = probe_family(kind)
    table = pair_table(
        built.open(), tasks=built.tasks, tier="gradients", metric_set="paper", settings=FEW
    )
    assert len(table) == 3
    found = table.frame[PAPER]
    reasons = {entry.key: entry.reason for entry in table.missing}
    for key in found.columns[found.isna().any()]:
        assert reasons[key].startswith(UNDEFINED[kind]), (key, reasons[key])
        assert "overlap" in key
    for spec in mc.metric_specs("paper"):
        assert found[spec.key].dropna().between(*spec.range).all(), spec.key
    assert (found["encoder_gradient_l2_distance"] > 0).all()
    assert (found["input_gradient_l2_distance"] > 0).all()
    assert (found["activation_l2_distance"] > 0).all()


def test_a_cheaper_tier_leaves_the_dearer_columns_out(probe_family):
    built = probe_family("cnn")
    table = pair_table(
        built.open(), tasks=built.tasks, tier="activations", metric_set="paper", settings=FEW
    )
    assert "activation_dot_product" in table.metrics
    assert "encoder_gradient_dot_product" not in table.metrics


def test_values_do_not_depend_on_order_or_partners(probe_family):
    built = probe_family("bert")
    family = built.open()
    settings = ProbeSettings(calibration=4)
    whole = pair_table(
        family, tasks=built.tasks, tier="gradients", metric_set="paper", settings=settings
    )
    turned = family.subset(("third", "first", "second"))
    again = pair_table(
        turned, tasks=built.tasks, tier="gradients", metric_set="paper", settings=settings
    )
    np.testing.assert_allclose(whole.frame[PAPER], again.frame[PAPER], rtol=1e-5, atol=1e-12)
    two = pair_table(
        family.subset(("first", "third")),
        tasks=built.tasks,
        tier="gradients",
        metric_set="paper",
        settings=settings,
    )
    gradients = [key for key in PAPER if "gradient" in key]
    np.testing.assert_allclose(
        two.frame[gradients].to_numpy(), whole.frame.loc[[1], gradients].to_numpy(), rtol=1e-5
    )


def test_a_set_of_metrics_brings_only_what_it_needs(probe_family):
    family = probe_family("cnn").open()
    assert set(pair_table(family, metric_set="paper").metrics) == {
        s.key for s in mc.metric_specs("paper") if s.tier == "weights"
    }
    assert len(pair_table(family).metrics) > 18
    assert {kind.name for kind in kinds_of(wanted("probe", "paper"))} == {
        "weights",
        "activations",
        "gradients",
    }


def test_tasks_are_asked_for(probe_family):
    built = probe_family("cnn")
    with pytest.raises(mc.MergecastError, match=r"tasks: none given; give one for every model"):
        pair_table(built.open(), tier="activations", metric_set="paper")
    tasks = {"first": built.tasks["first"]}
    with pytest.raises(mc.MergecastError, match=r"task of model 'second': unknown.*known: first"):
        pair_table(built.open(), tasks=tasks, tier="activations", metric_set="paper")
    with pytest.raises(mc.MergecastError, match=r"tier 'gradient': unknown; did you mean"):
        pair_table(built.open(), tier="gradient")


def test_a_head_that_the_family_shares_is_refused(probe_family):
    built = probe_family("bert")
    same = mc.Family.open(built.base, {"first": built.models[0], "second": built.models[0]})
    with pytest.raises(mc.MergecastError, match=r"'classifier.bias': is shared.*private"):
        pair_table(same, tasks=built.tasks, tier="activations", metric_set="paper")
