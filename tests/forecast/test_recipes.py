"""A recipe is a method of its own to all that learns: its own rows, its own evidence."""

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.training import learnable, training_rows
from mergecast.forecast.validation.evaluate import evaluate
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from synthetic_suite import build_suite

STRONGER = "ties(scaling=1)"
OWN = "ties(weights={t00: 2, t01: 1})"


@pytest.fixture
def tables():
    """Six models merged by ties, and again stronger, where each member keeps half of it."""
    pairs, usual = build_suite("metric", n_tasks=6)
    pairs["kept@ties"], pairs[f"kept@{STRONGER}"] = 0.1, np.linspace(0.2, 0.3, len(pairs))
    half = usual.assign(score=usual["score"] / 2, retention=usual["retention"] / 2)
    outcomes = pd.concat([usual.assign(recipe="ties"), half.assign(recipe=STRONGER)])
    return PairTable(pairs), OutcomeTable(outcomes)


def beside(outcomes, recipe, sets):
    """The outcomes, and some sets merged by another recipe, too."""
    frame = outcomes.frame
    more = frame[(frame["recipe"] == "ties") & frame["members"].isin(sets)]
    return OutcomeTable(pd.concat([frame, more.assign(recipe=recipe)]))


def test_rows_of_a_recipe_have_its_own_outcomes_and_evidence(tables):
    pairs, _ = tables
    rows = training_rows(*tables)
    assert [*rows] == ["ties", STRONGER]
    assert rows[STRONGER].y == pytest.approx(rows["ties"].y / 2)
    assert set(rows["ties"].X["kept"]) == {0.1}
    assert set(rows[STRONGER].X["kept"]) == {*pairs.frame[f"kept@{STRONGER}"]}


def test_a_forecaster_says_nothing_of_a_recipe_that_it_was_not_fitted_on(tables):
    pairs, outcomes = tables
    both = Forecaster.fit(pairs, outcomes, "constant").forecast(pairs).rows
    means = both.groupby("method")["retention"].mean()
    assert means[STRONGER] == pytest.approx(means["ties"] / 2)
    usual = Forecaster.fit(pairs, outcomes.keep(outcomes.frame["recipe"] == "ties"), "constant")
    assert set(usual.forecast(pairs).rows["method"]) == {"ties"}  # though its evidence is there
    with pytest.raises(UsageError) as error:
        usual.only([STRONGER])
    assert str(error.value) == (
        "recipe ties(scaling=1): was never fitted by forecaster in memory (there: ties); fit on "
        "outcomes of merges by it; other strengths are other merges"
    )


@pytest.mark.parametrize(
    ("recipe", "sets", "why"),
    [
        ("ties(scaling=2)", ["t00+t01", "t01+t02"], "too few of its pairs were measured"),
        # Four models, and no pair beside the second one.
        ("ties(scaling=2)", ["t00+t01", "t01+t02", "t02+t03"], "too few of its pairs"),
        (OWN, ["t00+t01"], "it is of its own models alone"),
    ],
)
def test_a_recipe_that_nothing_can_be_learned_of_costs_the_others_nothing(
    tables, recipe, sets, why
):
    pairs, outcomes = tables
    more = beside(outcomes, recipe, sets)
    one, other = (Forecaster.fit(pairs, table, "ridge").file for table in (outcomes, more))
    assert one.tiers == other.tiers
    assert f"{recipe} left out: {why}" in other.training.notes[0]
    found = evaluate(pairs, more, "l2to", ["ridge"])
    pd.testing.assert_frame_equal(
        found.results, evaluate(pairs, outcomes, "l2to", ["ridge"]).results
    )
    assert f"{recipe} left out: {why}" in found.notes[0]


def test_where_all_were_measured_on_few_pairs_all_are_taken(tables):
    pairs, outcomes = tables
    few = outcomes.keep(outcomes.frame["members"].isin(["t00+t01", "t01+t02"]))
    assert learnable(few) == (["ties", STRONGER], [])
    with pytest.raises(UsageError, match="no pair is left to train on"):
        Forecaster.fit(pairs, few, "ridge")
