"""`mc.report`: of a forecast or of a run, with a page where one is asked for."""

from __future__ import annotations

import json

import pytest

import mergecast as mc
from forecaster_files import linear_model, save_forecaster
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.tables.outcomes import as_outcomes
from mergecast.tables.pairs import as_pairs
from synthetic_suite import build_suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    pairs, outcomes = build_suite(n_tasks=5)
    as_pairs(pairs).write(folder / "pairs.parquet")
    as_outcomes(outcomes).write(folder / "outcomes.parquet")
    return folder


def test_a_run_is_summarised_as_the_command_does_and_nothing_is_written(folder, capsys):
    before = sorted(folder.iterdir())
    found = mc.report(folder)
    assert sorted(folder.iterdir()) == before
    assert run(["report", str(folder), "--json"]) == 0
    assert json.loads(json.dumps(found)) == json.loads(capsys.readouterr().out)


def test_a_page_alone_or_a_folder_with_its_data(folder, tmp_path):
    found = mc.report(folder, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert "what was forecast, and what the merges did" in (tmp_path / "page.html").read_text()
    mc.report(str(folder), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report.html",
        "report.md",
        "run.json",
    ]
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == found


def test_a_forecast_is_reported_without_its_files(family_paths, tmp_path):
    models = {"ties": linear_model("task_vector_magnitude_ratio", 0.1)}
    forecaster = save_forecaster({"weights": models}, tmp_path / "mine.json")
    found = mc.forecast(*family_paths, forecaster=forecaster)
    summary = mc.report(found, tmp_path / "out")
    assert summary["header"]["base"] == str(family_paths[0])
    assert (tmp_path / "out" / "report.html").is_file()
    table = mc.metrics(*family_paths)
    alone = mc.report(mc.Forecaster.load(forecaster).forecast(table))
    assert alone["rows"] == summary["rows"]
    assert (alone["header"]["base"], alone["header"]["models"]) == ("", {})


@pytest.mark.parametrize("name", ["pairs.parquet", "page.csv"])
def test_a_table_is_not_overwritten(folder, tmp_path, name):
    with pytest.raises(UsageError, match="as tables do; give another file name"):
        mc.report(folder, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        mc.report(tmp_path / "none")
