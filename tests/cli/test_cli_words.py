"""What the command line says: help, names in any encoding, refusals in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from mergecast import entry
from mergecast.cli import main as main_module
from mergecast.cli.main import run
from mergecast.cli.options import parse_parameters, parse_weights
from mergecast.merging import METHODS


@pytest.fixture
def paths(family_paths):
    base, models = family_paths
    return [str(base), *map(str, models)]


def test_merge_s_help_lists_every_method_with_its_defaults(capsys):
    assert run(["merge", "--help"]) == 0
    text = capsys.readouterr().out
    listing = text.partition("defaults:")[2].partition("Examples:")[0]
    lines = dict(re.findall(r"^ {4}(\w+) +(\S.*(?:\n {20,}.*)*)", listing, flags=re.MULTILINE))
    assert list(lines) == [method.name for method in METHODS]
    for method in METHODS:
        given = dict(re.findall(r"(\w+)=(\S+)", lines[method.name]))
        assert method.validate(parse_parameters([f"{k}={v}" for k, v in given.items()])) == (
            method.defaults
        )
        assert list(given) == list(method.defaults)
    assert "sign=mass (or count)" in lines["ties"]


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("-2.5E+1", -25.0), ("1e", "1e")])
def test_numbers_with_exponents_are_numbers(text, value):
    assert parse_parameters([f"scaling={text}"]) == {"scaling": value}
    assert parse_weights(f"a={text},b=1") == {"a": value, "b": 1}


COMMANDS = ["", "check", "metrics", "measure", "merge", "fit", "evaluate", "forecast", "report"]
COMMANDS += ["outcomes", "reproduce", "demo", "bench", "bench run"]
COMMANDS += ["tasks", "tasks init", "tasks check"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_that_fit_a_line(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    shown = text.partition("Examples:")[2].partition("Options:")[0].partition("Arguments:")[0]
    examples = [line.strip() for line in shown.splitlines() if line.strip()]
    assert examples
    assert all(line.startswith(f"mergecast {command}") for line in examples)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_any_file_name_prints_in_any_encoding(encoding, paths, tmp_path):
    odd = tmp_path / os.fsdecode(b"n\xff\nm.safetensors")
    shutil.copy(paths[1], odd)
    program, out = [sys.executable, "-m", "mergecast"], str(tmp_path / "out")
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    found = {}
    for given in (["check"], ["check", "--json"], ["merge", "--method", "slerp", "-o", out]):
        found[given[-1]] = subprocess.run(
            [*program, *given, paths[0], odd, paths[2]], env=env, capture_output=True
        )
    assert [done.returncode for done in found.values()] == [0, 0, 0]
    assert not any(done.stderr for done in found.values())
    label = r"n\xff\nm"
    assert f"usable  {label}" in found["check"].stdout.decode(encoding)
    assert label in json.loads(found["--json"].stdout.decode(encoding))["usable"]
    assert label in json.loads((tmp_path / "out/mergecast.json").read_text("utf-8"))["members"]


def test_metrics_needs_two_models_and_a_base_that_are_finite(paths, tmp_path, capsys):
    def spoil(path, name):
        tensors = load_file(path)
        next(v for v in tensors.values() if v.is_floating_point()).view(-1)[0] = float("inf")
        save_file(tensors, tmp_path / name)
        return str(tmp_path / name)

    out = ["-o", str(tmp_path / "p.csv")]
    bad_model, bad_base = spoil(paths[1], "m.safetensors"), spoil(paths[0], "spoilt.safetensors")
    assert run(["metrics", paths[0], bad_model, paths[2], *out]) == 4
    assert re.search(
        r"family: has 1 usable model \(m: parameter .* infinity\); pairs need at least two",
        capsys.readouterr().err,
    )
    assert run(["metrics", bad_base, *paths[1:3], *out]) == 4
    assert f"error: {bad_base}: parameter" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_a_table_is_not_written_over_by_another_kind_of_file(tmp_path, capsys):
    table = tmp_path / "pairs.parquet"
    table.write_bytes(b"of value")
    assert run(["fit", str(tmp_path), "-o", str(table)]) == 2
    assert run(["report", str(tmp_path), "-o", str(table)]) == 2
    assert "ends in .parquet, as tables do; give another file name" in capsys.readouterr().err
    assert table.read_bytes() == b"of value"


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["bench", "run", "digits-14", "-o", "runs/d"], True),
        (["search", "base/", "a/", "--out=merged/"], True),
        (["search", "base/", "a/", "--tasks", "t.yaml"], False),
        (["forecast", "base/", "a/", "--cache", "seen/"], True),
        (["forecast", "base/", "a/", "-o", "out.json"], False),
    ],
)
def test_an_interrupt_says_whether_finished_work_is_kept(arguments, kept, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "app", stopped)
    assert main_module.run(arguments) == 130
    told = capsys.readouterr().err
    assert ("the same command goes on from there" in told) == kept
    assert told.startswith("mergecast: error: interrupted")


def test_an_interrupt_before_the_program_runs_is_no_traceback(monkeypatch, capsys):
    class Interrupted:
        def find_spec(self, name, *_):
            if name == "mergecast.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "mergecast.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit, match="130"):
        entry.main()
    assert capsys.readouterr().err == "mergecast: error: interrupted\n"


def test_sets_are_ranked_of_one_size_at_a_time(paths, capsys):
    assert run(["forecast", *paths, "--sets", "2", "--sets", "3"]) == 2
    assert "--sets: is 2 and 3; rank sets of one size at a time" in capsys.readouterr().err
