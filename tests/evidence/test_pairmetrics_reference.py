"""Parity with the published code's 18 weight metrics (../shared/reference/metrics.json)."""

from __future__ import annotations

import json

import pytest

import mergecast as mc
from measured import pair_table


def test_all_weight_metrics_of_all_pairs_agree_with_the_published_code(reference):
    family = mc.Family.open(
        reference / "base.safetensors",
        [reference / f"model_{label}.safetensors" for label in "abcd"],
    )
    measured = pair_table(family)
    table = measured.frame.set_index(["left", "right"])
    published = json.loads((reference / "metrics.json").read_text())
    keys = {spec.key for spec in mc.metric_specs("paper") if spec.tier == "weights"}
    assert len(published) == len(table) == 6
    for pair, values in published.items():
        row = table.loc[tuple(pair.split("__"))]
        assert set(values) == keys
        for key, value in values.items():
            assert row[key] == pytest.approx(value, rel=1e-4, abs=1e-5), (pair, key)
    assert measured.missing == ()
