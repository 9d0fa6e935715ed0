"""The tables and the forecaster that come with the code were made by this version of it."""

from dataclasses import replace
from pathlib import Path

from mergecast.forecast.forecaster import Forecaster
from mergecast.suites.folder import read_run
from mergecast.suites.pair_table import pairs_versions
from mergecast.tables.runs import load_run

COMMITTED = Path(__file__).parents[2] / "src" / "mergecast" / "data" / "measured" / "digits-14"


def test_no_number_in_the_committed_tables_is_stale():
    plan = read_run(COMMITTED)
    pairs, outcomes = load_run(COMMITTED)
    assert pairs.versions
    assert outcomes.versions
    again = "run the suite again and commit its tables"
    assert pairs.stale(pairs_versions(plan)) == [], again
    assert outcomes.stale(plan.stages()) == [], again


def test_no_number_in_the_shipped_forecaster_is_stale():
    plan = read_run(COMMITTED)
    shipped = Forecaster.load("digits-14")
    versions = shipped.file.training.versions
    assert versions
    assert versions.items() <= {**pairs_versions(plan), **plan.stages()}.items(), "fit it again"


def test_a_stage_that_was_raised_since_is_named():
    plan = read_run(COMMITTED)
    current = pairs_versions(plan)
    pairs, _ = load_run(COMMITTED)
    before = replace(pairs, versions={**current, "retention": current["retention"] - 1})
    assert before.stale(current) == ["retention"]
