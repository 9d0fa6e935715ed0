"""``mergecast metrics --tasks … --tier …`` as a user runs it."""

from __future__ import annotations

import json
import re
import resource

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from mergecast.cli import main
from mergecast.errors import MergecastError
from mergecast.evidence import ProbeSettings, Session, collect_evidence
from mergecast.evidence.plan import plan


def run(*arguments):
    # The families' splits are too small for the default of 100 samples.
    few = [] if "--calibration" in arguments else ["--calibration", "10"]
    arguments = [*arguments, *few]
    return CliRunner(env={"COLUMNS": "200"}).invoke(main.app, ["metrics", *map(str, arguments)])


def test_a_plan_says_what_each_tier_costs(probe_family):
    built = probe_family("cnn")
    result = run(*built.arguments, "--tier", "gradients", "--metrics", "paper", "--plan", "--json")
    assert result.exit_code == 0, result.output
    rows = {row["kind"]: row for row in json.loads(result.stdout)["plan"]}
    assert rows["weights"]["forward_passes"] == 0
    assert rows["activations"]["forward_passes"] == 3
    assert rows["gradients"]["backward_passes"] == 3
    assert rows["gradients"]["kept"] >= 3 * 4 * 290
    assert rows["gradients"]["memory"] >= rows["activations"]["memory"] > 0
    assert all(row["minutes"] > 0 for row in rows.values())
    narrow = CliRunner(env={"COLUMNS": "60"})
    arguments = ["metrics", *built.arguments, "--tier", "activations", "--calibration", "10"]
    arguments += ["--plan"]
    printed = narrow.invoke(main.app, arguments).stdout
    assert re.search(r"^activations +activations +3 passes", printed, re.MULTILINE)
    assert "3 passes" in printed
    assert "MiB" in printed
    assert "gradients" not in printed


def test_a_plan_is_near_what_collecting_takes(probe_family):
    """Bytes kept to the byte, where they are a model's; the peak within a tenth."""
    built = probe_family("vit")
    with Session(built.open(), built.tasks, ProbeSettings(calibration=10)) as session:
        rows = {row.kind: row for row in plan(session, "gradients", "paper")}
        assert not session.store.folder.exists() or not list(session.store.folder.iterdir())
        collect_evidence(session, "gradients", "paper")
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        files = (session.store.folder / "gradients").iterdir()
        written = sum(file.stat().st_size for file in files)
    assert written <= rows["gradients"].kept < 1.5 * written  # records come to it
    assert rows["gradients"].memory == pytest.approx(peak, rel=0.1)


def test_samples_without_labels_can_be_planned(probe_family):
    built = probe_family("bert")
    tasks = built.tasks
    for task in tasks.values():
        task.spec = task.spec.model_copy(
            update={"data": task.spec.data.model_copy(update={"labels": None})}
        )
    with Session(built.open(), tasks, ProbeSettings(calibration=10)) as session:
        rows = {row.kind: row for row in plan(session, "activations", "paper")}
    assert rows["activations"].minutes > 0


def test_tables_are_written_and_finished_work_is_kept(probe_family, tmp_path):
    built = probe_family("vit")
    arguments = (
        *built.arguments,
        "--tier",
        "gradients",
        "--metrics",
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
        (["--metrics", "papers"], "metric set 'papers': unknown"),
        (["--tier", "gradient"], "tier 'gradient': unknown"),
        (["--tier", "gradients", "--calibration", "15"], "asked for 15 calibration samples of 14"),
        (["--tier", "activations", "--layer", "layr"], "layer 'layr': unknown"),
        (["--tier", "activations", "--device", "cuda:99"], "device 'cuda:99'"),
        (["--tier", "gradients", "--method", "tie"], "merging method 'tie': unknown; did you mean"),
        (["--merge-param", "ties.densty=1"], "parameter of ties 'densty': unknown"),
        (["--merge-param", "ties.density=3"], "parameter 'density' of ties: is 3"),
        (["--merge-param", "density=0.3"], "--merge-param density: names no method"),
        (
            ["--method", "tsv", "--merge-param", "ties.density=0.3"],
            "of ties: is of a method that is not asked for (methods: tsv); add ties to the",
        ),
        (
            ["--tier", "gradients", "--method", "ties", "--merge-samples", "40"],
            "asked for 40 calibration samples of 14",
        ),
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
    assert "tasks: not given, but tier 'activations' runs models" in str(result.exception)


def test_a_method_alone_with_its_parameters_and_batchnorm_measured_anew(probe_family, tmp_path):
    built = probe_family("cnn")
    tables, batchnorm = [], []
    for number, more in enumerate(
        ([], ["--reestimate-batchnorm"], ["--merge-param", "ties.density=0.9"])
    ):
        out = tmp_path / f"{number}.parquet"
        options = ("--tier", "gradients", "--method", "ties", "--merge-samples", 12, *more)
        result = run(*built.arguments, *options, "-o", out, "--json")
        assert result.exit_code == 0, result.output
        batchnorm.append(json.loads(result.stdout)["batchnorm"])
        tables.append(pd.read_parquet(out))
    assert batchnorm[0] == batchnorm[2] == "running statistics as merged"
    assert batchnorm[1] == "running statistics re-estimated on 12 samples a task"
    columns = {column.partition(":")[0] for column in tables[0]}
    assert {c.rpartition("@")[2] for c in columns if c.startswith("retention_")} == {"ties"}
    assert "interference_displacement@ties" not in columns  # not asked for
    assert "interference_crosstalk" in columns
    assert not {c for c in columns if c.endswith("@tsv")}
    told = ("ties", "ties", "ties(density=0.9)")
    kept = [
        table[f"retention_overlap_unlabelled@{recipe}:left<-right"]
        for recipe, table in zip(told, tables, strict=True)
    ]
    assert (kept[1] != kept[0]).all()
    assert (kept[2] != kept[0]).all()


def first_arrays(folder):
    with np.load(folder / "first.npz") as file:
        return dict(file)


def changed(built, edit):
    """The family's file of tasks with the first task edited, beside it; its arguments."""
    content = yaml.safe_load(built.tasks_file.read_text())
    edit(content["tasks"]["first"]["data"])
    path = built.tasks_file.with_name("changed.yaml")
    path.write_text(yaml.safe_dump(content))
    return (*built.arguments[:-1], str(path))


@pytest.mark.parametrize(
    ("arrays", "edit", "message"),
    [
        (
            {"label": np.full(14, 7)},
            {},
            "model 'first': task 'first': label 7 is outside its head of 2 classes",
        ),
        ({"label": np.full(14, -1)}, {}, "label -1 is outside its head of 2 classes"),
        (
            {"pixel_values": np.zeros((14, 1, 10, 10), np.float32)},
            {},
            "its model does not take pixel_values [10, 1, 10, 10]",
        ),
        (
            {},
            {"inputs": {"pixels": "pixel_values"}},
            "does not take pixels [10, 1, 8, 8]",
        ),
        ({}, {"labels": "lable"}, "column 'lable': unknown; did you mean 'label'"),
        ({}, {"file": "none.npz"}, "none.npz: does not exist"),
        ({}, {"lables": "label"}, "tasks.first.data.lables: no field is called so here"),
    ],
)
@pytest.mark.parametrize("tier", ["activations", "gradients"])
def test_bad_samples_are_named_in_one_line(probe_family, tmp_path, arrays, edit, message, tier):
    built = probe_family("vit")
    folder = built.tasks_file.parent
    np.savez(folder / "changed.npz", **{**first_arrays(folder), **arrays})
    arguments = changed(built, lambda data: data.update({"file": "changed.npz", **edit}))
    out = tmp_path / "p.parquet"
    options = ("--tier", tier, "--method", "weight_avg")
    result = run(*arguments, *options, "-o", out)
    assert isinstance(result.exception, MergecastError), result.output
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.exception.exit_code == 2
    assert not out.exists()


def test_a_model_whose_outputs_are_nan_is_missing_with_reasons(probe_family, tmp_path):
    built = probe_family("vit")
    folder = built.tasks_file.parent
    arrays = first_arrays(folder)
    arrays["pixel_values"][:] = np.nan
    np.savez(folder / "nan.npz", **arrays)
    arguments = changed(built, lambda data: data.update(file="nan.npz"))
    out = tmp_path / "p.parquet"
    result = run(*arguments, "--tier", "gradients", "--method", "ties", "-o", out, "--json")
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(out).set_index(["left", "right"])
    for key in ("interference_crosstalk:left<-right", "encoder_gradient_dot_product"):
        assert np.isnan(table[key]["first", "second"])
        assert np.isfinite(table[key]["second", "third"])
    reasons = {entry["reason"] for entry in json.loads(result.stdout)["missing"]}
    assert any("not finite on sample first/calibration/" in reason for reason in reasons)


def test_a_cache_that_is_a_file_is_refused(probe_family, tmp_path):
    built = probe_family("cnn")
    (tmp_path / "cache").write_text("")
    result = run(*built.arguments, "--tier", "activations", "--cache", tmp_path / "cache")
    assert "cache: is a file; give a folder" in str(result.exception)
