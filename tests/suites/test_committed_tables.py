"""The tables and the forecaster that come with the code were made by this version of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.shipped import HELD_OUT, MEASURED
from mergecast.suites.folder import read_run
from mergecast.suites.pair_table import pairs_versions
from mergecast.suites.tables import samples_path
from mergecast.tables.runs import load_run

LEARNED = sorted(path.parent for path in MEASURED.glob("*/suite.json"))
COMMITTED = [*LEARNED, *sorted(path.parent for path in HELD_OUT.glob("*/suite.json"))]


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_no_number_in_the_committed_tables_is_stale(folder):
    plan = read_run(folder)
    pairs, outcomes = load_run(folder)
    assert pairs.versions
    assert outcomes.versions
    again = "run the suite again and commit its tables"
    assert pairs.stale(pairs_versions(plan)) == [], again
    assert outcomes.stale(plan.stages()) == [], again


WITH_SAMPLES = [one for one in COMMITTED if samples_path(one / "outcomes.parquet").exists()]


@pytest.mark.parametrize("folder", WITH_SAMPLES, ids=lambda folder: folder.name)
def test_the_scores_of_single_samples_are_those_of_the_outcomes(folder):
    _, outcomes = load_run(folder)
    samples = pd.read_parquet(samples_path(folder / "outcomes.parquet"))
    keys = ["suite", "recipe", "members", "task", "seed"]
    assert (samples[keys].to_numpy() == outcomes.frame[keys].to_numpy()).all()
    for scores, column in (("scores", "score"), ("single_scores", "single_score")):
        means = samples[scores].map(np.mean)
        assert np.allclose(means, outcomes.frame[column], atol=1e-12, equal_nan=True)


def test_no_number_in_the_shipped_forecaster_is_stale():
    shipped = Forecaster.load()
    current: dict[str, int] = {}
    for folder in LEARNED:
        plan = read_run(folder)
        current |= {**pairs_versions(plan), **plan.stages()}
    versions = shipped.file.training.versions
    assert versions
    assert versions.items() <= current.items(), "fit it again"
    labels = {read_run(folder).run.label for folder in LEARNED}
    assert set(shipped.file.training.suites) == labels


def test_what_is_held_out_had_no_part_in_the_fit():
    held_out = {load_run(folder)[0].suites[0] for folder in COMMITTED} - {
        load_run(folder)[0].suites[0] for folder in LEARNED
    }
    assert held_out == {"text-15/minilm-l6/lora"}
    assert not held_out & set(Forecaster.load().file.training.suites)


def test_a_stage_that_was_raised_since_is_named():
    plan = read_run(COMMITTED[0])
    current = pairs_versions(plan)
    pairs, _ = load_run(COMMITTED[0])
    before = replace(pairs, versions={**current, "retention": current["retention"] - 1})
    assert before.stale(current) == ["retention"]


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_cards_name_the_archives_that_the_suites_pin(folder):
    card = (folder / "card.md").read_text("utf-8")
    pinned = getattr(read_run(folder).run.suite, "packages", ())
    assert bool(pinned) == (folder.name != "digits-14")
    assert [one.sha256 for one in pinned if one.sha256 not in card] == []
