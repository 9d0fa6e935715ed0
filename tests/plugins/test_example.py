"""One of everything that plugs in, a file each, taken through every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mergecast as mc
from mergecast.checkpoints import Checkpoint
from mergecast.cli.main import run
from mergecast.tables.columns import ON_LEFT, ON_RIGHT
from mergecast.testing import check_checkpoint_format, checks

pytestmark = pytest.mark.usefixtures("example")

METHOD, PREDICTOR, SUITE = "example_median", "example_nearest", "example-angles"
HEADS = ["--private", "readout.*"]
QUICK = ["--bootstrap", "0", "--workers", "1"]
#: Metrics of the package's own, and some of ours about its method.
COLUMNS = {
    "example_norm_ratio",
    "example_confidence:left<-right",
    "example_confidence:right<-left",
    f"retention_kept_unlabelled@{METHOD}:left<-right",
}


@pytest.fixture(scope="module")
def folder(example, tmp_path_factory):
    """A run of the package's suite by the package's method and one of ours."""
    folder = tmp_path_factory.mktemp("runs") / "angles"
    methods = ["--method", METHOD, "--method", "weight_avg"]
    assert run(["bench", "run", SUITE, "-o", str(folder), *methods, "--n-sets", "2"]) == 0
    return folder


@pytest.fixture
def paths(folder):
    """The base and the models of the run."""
    return [str(folder / "base.safetensors"), *map(str, sorted((folder / "models").iterdir()))]


def test_every_law_holds():
    names = set()
    for check in checks("mergecast_example"):
        check()
        names.add(check.name)
    assert names == {METHOD, PREDICTOR, SUITE, "example_norm_ratio", "example_confidence"}


def test_names_are_listed_beside_ours(capsys):
    assert run(["merge", "--help"]) == 0
    assert "example_median   scaling=1" in capsys.readouterr().out
    assert run(["bench", "list"]) == 0
    assert SUITE in capsys.readouterr().out
    assert {METHOD} < set(mc.METHODS.names())
    assert [spec.key for spec in mc.metric_specs("example")] == [
        "example_confidence",
        "example_norm_ratio",
    ]


def test_a_suite_is_run_by_a_method(folder, capsys):
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    pairs = outcomes[outcomes["members"].str.count(r"\+") == 1]
    assert len(pairs[pairs["method"] == METHOD]) == 20
    assert pairs["retention"].notna().all()
    assert set(pd.read_parquet(folder / "pairs.parquet").columns) >= COLUMNS
    assert run(["bench", "status", SUITE, "-o", str(folder)]) == 0
    assert "outcomes  20/20" in capsys.readouterr().out


def test_metrics_of_files_have_the_metrics_and_those_about_the_method(paths, folder, tmp_path):
    table = tmp_path / "pairs.parquet"
    metrics = ["metrics", *paths, "--tasks", str(folder), "--calibration", "20"]
    assert run([*metrics, "--tier", "probe", "-o", str(table)]) == 0
    frame = pd.read_parquet(table)
    probes = {f"probe_probability_unlabelled@{METHOD}:{side}" for side in (ON_LEFT, ON_RIGHT)}
    assert set(frame.columns) >= COLUMNS | probes
    assert frame[sorted(COLUMNS | probes)].notna().all(axis=None)
    suite = pd.read_parquet(folder / "pairs.parquet")
    np.testing.assert_allclose(frame["example_norm_ratio"], suite["example_norm_ratio"])
    assert run([*metrics, "--plan", "-o", str(table)]) == 0


def test_a_method_merges_files_and_validates_its_parameters(paths, tmp_path, capsys):
    merge = ["merge", *paths, *HEADS, "--method", METHOD, "-o", str(tmp_path / "merged")]
    assert run([*merge, "--param", "scaling=3"]) == 2
    assert "parameter 'scaling' of example_median: is 3" in capsys.readouterr().err
    assert run(merge) == 0
    assert json.loads((tmp_path / "merged/mergecast.json").read_text())["params"] == {"scaling": 1}


def test_a_method_is_forecast_fitted_and_validated(paths, folder, tmp_path, capsys):
    forecaster = tmp_path / "forecaster.json"
    assert run(["fit", str(folder), "-o", str(forecaster), "--workers", "1"]) == 0
    arguments = ["forecast", *paths, "--tasks", str(folder), "--forecaster", str(forecaster)]
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    text = capsys.readouterr().out
    assert METHOD in text
    found = mc.forecast(
        paths[0], paths[1:], tasks=mc.load_tasks(folder), forecaster=mc.Forecaster.load(forecaster)
    )
    rows = found.rows[found.rows["method"] == METHOD]
    assert len(rows) == 20
    assert rows["retention"].notna().all()
    assert run(["evaluate", str(folder), "--predictor", "ridge", *QUICK]) == 0
    assert METHOD in capsys.readouterr().out


def test_a_predictor_is_validated_stored_and_read_again(paths, folder, tmp_path, capsys):
    evaluate = ["evaluate", str(folder), "--predictor", PREDICTOR, *QUICK]
    assert run([*evaluate, "--protocol", "l2to"]) == 0
    assert PREDICTOR in capsys.readouterr().out
    file = tmp_path / "forecaster.json"
    fit = ["fit", str(folder), "-o", str(file), "--predictor", PREDICTOR]
    assert run([*fit, "--workers", "1"]) == 0
    models = json.loads(file.read_text())["tiers"]["weights"]
    assert models[METHOD]["model"]["kind"] == PREDICTOR
    arguments = ["forecast", *paths, *HEADS, "--forecaster", str(file), "--json"]
    capsys.readouterr()
    assert run(arguments) == 0
    assert METHOD in capsys.readouterr().out
    without = {**os.environ, "PYTHONPATH": str(Path(mc.__file__).parents[1])}
    program = [sys.executable, "-m", "mergecast", *arguments]
    done = subprocess.run(program, env=without, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"kind '{PREDICTOR}' of stored models" in done.stderr
    assert "install the package that brings it" in done.stderr


@pytest.fixture
def archives(folder, tmp_path):
    """The run's base and models as archives of the package's format."""
    written = []
    for file in (folder / "base.safetensors", *sorted((folder / "models").iterdir())):
        checkpoint = Checkpoint.open(file)
        path = tmp_path / f"{file.stem}.npz"
        np.savez(path, **{name: checkpoint.array(name) for name in checkpoint.names})
        written.append(str(path))
    return written


def test_a_checkpoint_format_is_checked_measured_and_merged(archives, paths, tmp_path, capsys):
    check_checkpoint_format("example_npz", archives[1])
    assert run(["check", *archives, *HEADS]) == 0
    table = tmp_path / "pairs.parquet"
    assert run(["metrics", *archives, *HEADS, "-o", str(table)]) == 0
    out = str(tmp_path / "merged")
    assert run(["merge", *archives, *HEADS, "--method", "ties", "-o", out]) == 0
    assert run(["merge", *paths, *HEADS, "--method", "ties", "-o", str(tmp_path / "same")]) == 0
    merged, same = Checkpoint.open(out), Checkpoint.open(tmp_path / "same")
    assert merged.names == same.names
    assert all(np.array_equal(merged.array(n), same.array(n)) for n in same.names)
