"""`mc.fit`, `mc.evaluate`, `mc.analyse`: folders or tables in, what the commands say out."""

from __future__ import annotations

import json

import pytest

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import TableError, UsageError
from mergecast.tables.outcomes import as_outcomes
from mergecast.tables.pairs import as_pairs
from synthetic_suite import build_suite


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two suites of two methods."""
    found = []
    for suite, seed in (("first", 0), ("second", 1)):
        folder = tmp_path_factory.mktemp(suite)
        pairs, outcomes = build_suite(n_tasks=5, methods=("ties", "tsv"), seed=seed, suite=suite)
        as_pairs(pairs).write(folder / "pairs.parquet")
        as_outcomes(outcomes).write(folder / "outcomes.parquet")
        found.append(str(folder))
    return found


def test_fit_gives_the_file_that_the_command_writes(folders, tmp_path, capsys):
    assert run(["fit", folders[0], "-o", str(tmp_path / "f.json"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    for runs in (folders[0], [folders[0]], mc.load_run(folders[0])):
        forecaster = mc.fit(runs)
        assert json.loads(forecaster.file.model_dump_json()) == printed


def test_fit_takes_several_folders_and_one_predictor(folders):
    file = mc.fit(folders, "lasso", workers=1).file
    assert file.training.suites == ["first", "second"]
    assert {model.predictor for model in file.methods.values()} == {"lasso"}


def test_evaluate_says_what_the_command_says(folders, capsys):
    options = ["--protocol", "l2to", "--predictor", "lasso", "--method", "ties", "--json"]
    assert run(["evaluate", *folders, *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = mc.evaluate(folders, "l2to", predictors="lasso", methods="ties")
    assert json.loads(json.dumps(found.to_dict())) == printed
    assert printed["decisions"]["threshold"] == 0.9
    assert {"mae_low", "mae_high"} <= set(found.results)


def test_analyse_reads_tables_and_folders_alike(folders):
    found, other = (mc.analyse(runs) for runs in (folders[0], mc.load_run(folders[0])))
    assert found.outcome_share == other.outcome_share
    assert set(found.signatures) == {"ties", "tsv"}


@pytest.mark.parametrize("call", [mc.fit, mc.evaluate, mc.analyse])
def test_runs_that_are_none(call, tmp_path, folders):
    with pytest.raises(UsageError, match="no such folder; give a suite folder"):
        call(tmp_path / "none")
    with pytest.raises(UsageError, match="runs: are nothing; give run folders, or a pair"):
        call([])
    pairs, _ = mc.load_run(folders[0])
    with pytest.raises(UsageError, match="runs: are PairTable, str; give run folders, or a pair"):
        call([pairs, folders[1]])
    with pytest.raises(TableError, match="holds suite 'first', which"):
        call([folders[0], folders[0]])


def test_unknown_names_have_their_nearest(folders):
    with pytest.raises(UsageError, match="predictor 'lass': unknown; did you mean 'lasso'"):
        mc.fit(folders[0], "lass")
    with pytest.raises(UsageError, match="protocol 'lot': unknown; did you mean 'loto'"):
        mc.evaluate(folders[0], "lot")
    with pytest.raises(TableError, match="methods there: ties, tsv"):
        mc.evaluate(folders[0], methods="tie")


def test_a_table_that_breaks_its_schema_is_named(folders):
    pairs, outcomes = mc.load_run(folders[0])
    with pytest.raises(TableError, match="outcomes table, column 'score': missing"):
        mc.fit((pairs, outcomes.to_pandas().drop(columns="score")))
