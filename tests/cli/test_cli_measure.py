"""``mergecast measure`` as a user runs it, and what the table it writes is for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import mergecast as mc
from mergecast.cli.main import run
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.testing.tiny import tiny_family
from tiny_models import write_tiny_tasks


def with_test(built, folder):
    """The file of tasks with test samples: its samples in another order, in files of their own."""
    content = yaml.safe_load(built.tasks_file.read_text())
    content["tasks"] = {n: {**task, "test": task["data"]} for n, task in content["tasks"].items()}
    for task in content["tasks"].values():
        for part in ("data", "test"):
            task[part] = {**task[part], "file": str(built.base.parent / task[part]["file"])}
        test = folder / Path(task["test"]["file"]).name
        pd.read_parquet(task["test"]["file"])[::-1].to_parquet(test)
        task["test"]["file"] = str(test)
    content["defaults"]["model"]["folder"] = str(built.base)
    path = folder / "tasks.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("kind", ["bert", "lora"])
def test_heads_of_other_sizes_and_adapters_are_measured(kind, probe_family, tmp_path, capsys):
    built = probe_family(kind)
    tasks, out = with_test(built, tmp_path), tmp_path / "o.csv"
    paths = [str(built.base), *map(str, built.models)]
    options = ("--tasks", str(tasks), "--method", "ties", "-o", str(out))
    assert run(["measure", *paths, *options, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    table = OutcomeTable.read(out).frame
    assert len(printed["table"]) == len(table) == 6
    assert printed["samples"] == str(tmp_path / "o.samples.parquet")
    assert table["score"].notna().all()
    assert (table["n_eval"] == 14).all()
    named = {finding["about"] for finding in printed["findings"]}
    assert kind != "bert" or named >= {"first", "second", "third"}  # random heads and labels


def test_test_samples_of_data_are_said_and_so_is_one_file_for_both(probe_family, tmp_path, capsys):
    built = probe_family("bert")
    tasks, out = with_test(built, tmp_path), tmp_path / "o.csv"
    asked = [*map(str, (built.base, *built.models)), "--method", "ties", "-o", str(out)]
    assert run(["measure", *asked, "--tasks", str(tasks), "--json"]) == 0
    printed = capsys.readouterr()
    said = [x for x in json.loads(printed.out)["findings"] if x["rule"] == "test samples"]
    assert [x["about"] for x in said] == ["first", "second", "third"]
    assert (
        "14 of its 14 test samples are also, with the same content, among 14" in said[0]["message"]
    )
    assert "14 of its 14 test samples" in printed.err
    known = ["--measured", str(out), "--forecaster", "suites", "--json"]
    where = asked[:-4]
    assert run(["forecast", *where, *known]) == 0  # from weights alone no sample is read
    assert not any("test samples" in x for x in json.loads(capsys.readouterr().out)["warnings"])
    assert run(["forecast", *where, *known, "--tasks", str(tasks), "--tier", "weights"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert sum("14 of its 14 test samples are also" in x for x in warnings) == 3
    content = yaml.safe_load(tasks.read_text())
    content["tasks"]["second"]["test"] = content["tasks"]["second"]["data"]
    tasks.write_text(yaml.safe_dump(content))
    out.unlink()
    assert run(["measure", *asked, "--tasks", str(tasks)]) == 0
    assert "second: its `data:` and `test:` are the same: " in capsys.readouterr().err
    assert out.exists()


def test_a_task_without_test_is_refused_before_anything_is_written(probe_family, tmp_path, capsys):
    built = probe_family("bert")
    out = tmp_path / "o.parquet"
    assert run(["measure", *built.arguments, "-o", str(out)]) == 2
    assert "task 'first': has no test samples; add `test:` to the task" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Six models, the merges of all their pairs measured, and their metrics."""
    folder = tmp_path_factory.mktemp("own")
    tiny_family(folder, "abcdef")
    tasks = write_tiny_tasks(folder, "abcdef")
    paths = [str(folder / f"{name}.safetensors") for name in ("base", *"abcdef")]
    given = [*paths, "--tasks", str(tasks), "--method", "ties", "--method", "weight_avg"]
    assert run(["measure", *given, "-o", str(folder / "run/outcomes.parquet")]) == 0
    assert run(["metrics", *given, "-o", str(folder / "run/pairs.parquet"),
                "--tier", "weights"]) == 0  # fmt: skip
    return folder, given


def test_the_table_on_screen_says_what_each_member_keeps(zoo, tmp_path, capsys, monkeypatch):
    folder, given = zoo
    monkeypatch.setenv("COLUMNS", "100")
    out = tmp_path / "o.parquet"
    assert run(["measure", *given, "--members", "b+a", "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    table = OutcomeTable.read(folder / "run/outcomes.parquet").frame
    rows = table[(table["members"] == "a+b") & (table["method"] == "ties")]
    for row in rows.itertuples():
        assert f"{row.task} {row.retention:.3f} ± {row.retention_stderr:.3f}" in printed
    assert f"{rows['retention'].min():.3f}" in printed
    assert f"table: {out}" in printed
    assert f"mergecast fit {tmp_path}" in printed


def test_a_method_is_measured_at_another_strength(zoo, tmp_path, capsys):
    _, given = zoo
    out = tmp_path / "o.csv"
    asked = ("--members", "a+b", "--recipe", "ties(scaling=1,density=.5)", "-o", str(out))
    assert run(["measure", *given, *asked]) == 0
    assert "ties(density=0.5, scaling=1)" in capsys.readouterr().out
    table = OutcomeTable.read(out)
    assert table.recipes == ["ties", "ties(density=0.5, scaling=1)", "weight_avg"]
    assert run(["measure", *given, "--recipe", "ties(scaling)", "-o", str(out)]) == 2
    assert "recipe 'ties(scaling)': cannot be read" in capsys.readouterr().err


def test_what_was_measured_is_fitted_forecast_and_reported(zoo, tmp_path, capsys):
    folder, given = zoo
    run_folder, file = str(folder / "run"), str(tmp_path / "mine.json")
    assert run(["fit", run_folder, "-o", file]) == 0
    assert run(["report", run_folder, "-o", str(tmp_path / "page"), "--json"]) == 0
    capsys.readouterr()
    summary = json.loads((tmp_path / "page/run.json").read_text())
    table = OutcomeTable.read(folder / "run/outcomes.parquet")
    means = table.pairs().set_index(["left", "right", "method"])["retention"]
    members = pd.DataFrame(summary["rows"])
    found = members.groupby(["left", "right", "method"])["measured"].mean()
    pd.testing.assert_series_equal(found, means.sort_index(), check_names=False)
    [first, *_] = summary["tasks"]
    assert first["task"] == "a"
    assert first["single_score"] > first["majority"]
    assert run(["forecast", *given[:7], "--forecaster", file, "--json"]) == 0
    forecast = json.loads(capsys.readouterr().out)
    assert forecast["header"]["n_pairs"] == 15
    assert all(row["predicted"] is not None for row in forecast["rows"])


def test_a_recipe_is_measured_fitted_and_forecast_apart(zoo, tmp_path, capsys):
    _, given = zoo
    given, recipe, own = given[:9], "ties(scaling=1)", "ties(weights={a: 2, b: 1})"
    by = ["--method", "ties", "--recipe", recipe]
    outcomes, file = tmp_path / "run/outcomes.csv", str(tmp_path / "mine.json")
    assert run(["measure", *given, *by, "--recipe", own, "-o", str(outcomes)]) == 0
    asked = ["--metrics", "superposition", "--tier", "activations", "--calibration", "20"]
    asked += ["--method", "ties", "--method", "ties( scaling = 1.0 )"]
    assert run(["metrics", *given, *asked, "-o", str(tmp_path / "run/pairs.csv")]) == 0
    pairs = PairTable.read(tmp_path / "run/pairs.csv").frame
    key = "superposed_overlap_unlabelled@{}:left<-right"
    assert not pairs[key.format("ties")].equals(pairs[key.format(recipe)])
    assert run(["fit", str(tmp_path / "run"), "-o", file]) == 0
    assert f"{own} left out: it is of its own models alone" in capsys.readouterr().out
    forecaster = mc.Forecaster.load(file)
    assert [*forecaster.file.methods] == ["ties", recipe]
    assert {"ties", recipe} <= set(OutcomeTable.read(outcomes).pairs()["method"])
    asked, told = [*given, "--calibration", "20", "--json"], {}
    for name in (recipe, "ties"):
        given_name = "ties(scaling=1.0)" if name == recipe else name
        assert run(["forecast", *asked, "--forecaster", file, "--method", given_name]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        assert {row["method"] for row in rows} == {name}
        told[name] = [row["predicted"] for row in rows]
    assert not np.allclose(told[recipe], told["ties"], atol=1e-3)
    # Fitted on merges of the usual strength, it says nothing of another one.
    assert run(["forecast", *asked, "--method", recipe]) == 2
    assert f"recipe {recipe}: was never fitted by suites (there: " in capsys.readouterr().err
    assert run(["forecast", *asked, "--method", "ties", "--measured", str(outcomes)]) == 0
    assert f"left out: by {recipe}, which is not forecast here" in "".join(capsys.readouterr())


def test_what_was_measured_moves_a_forecast_without_a_fit(zoo, tmp_path, capsys):
    _, given = zoo
    out = tmp_path / "some.parquet"
    assert run(["measure", *given, "--members", "a+b", "-o", str(out)]) == 0
    capsys.readouterr()
    methods = ("--method", "ties", "--method", "weight_avg")
    assert run(["forecast", *given[:7], *methods, "--measured", str(out), "--json"]) == 0
    forecast = json.loads(capsys.readouterr().out)
    assert forecast["header"]["measured"] == 2
    rows = pd.DataFrame(forecast["rows"])
    basis = rows.groupby(["left", "right"])["basis"].unique()
    assert basis["a", "b"].tolist() == ["measured"]
    assert basis["c", "d"].tolist() == ["family"]
    assert forecast["verdict"][0].startswith("2 measured merges of this family used (ties, weight")
