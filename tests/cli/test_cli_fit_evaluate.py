import json
import shutil
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from mergecast.cli import evaluate, fit
from mergecast.errors import TableError, UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from synthetic_suite import build_suite


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
    PairTable(pd.DataFrame(pairs)).write(folder / "pairs.parquet")
    OutcomeTable(pd.DataFrame(outcomes)).write(folder / "outcomes.parquet")
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
    for text in (
        "gain: MAE of the constant less",
        "of one fit, on other suites: evaluate --default",
    ):
        assert text in result.stdout
    assert "the task" in result.stdout


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


@pytest.fixture(scope="module")
def two_methods(tmp_path_factory):
    """Two methods, two suites of the same tasks, and merges of three models in one of them."""
    folders = []
    for suite, seed in (("first", 0), ("second", 1)):
        folder = tmp_path_factory.mktemp(suite)
        pairs, outcomes = build_suite(
            "metric", n_tasks=6, methods=("ties", "tsv"), seed=seed, suite=suite
        )
        if suite == "first":
            kept = (
                outcomes[outcomes["method"] == "ties"]
                .head(3)
                .assign(members="t00+t01+t02", task=["t00", "t01", "t02"])
            )
            more = kept.assign(members="t01+t02+t03", task=["t01", "t02", "t03"])
            last = kept.assign(members="t00+t02+t03", task=["t00", "t02", "t03"])
            outcomes = pd.concat([outcomes, kept, more, last])
        PairTable(pairs).write(folder / "pairs.csv")
        OutcomeTable(outcomes).write(folder / "outcomes.parquet")
        folders.append(folder)
    return folders


def test_intervals_and_decisions_stand_beside_the_scores_by_default(two_methods):
    result = invoke(evaluate.command, two_methods[0], "--predictor", "lasso")
    assert result.exit_code == 0, result.output
    for text in ("pooled r", "R²", "[", "Choosing a method", "best such rule in hindsight",
                 "Choosing a partner", "ties, 3 sets of 3", "measured pairs"):  # fmt: skip
        assert text in result.stdout
    plain = invoke(evaluate.command, two_methods[0], "--predictor", "lasso", "--bootstrap", "0",
                   "--method", "ties", "--protocol", "l2to")  # fmt: skip
    assert "[" not in plain.stdout
    assert "Choosing" not in plain.stdout  # one method, and no task is held out by itself


def test_json_holds_folds_decisions_and_what_was_asked_for(two_methods):
    asked = ("--predictor", "paper", "--null", "2", "--seeds", "2", "--bootstrap", "20", "--json")
    data = json.loads(invoke(evaluate.command, two_methods[0], "--method", "ties", *asked).stdout)
    row = data["results"][-1]
    assert row["predictor"] == "paper"
    assert {"per_fold_rho", "r2", "mae_low", "p_pooled_r", "mae_seed_sd"} <= set(row)
    assert row["mae_seed_sd"] > 0
    folds = [fold for fold in data["folds"] if fold["predictor"] == "paper"]
    assert [fold["fold"] for fold in folds] == [f"t0{i}" for i in range(6)]
    assert np.mean([fold["r"] for fold in folds]) == pytest.approx(row["per_fold_r"])
    assert data["decisions"]["methods"] == []
    assert {row["method"] for row in data["decisions"]["partners"]} == {"ties"}
    assert {row["size"] for row in data["decisions"]["sets"]} == {3}


def test_the_seed_alone_moves_the_intervals(two_methods):
    def low(seed):
        asked = ("--predictor", "ridge", "--method", "ties", "--seed", seed, "--json")
        data = json.loads(invoke(evaluate.command, two_methods[0], *asked).stdout)
        return data["results"][-1]["mae_low"]

    assert low(0) == low(0) != low(1)


def test_out_of_fold_predictions_are_written(two_methods, tmp_path):
    for name, read in (("p.csv", pd.read_csv), ("p.parquet", pd.read_parquet)):
        path = tmp_path / "new" / name
        asked = ("--predictor", "ridge", "--method", "ties", "-o", path)
        result = invoke(evaluate.command, two_methods[0], *asked)
        assert result.exit_code == 0, result.output
        table = read(path)
        assert len(table) == 3 * 15 * 2 * 2  # predictors, pairs, members, tasks held out
        assert {"fold", "member", "predicted", "measured"} <= set(table)
    wrong = invoke(evaluate.command, two_methods[0], "-o", tmp_path / "p.xlsx").exception
    assert "unknown table format .xlsx; use .parquet or .csv" in str(wrong)


def test_the_papers_analyses_are_there_for_own_folders(two_methods):
    asked = ("--predictor", "lasso", "--bootstrap", "0", "--analysis")
    result = invoke(evaluate.command, *two_methods, *asked)
    assert result.exit_code == 0, result.output
    for text in ("Additive share of outcomes", "Single metrics against retention, first",
                 "permuted, corrected (FDR)", "Signatures of lasso", "between seeds",
                 "Groups of metrics: lasso", "Beside other settings: first and second",
                 "Audit of second", "constant_metric"):  # fmt: skip
        assert text in result.stdout
    data = json.loads(invoke(evaluate.command, *two_methods, *asked, "--json").stdout)["analysis"]
    strongest = data["signatures"]["metrics"]["ties"][0]
    assert strongest["metric"] == "reach"
    assert strongest["frequency"] == 1
    assert {row["name"] for row in data["comparison"] if row["kind"] == "outcome"} == {
        "ties",
        "tsv",
    }
    assert {row["suite"] for row in data["audit"]} == {"first", "second"}
    assert data["stability"][0]["sign_agreement"] > 0


def test_base_scores_of_a_task_table_reach_the_audit(two_methods, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(two_methods[1], folder)
    tasks = [f"t0{i}" for i in range(6)]
    table = pd.DataFrame({"task": tasks, "base_score": [0.95, *[0.1] * 5]})
    table.assign(single_score=0.9, majority=0.1).to_parquet(folder / "tasks.parquet")
    asked = ("--predictor", "constant", "--bootstrap", "0", "--analysis")
    printed = invoke(evaluate.command, folder, *asked).stdout
    assert "no_gain: t00: fine-tuned score 0.9 is no better than the base's 0.95" in printed
    assert "base_scores_unknown" not in printed


def test_a_constant_target_is_said_and_gives_no_correlation(two_methods, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(two_methods[1], folder)
    table = pd.read_parquet(folder / "outcomes.parquet")
    table.assign(score=0.81, retention=0.9).to_parquet(folder / "outcomes.parquet")
    result = invoke(evaluate.command, folder, "--predictor", "ridge", "--method", "ties", "--json")
    data = json.loads(result.stdout)
    assert {row["r2"] for row in data["results"]} == {None}
    assert {row["pooled_r"] for row in data["results"]} == {None}
    assert data["notes"] == [
        "ties: retention is 0.9 in all 15 pairs: nothing can be learned from it, and correlations "
        "are undefined"
    ]


def test_a_repeated_row_is_named_by_its_values(two_methods, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(two_methods[1], folder)
    table = pd.read_parquet(folder / "outcomes.parquet")
    pd.concat([table, table.iloc[:1]]).to_parquet(folder / "outcomes.parquet")
    error = str(invoke(evaluate.command, folder).exception)
    assert "row 60: duplicate of an earlier row" in error
    assert "members 't00+t01', seed 0, task 't00'; keep one row" in error


def test_a_method_that_always_diverged_is_left_out_with_a_note(two_methods, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(two_methods[1], folder)
    table = pd.read_parquet(folder / "outcomes.parquet")
    table.loc[table["method"] == "tsv", ["score", "retention"]] = np.nan
    table.to_parquet(folder / "outcomes.parquet")
    asked = ("--predictor", "ridge", "--bootstrap", "0", "--analysis", "--json")
    data = json.loads(invoke(evaluate.command, folder, *asked).stdout)
    assert {row["method"] for row in data["results"]} == {"ties"}
    assert "tsv: left out: no pair has a defined outcome" in data["notes"]
    asked_for = invoke(evaluate.command, folder, "--method", "tsv").exception
    assert "method 'tsv': no pair has both metrics and a defined outcome" in str(asked_for)
