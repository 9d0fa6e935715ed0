import json
import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.cli.main import run
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Five tasks; `ties` follows the metric, `dare` follows nothing."""
    folder = tmp_path_factory.mktemp("run")
    generator = np.random.default_rng(1)
    pairs, outcomes = [], []
    for left, right in combinations("abcde", 2):
        cosine = generator.normal()
        pairs.append({"suite": "toy", "left": left, "right": right, "cosine": cosine})
        for method, retention in (
            ("ties", 0.8 + 0.05 * cosine),
            ("dare", 0.8 + 0.05 * generator.normal()),
        ):
            shared = {"suite": "toy", "method": method, "members": f"{left}+{right}", "seed": 0}
            outcomes += [
                {**shared, "task": task, "score": retention, "single_score": 1.0,
                 "retention": retention, "loss": 0.1, "single_loss": 0.1, "n_eval": 1000}
                for task in (left, right)
            ]  # fmt: skip
    PairTable(pd.DataFrame(pairs)).write(folder / "pairs.parquet")
    OutcomeTable(pd.DataFrame(outcomes)).write(folder / "outcomes.parquet")
    return folder


def test_report_writes_the_page_and_prints_the_table(run_folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run(["report", str(run_folder), "-o", str(page)]) == 0
    printed = capsys.readouterr()
    assert f"page: {page}" in printed.out
    assert "forecast beside measured" in printed.out
    assert printed.err == ""
    text = page.read_text(encoding="utf-8")
    assert "toy: what was forecast, and what the merges did" in text
    assert "cosine" in text


def test_report_as_json_writes_no_page_unless_asked(run_folder, tmp_path, capsys):
    assert run(["report", str(run_folder), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert not (run_folder / "report.html").exists()
    ties = next(entry for entry in summary["methods"] if entry["method"] == "ties")
    assert ties["protocols"]["l2to"]["constant"]["mae"] > 0
    assert set(ties["protocols"]) == {"loto", "l2to"}
    assert len(summary["rows"]) == 40


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda folder: None, 2, "no such folder"),
        (lambda folder: folder.mkdir(), 2, "no pairs.parquet or pairs.csv"),
    ],
)
def test_report_of_what_is_no_run(tmp_path, capsys, make, code, said):
    make(tmp_path / "absent")
    assert run(["report", str(tmp_path / "absent")]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_report_of_too_few_tasks(tmp_path, capsys):
    pairs = pd.DataFrame({"suite": ["s"], "left": ["a"], "right": ["b"], "cosine": [0.1]})
    row = {"suite": "s", "method": "ties", "members": "a+b", "score": 1.0, "single_score": 1.0,
           "retention": 1.0, "loss": 0.1, "single_loss": 0.1, "n_eval": 10, "seed": 0}  # fmt: skip
    PairTable(pairs).write(tmp_path / "pairs.parquet")
    rows = pd.DataFrame([{**row, "task": "a"}, {**row, "task": "b"}])
    OutcomeTable(rows).write(tmp_path / "outcomes.parquet")
    assert run(["report", str(tmp_path)]) == 2
    assert "no pair is left to train on (2 tasks in all)" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_help_has_examples_and_loads_nothing_heavy():
    code = (
        "import sys; from mergecast.cli.main import run; "
        "run(['report', '--help']); run(['forecast', '--help']); "
        "print({'torch', 'pandas', 'sklearn', 'jinja2', 'numpy'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mergecast report runs/digits -o digits.html" in out.stdout
    assert "--forecaster mine.json" in out.stdout
    assert out.stdout.strip().endswith("set()")
