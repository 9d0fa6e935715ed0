"""`mc.pair_table`, `mc.metrics` and `mc.plan`: what the command writes and prints."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import mergecast as mc
from mergecast.api.metrics import measure
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.errors import FamilyError, UsageError
from tiny_family import arrays

TIER = {"tier": "gradients", "metrics": "paper", "calibration": 5}
OPTIONS = ["--tier", "gradients", "--metrics", "paper", "--calibration", "5"]


def test_the_table_is_the_one_that_the_command_writes(probe_family, tmp_path, capsys):
    built = probe_family("cnn")
    out = tmp_path / "pairs.parquet"
    assert run(["metrics", *built.arguments, *OPTIONS, "-o", str(out)]) == 0
    found = mc.metrics(built.base, built.models, tasks=built.tasks_file, **TIER)
    pd.testing.assert_frame_equal(found, pd.read_parquet(out))
    family = mc.Family.open(built.base, built.models, private="8.*")
    again = mc.metrics(family, tasks=built.tasks, **TIER)
    pd.testing.assert_frame_equal(again, found)


def test_the_plan_is_the_one_that_the_command_prints(probe_family, capsys):
    built = probe_family("cnn")
    assert run(["metrics", *built.arguments, *OPTIONS, "--plan", "--json"]) == 0
    printed = {row["kind"]: row for row in json.loads(capsys.readouterr().out)["plan"]}
    rows = mc.plan(built.base, built.models, tasks=built.tasks_file, **TIER)
    assert [row.kind for row in rows] == list(printed)
    for row in rows:
        assert row.forward_passes == printed[row.kind]["forward_passes"]
        assert row.backward_passes == printed[row.kind]["backward_passes"]


def test_without_a_tier_tasks_decide(probe_family):
    built = probe_family("cnn")
    family = mc.Family.open(built.base, built.models, private="8.*")
    assert measure(family).asked.tier == "weights"
    few = {"tasks": built.tasks_file, "metrics": "paper", "calibration": 5}
    assert measure(family, **few).asked.tier == "gradients"


def test_an_unusable_model_is_an_error_unless_it_is_to_be_refused(family_paths, tmp_path):
    base, models = family_paths
    spoilt = arrays(4)
    spoilt["layer.bias"][0] = np.nan
    write_safetensors(tmp_path / "nan.safetensors", spoilt)
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    bad = [tmp_path / "nan.safetensors", tmp_path / "broken.safetensors"]
    with pytest.raises(FamilyError, match="'layer.bias'"):
        mc.metrics(base, [*models, bad[0]])
    found = measure(base, [*models, *bad], on_error="refuse")
    assert found.refused.keys() == {"nan", "broken"}
    assert len(found.table()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tier": "gradients"}, "tasks: not given, but tier 'gradients' runs models"),
        ({"tier": "weight"}, "tier 'weight': unknown; did you mean 'weights'?"),
        ({"metrics": "papers"}, "metric set 'papers': unknown; did you mean 'paper'?"),
        ({"methods": "tie"}, "merging method 'tie': unknown; did you mean 'ties'?"),
        ({"merge_params": {"ties": {"densty": 1}}}, "parameter of ties 'densty': unknown"),
        (
            {"methods": "tsv", "merge_params": {"ties": {"density": 0.3}}},
            "is of a method that is not asked for (methods: tsv); add ties to the methods",
        ),
        ({"calibration": 0}, "calibration: is 0; give 1 or more"),
    ],
)
def test_wrong_requests_are_named(family_paths, options, message):
    with pytest.raises(UsageError) as caught:
        mc.metrics(*family_paths, **options)
    assert message in str(caught.value)
