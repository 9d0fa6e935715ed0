"""Every output of every command is checked before its work: models are not even looked for."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
from test_options import commands
from typer.models import OptionInfo

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import UsageError

#: Options that name what is written or kept.
WRITTEN = {"--out", "--report", "--plot", "--cache"}
#: Where `-o` is only read, and where its Python call checks what it stands for.
ELSEWHERE = {("bench status", "--out"), ("report", "--out")}
FILES = {
    "metrics none.st a.st -o {}.csv",
    "measure none.st a.st --tasks t.yaml -o {}.parquet",
    "outcomes none.yaml -o {}.csv",
    "fit none -o {}.json",
    "evaluate none -o {}.csv",
    "evaluate --default -o {}.parquet",
    "forecast none.st a.st --plot {}.png",
    "forecast none.st a.st --report {}.html",
    "report none -o {}.html",
    "tasks init none.st a.st -o {}.yaml",
}
FOLDERS = {
    "merge --method ties none.st a.st -o {}",
    "merge --method ties --scaling auto --tasks t.yaml none.st a.st -o {}",
    "merge --mergekit none.yaml -o {}",
    "search none.st a.st --tasks t.yaml -o {}",
    "bench run digits-14 -o {}",
    "demo -o {}",
    "metrics none.st a.st --cache {}",
    "measure none.st a.st --cache {}",
    "forecast none.st a.st --cache {}",
    "forecast --mergekit none.yaml --tasks t.yaml --cache {}",
    "search none.st a.st --tasks t.yaml --cache {}",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a file in it and nothing else: no model, no run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    return tmp_path


def refused(words, capsys, said):
    before = sorted(Path().rglob("*"))
    assert run(words.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("words", sorted(FILES | FOLDERS))
def test_no_output_lies_beneath_a_file(words, capsys):
    refused(words.format("file/sub/out"), capsys, "cannot be made: file is a file; choose another")


@pytest.mark.parametrize("words", sorted(FOLDERS))
def test_no_folder_is_a_file(words, capsys):
    refused(words.format("file"), capsys, "file: is a file; give a folder to write")


@pytest.mark.parametrize("words", sorted(FILES))
def test_no_file_is_a_folder(words, capsys):
    place = words.split()[-1].format("there")
    Path(place).mkdir()
    refused(words.format("there"), capsys, f"{place}: is a folder; give the name of a file")


def test_what_is_written_beside_a_file_is_checked_too(capsys):
    for folder in ("p.meta.json", "o.samples.parquet", "page/report.md", "demo/report.html"):
        Path(folder).mkdir(parents=True)
    for words, folder in (
        ("metrics none.st a.st -o p.csv", "p.meta.json"),
        ("measure none.st a.st --tasks t.yaml -o o.parquet", "o.samples.parquet"),
        ("forecast none.st a.st --report page", "page/report.md"),
        ("demo -o demo", "demo/report.html"),
    ):
        refused(words, capsys, f"{folder}: is a folder")


def test_every_such_option_is_checked():
    seen = set()
    for name, function in commands():
        for word, hint in get_type_hints(function, include_extras=True).items():
            option = (name, f"--{word}")
            given = [i for i in getattr(hint, "__metadata__", ()) if isinstance(i, OptionInfo)]
            if option[1] not in WRITTEN or not given:
                continue
            seen.add(option)
            assert option in ELSEWHERE or given[0].callback is not None, option
    assert seen > ELSEWHERE | {("forecast", "--report"), ("forecast", "--plot"), ("demo", "--out")}
    assert {("measure", "--cache"), ("merge", "--out"), ("tasks init", "--out")} < seen


@pytest.mark.parametrize("command", ["merge --method ties", "merge --method ties --scaling auto"])
def test_a_folder_of_others_is_not_replaced_and_no_merge_is_tuned_first(command, capsys):
    Path("theirs").mkdir()
    Path("theirs/thesis.txt").write_text("years of work")
    words = f"{command} --tasks t.yaml none.st a.st -o theirs"
    refused(words, capsys, "exists and was not written by mergecast")
    Path("none").mkdir()
    refused(f"{command} --tasks t.yaml none a.st -o none/out", capsys, "lies inside the input none")


def test_python_calls_check_before_they_work(monkeypatch):
    models = {"a": "a.st"}
    for call, given in (
        (mc.search, {"tasks": {}, "out": "file/out"}),
        (mc.search, {"tasks": {}, "cache": "file"}),
        (mc.forecast, {"tasks": {}, "cache": "file/out"}),
        (mc.measure, {"tasks": {}, "cache": "file/out"}),
        (mc.forecast_merge, {"tasks": {}, "recipe": "ties", "cache": "file/out"}),
        (mc.merge_evidence, {"tasks": {}, "method": "fisher", "out": "file/out"}),
        (mc.draft_tasks, {"out": "file/out"}),
    ):
        with pytest.raises(UsageError, match=r"file(/out(\.search)?)?: (cannot be made|is a file)"):
            call("none.st", models, **given)
    reports = import_module("mergecast.api.reports")
    monkeypatch.setattr(reports, "judge_run", None)
    with pytest.raises(UsageError, match="is a file"):
        mc.report("none", "file/page.html")
    with pytest.raises(UsageError, match="is a file"):
        mc.demo("file/out")


def test_a_picture_that_cannot_be_drawn_is_said_before(monkeypatch, capsys):
    refused("forecast none.st a.st --plot p.jpg", capsys, "plot: is 'p.jpg'; end it in .png")
    refused("forecast none.st a.st --report p.csv", capsys, "p.csv: ends in .csv, as tables do")
    monkeypatch.delitem(sys.modules, "mergecast.forecast.figure", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    refused("forecast none.st a.st --plot p.png", capsys, "plot: needs matplotlib; install")
