"""The commands as a user runs them: exit codes, one-line errors, results on stdout."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from tiny_family import arrays


@pytest.fixture
def paths(family_paths):
    base, models = family_paths
    return [str(base), *map(str, models)]


def write(path, tensors):
    write_safetensors(path, tensors)
    return str(path)


def last_error(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


def test_check_says_what_is_usable(paths, capsys):
    assert run(["check", *paths]) == 0
    out = capsys.readouterr().out
    assert "shared  5 parameters, 925 elements" in out
    assert "usable  a  ‖τ‖/‖θ₀‖ = 0.0499" in out
    assert "private head.weight: not in the base; in all models" in out


def test_check_exit_codes_tell_some_from_none(paths, tmp_path, capsys):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"junk" * 99)
    assert run(["check", *paths, str(bad), "--json"]) == 3
    result = json.loads(capsys.readouterr().out)
    assert result["refused"] == ["bad"]
    assert result["usable"] == ["a", "b", "c"]
    assert run(["check", paths[0], str(bad)]) == 4
    assert "none usable" in last_error(capsys)
    assert run(["check", str(bad), paths[1]]) == 4
    assert str(bad) in last_error(capsys)
    assert run(["check", paths[0], write(tmp_path / "zero.safetensors", arrays(0))]) == 4
    assert "REFUSED zero" in capsys.readouterr().out


def test_metrics_writes_the_table_and_names_what_it_left_out(paths, tmp_path, capsys):
    out = tmp_path / "pairs.parquet"
    assert run(["metrics", *paths, "-o", str(out), "--suite", "mine"]) == 0
    assert "3 pairs × 26 columns" in capsys.readouterr().out
    table = pd.read_parquet(out)
    assert list(table["left"] + table["right"]) == ["ab", "ac", "bc"]
    broken = arrays(1)
    broken["layer.bias"][0] = np.nan
    frozen = write(tmp_path / "frozen.safetensors", arrays(0))
    nan = write(tmp_path / "nan.safetensors", broken)
    code = run(["metrics", *paths, frozen, nan, "-o", str(tmp_path / "p.csv"), "--json"])
    captured = capsys.readouterr()
    assert code == 3
    result = json.loads(captured.out)
    assert result["refused"] == ["nan"]
    assert result["pairs"] == 6
    assert len(result["missing"]) == 3 * 26
    assert "refused nan: parameter 'layer.bias' holds NaN or infinity" in captured.err
    assert "error: frozen: equals the base" in captured.err
    assert (tmp_path / "p.meta.json").is_file()


def test_metrics_prints_the_first_missing_reason(paths, tmp_path, capsys):
    frozen = write(tmp_path / "frozen.safetensors", arrays(0))
    assert run(["metrics", *paths[:2], frozen, "-o", str(tmp_path / "p.csv")]) == 0
    assert (
        "26 values are missing, first effective_rank of a and frozen: model"
        in capsys.readouterr().out
    )


def test_merge_writes_a_folder_and_says_what_it_did(paths, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["merge", "--method", "ties", "--param", "density=0.5", *paths, "-o", str(out)]) == 0
    assert "a+b+c by ties(density=0.5, scaling=0.3)" in capsys.readouterr().out
    assert Checkpoint.open(out).names == Checkpoint.open(paths[0]).names
    assert run(["merge", "--method", "slerp", *paths, "-o", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["members"] == ["a", "b", "c"]
    assert result["merged"] == 5


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--method", "tie"], 2, "merging method 'tie': unknown; did you mean 'ties'"),
        (["--method", "ties", "--param", "density"], 2, "--param 'density': is not k=v"),
        (["--method", "ties", "--param", "density=["], 2, "has no readable value"),
        (["--method", "ties", "--param", "density=2"], 2, "parameter 'density' of ties: is 2"),
        (["--method", "ties", "--param", "density=.1", "--param", "density=.2"], 2, "given twice"),
        (["--method", "ties", "--device", "cuda:9"], 2, "device 'cuda:9'"),
        (["--method", "ties", "--device", "gpu"], 2, "device 'gpu': unknown"),
        (["--method", "ties", "--device", "meta"], 2, "device 'meta': not supported"),
        (["--methd", "ties"], 2, "see mergecast --help"),
    ],
)
def test_wrong_options_exit_2_with_one_line(options, code, message, paths, tmp_path, capsys):
    assert run(["merge", *options, *paths, "-o", str(tmp_path / "out")]) == code
    assert message in last_error(capsys)
    assert not (tmp_path / "out").exists()


def test_one_unusable_model_stops_a_merge(paths, tmp_path, capsys):
    missing = str(tmp_path / "none.safetensors")
    command = ["merge", "--method", "ties", *paths, missing, "-o", str(tmp_path / "out")]
    assert run(command) == 4
    assert f"{missing}: does not exist" in last_error(capsys)


def test_a_full_disk_exits_5(paths, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert run(["merge", "--method", "ties", *paths, "-o", str(tmp_path / "out")]) == 5
    assert "cannot be written: No space left on device" in last_error(capsys)


def test_help_version_and_no_arguments(capsys):
    assert run([]) == 0
    assert "forecast" in capsys.readouterr().out.lower()
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"
    assert run(["nonsense"]) == 2
    for command in ("check", "metrics", "merge"):
        assert run([command, "--help"]) == 0
        assert f"mergecast {command} " in capsys.readouterr().out


def test_an_unforeseen_error_asks_for_a_report(paths, monkeypatch, capsys):
    import mergecast.family.preflight as preflight

    def fail(*args, **kwargs):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(preflight, "check", fail)
    assert run(["check", *paths]) == 1
    assert "internal error (ZeroDivisionError); please report" in capsys.readouterr().err


def start(arguments, **options):
    command = [sys.executable, "-m", "mergecast", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_check_and_help_do_not_import_torch(paths):
    for arguments in (["--help"], ["check", *paths]):
        code = (
            "import sys; from mergecast.cli.main import run; code = run(sys.argv[1:]);"
            "heavy = {'torch', 'pandas', 'sklearn', 'scipy'} & set(sys.modules);"
            "sys.exit(f'imported {heavy}' if heavy else code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_no_half_written_output(number, code, tmp_path):
    rng = np.random.default_rng(0)
    base = {f"w{i}": rng.standard_normal((400, 400)) for i in range(12)}
    for label, size in {"base": 0, "a": 0.01, "b": 0.01}.items():
        tensors = {n: w + size * rng.standard_normal(w.shape) for n, w in base.items()}
        write_safetensors(tmp_path / f"{label}.safetensors", tensors)
    models = [str(tmp_path / f"{label}.safetensors") for label in ("base", "a", "b")]
    out = tmp_path / "out"
    process = start(["merge", "--method", "tsv", "--workers", "1", *models, "-o", str(out)])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".out.*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in error
    assert not out.exists()
    assert not list(tmp_path.glob(".out.*"))


def test_a_reader_that_goes_away_is_no_error(paths):
    read, wrote = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mergecast", "check", *paths]
    done = subprocess.run(command, stdout=wrote, stderr=subprocess.PIPE, text=True, check=False)
    os.close(wrote)
    assert done.returncode != 0
    assert done.stderr == ""


def test_the_reference_family_passes_its_commands(reference, tmp_path: Path, capsys):
    base = str(reference / "base.safetensors")
    models = [str(reference / f"model_{label}.safetensors") for label in "abcd"]
    assert run(["check", base, *models]) == 0
    assert run(["metrics", base, *models, "-o", str(tmp_path / "p.parquet")]) == 0
    assert run(["merge", "--method", "ties", base, *models, "-o", str(tmp_path / "out")]) == 0
    assert "14 parameters merged, 1 left out" in capsys.readouterr().out
