"""``mergecast metrics --tasks … --tier …`` as a user runs it."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from mergecast.cli import main
from mergecast.errors import MergecastError
from mergecast.pairmetrics import Request
from mergecast.pairmetrics.plan import plan


def run(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(main.app, ["metrics", *map(str, arguments)])


def test_a_plan_says_what_each_tier_costs(probe_family):
    built = probe_family("cnn")
    result = run(*built.arguments, "--tier", "gradients", "--set", "paper", "--plan", "--json")
    assert result.exit_code == 0, result.output
    rows = {row["kind"]: row for row in json.loads(result.stdout)["plan"]}
    assert rows["weights"]["forward_passes"] == 0
    assert rows["activations"]["forward_passes"] == 3
    assert rows["gradients"]["backward_passes"] == 3
    assert rows["gradients"]["kept"] >= 3 * 4 * 290
    assert rows["gradients"]["memory"] > rows["activations"]["memory"] > 0
    assert all(row["minutes"] >= 0 and row["read"] > 0 for row in rows.values())
    printed = run(*built.arguments, "--tier", "activations", "--plan").stdout
    assert "3 passes" in printed
    assert "MiB" in printed
    assert "gradients" not in printed


def test_samples_without_labels_can_be_planned(probe_family):
    built = probe_family("bert")
    tasks = built.tasks
    for task in tasks.values():
        task.spec = task.spec.model_copy(
            update={"data": task.spec.data.model_copy(update={"labels": None})}
        )
    with Request(built.open(), tasks) as request:
        rows = {row.kind: row for row in plan(request, "activations", "paper")}
    assert rows["activations"].minutes > 0


def test_tables_are_written_and_finished_work_is_kept(probe_family, tmp_path):
    built = probe_family("vit")
    arguments = (
        *built.arguments,
        "--tier",
        "gradients",
        "--set",
        "paper",
        "--cache",
        tmp_path / "work",
    )
    out = tmp_path / "pairs.parquet"
    result = run(*arguments, "--calibration", 4, "-o", out)
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(out)
    assert table["encoder_gradient_l2_distance"].notna().all()
    files = sorted((tmp_path / "work/gradients").iterdir())
    assert len(files) == 3
    again = run(*arguments, "--calibration", 4, "-o", tmp_path / "again.parquet")
    assert again.exit_code == 0
    assert sorted((tmp_path / "work/gradients").iterdir()) == files
    assert pd.read_parquet(tmp_path / "again.parquet").equals(table)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "papers"], "metric set 'papers': unknown"),
        (["--tier", "gradient"], "tier 'gradient': unknown"),
        (["--tier", "gradients", "--calibration", "15"], "asked for 15 calibration samples of 14"),
        (["--tier", "activations", "--layer", "layr"], "layer 'layr': unknown"),
        (["--tier", "activations", "--device", "cuda:99"], "device 'cuda:99'"),
    ],
)
def test_wrong_requests_are_named(probe_family, tmp_path, more, message):
    built = probe_family("cnn")
    result = run(*built.arguments, *more, "-o", tmp_path / "p.parquet")
    assert isinstance(result.exception, MergecastError)
    assert message in str(result.exception)
    assert not (tmp_path / "p.parquet").exists()


def test_tiers_above_weights_need_tasks(probe_family, tmp_path):
    built = probe_family("cnn")
    models = [str(built.base), *map(str, built.models)]
    result = run(*models, "--tier", "activations", "-o", tmp_path / "p.parquet")
    assert "--tasks: not given, but tier 'activations' runs models" in str(result.exception)
