"""Merges of three and more models in an outcome table change nothing that is said of pairs."""

import json

import numpy as np
import pandas as pd
import pytest

from mergecast.analysis.analyse import analyse
from mergecast.analysis.audit import audit
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.validation.evaluate import evaluate
from mergecast.report.inputs import RunInputs
from mergecast.report.scores import sampling_errors
from mergecast.report.summary import summarise_run
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from synthetic_suite import build_suite

SETS = ("t00+t01+t02", "t01+t02+t03", "t00+t01+t02+t03")


@pytest.fixture
def tables():
    pairs, outcomes = build_suite("metric", n_tasks=6, methods=("ties", "tsv"))
    return PairTable(pairs), OutcomeTable(outcomes)


@pytest.fixture
def with_sets(tables):
    """The same outcomes and sets, of which one merge could not be evaluated."""
    _, outcomes = tables
    rows = []
    for method in ("ties", "tsv"):
        for number, members in enumerate(SETS):
            for task in members.split("+"):
                score = np.nan if method == "tsv" and number == 0 else 0.4 + 0.1 * number
                row = outcomes.frame[outcomes.frame["task"] == task].iloc[0].to_dict()
                row |= {"method": method, "recipe": method, "members": members, "score": score}
                rows.append(row | {"retention": score / row["single_score"]})
    return OutcomeTable(pd.concat([outcomes.frame, pd.DataFrame(rows)], ignore_index=True))


def same(one, other):
    assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("protocol", ["loto", "l2to"])
def test_validation_and_its_notes(tables, with_sets, protocol):
    pairs, outcomes = tables
    one = evaluate(pairs, outcomes, protocol, ["ridge"])
    other = evaluate(pairs, with_sets, protocol, ["ridge"])
    pd.testing.assert_frame_equal(one.predictions, other.predictions)
    pd.testing.assert_frame_equal(one.results, other.results)
    assert one.notes == other.notes


def test_the_forecaster(tables, with_sets):
    pairs, outcomes = tables
    one, other = (Forecaster.fit(pairs, table, "ridge").file for table in (outcomes, with_sets))
    assert one == other


def test_the_analyses(tables, with_sets):
    pairs, outcomes = tables
    bases = {"synthetic": dict.fromkeys(outcomes.frame["task"].unique(), 0.1)}
    one, other = (analyse(pairs, table, base_scores=bases) for table in (outcomes, with_sets))
    same(one.to_dict(), other.to_dict())


def test_the_report(tables, with_sets):
    pairs, outcomes = tables
    forecaster = Forecaster.fit(pairs, outcomes, "ridge")
    evaluation = evaluate(pairs, outcomes, "l2to", ["ridge"])
    found = [
        summarise_run(RunInputs(pairs, table), [evaluation], forecaster.forecast(pairs))
        for table in (outcomes, with_sets)
    ]
    same(*found)
    assert sampling_errors(with_sets) == sampling_errors(outcomes)
    assert set(sampling_errors(with_sets)) == {"ties", "tsv"}


def test_a_method_that_merged_larger_sets_alone(tables, with_sets):
    pairs, outcomes = tables
    rows = with_sets.frame
    larger = rows[rows["members"].isin(SETS) & (rows["method"] == "ties")]
    alone = OutcomeTable(pd.concat([outcomes.frame, larger.assign(method="dare", recipe="dare")]))
    codes = [finding.code for finding in audit(pairs, alone)]
    assert codes == [finding.code for finding in audit(pairs, outcomes)]
    assert set(alone.pairs()["method"]) == {"ties", "tsv"}
    assert set(evaluate(pairs, alone, predictors=["ridge"]).results["method"]) == {"ties", "tsv"}
