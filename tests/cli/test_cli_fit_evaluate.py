import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from mergecast.cli import evaluate, fit
from mergecast.errors import TableError, UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.tables.io import write_outcomes, write_pairs


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    generator = np.random.default_rng(0)
    pairs, outcomes = [], []
    for left, right in combinations("abcde", 2):
        cosine = generator.normal()
        pairs.append({"suite": "toy", "left": left, "right": right, "cosine": cosine})
        retention = 0.8 + 0.05 * cosine
        shared = {"suite": "toy", "method": "ties", "members": f"{left}+{right}", "seed": 0}
        outcomes += [
            {**shared, "task": task, "score": retention, "single_score": 1.0,
             "retention": retention, "loss": 0.1, "single_loss": 0.1, "n_eval": 10}
            for task in (left, right)
        ]  # fmt: skip
    write_pairs(pd.DataFrame(pairs), folder / "pairs.parquet")
    write_outcomes(pd.DataFrame(outcomes), folder / "outcomes.parquet")
    return folder


def invoke(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(a) for a in arguments])


def test_fit_writes_a_forecaster_and_shows_what_it_learnt(run_folder, tmp_path):
    result = invoke(fit.command, run_folder, "-o", tmp_path / "f.json")
    assert result.exit_code == 0, result.output
    assert "ties: cosine +0.0" in result.stdout
    assert Forecaster.load(tmp_path / "f.json").file.methods["ties"].n_pairs == 10
    printed = invoke(fit.command, run_folder, "-o", tmp_path / "f.json", "--json").stdout
    assert json.loads(printed) == json.loads((tmp_path / "f.json").read_text())


def test_evaluate_prints_predictors_beside_the_baselines(run_folder):
    result = invoke(evaluate.command, run_folder, "--protocol", "l2to")
    assert result.exit_code == 0, result.output
    for text in ("l2to: leave two tasks out", "partner_mean (warm)", "n/a", "lasso"):
        assert text in result.stdout
    assert "note: not applicable" in result.stdout


def test_evaluate_as_json_is_one_object(run_folder):
    result = invoke(evaluate.command, run_folder, "--predictor", "ridge", "--json")
    data = json.loads(result.stdout)
    assert [row["predictor"] for row in data["results"]] == ["constant", "partner_mean", "ridge"]
    assert data["results"][2]["per_fold_r"] > 0.99
    assert data["results"][0]["per_fold_r"] is None


def test_errors_are_left_to_the_caller(run_folder, tmp_path):
    absent = invoke(evaluate.command, tmp_path / "absent").exception
    assert isinstance(absent, UsageError)
    unknown = invoke(evaluate.command, run_folder, "--method", "tie").exception
    assert isinstance(unknown, TableError)
    assert "methods there: ties" in str(unknown)


def test_both_helps_have_examples():
    assert "mergecast fit runs/digits -o digits.json" in invoke(fit.command, "--help").stdout
    assert "mergecast evaluate runs/digits" in invoke(evaluate.command, "--help").stdout
