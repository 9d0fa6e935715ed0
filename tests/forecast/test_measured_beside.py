"""A measured pair's forecast from the others is what it would be had it not been measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_measured import forecast_rows, one, outcome, table

from mergecast.forecast.measured import with_measured
from mergecast.forecast.measured_beside import BESIDE_COLUMNS, beside_measured

MERGES = {
    "a+b": {"ties": 0.70, "tsv": 0.82},
    "a+c": {"ties": 0.75},
    "b+d": {"ties": 0.86, "tsv": 0.95},
    "c+e": {"tsv": 0.80},
}


def outcomes(merges=MERGES):
    return table(*(outcome(pair, kept, method) for pair, by in merges.items()
                   for method, kept in by.items()))  # fmt: skip


def some_forecast():
    random = np.random.default_rng(0)
    rows = forecast_rows()
    level = 0.9 + 0.05 * random.normal(size=len(rows))
    return rows.assign(retention=level, lower=level - 0.1, upper=level + 0.1)


def without(pair, rows):
    """The forecast of all, from measured pairs but one; it drops sizes of little weight."""
    rest = {name: by for name, by in MERGES.items() if name != pair}
    return with_measured(rows, outcomes(rest), 0.9)[0]


@pytest.mark.parametrize("pair", MERGES)
def test_it_is_the_forecast_without_the_pair(pair):
    cold = some_forecast()
    beside = beside_measured(cold, outcomes(), 0.9, {})
    again, (left, right) = without(pair, cold), pair.split("+")
    here = beside[(beside["left"] == left) & (beside["right"] == right)]
    assert len(here) == 2 * len(MERGES[pair])
    for row in here.itertuples():
        same = one(again, left, right, row.member, row.method)
        assert row.others == pytest.approx(same["retention"], abs=1e-5)
        first = one(cold, left, right, row.member, row.method)
        assert (row.before, row.before_lower) == (first["retention"], first["lower"])
        assert row.measured == pytest.approx(MERGES[pair][row.method])
        assert row.others_lower < row.others < row.others_upper


def test_where_the_forecaster_abstains_it_is_what_the_others_alone_say():
    cold = forecast_rows().assign(
        basis="abstained", retention=np.nan, lower=np.nan, upper=np.nan, note="out of domain: m"
    )
    beside = beside_measured(cold, outcomes(), 0.9, {})
    assert beside["before"].isna().all()
    for pair in MERGES:
        again, (left, right) = without(pair, cold), pair.split("+")
        for row in beside[(beside["left"] == left) & (beside["right"] == right)].itertuples():
            same = one(again, left, right, row.member, row.method)
            assert row.others == pytest.approx(same["retention"], abs=1e-5)
    only = {"a+b": {"ties": 0.7}, "c+d": {"tsv": 0.8}}
    alone = beside_measured(cold, outcomes(only), 0.9, {})
    assert alone[["before", "others", "mean"]].isna().all(axis=None)


def test_the_mean_of_the_others_is_by_method_and_without_the_pair():
    beside = beside_measured(some_forecast(), outcomes(), 0.9, {})
    ties = beside[(beside["method"] == "ties") & (beside["left"] == "a")]
    by_pair = ties.groupby("right")["mean"].mean()
    assert by_pair["b"] == pytest.approx((0.75 + 0.86) / 2)
    assert by_pair["c"] == pytest.approx((0.70 + 0.86) / 2)


def test_of_one_pair_there_is_only_what_was_said_before():
    beside = beside_measured(some_forecast(), outcomes({"a+b": {"ties": 0.7}}), 0.9, {})
    assert list(beside.columns) == BESIDE_COLUMNS
    assert len(beside) == 2
    assert beside["before"].notna().all()
    assert beside[["others", "others_lower", "others_upper", "mean"]].isna().all(axis=None)


def test_no_number_is_above_the_most_that_was_kept_elsewhere():
    cold = some_forecast().assign(retention=1.2, lower=1.1, upper=1.3)
    high = {"a+b": {"ties": 1.2}, "c+d": {"ties": 1.19}, "e+f": {"ties": 1.21}}
    beside = beside_measured(cold, outcomes(high), 0.9, {"ties": 1.0})
    assert (beside["others"] <= 1.21).all()
    last = beside[beside["left"] == "e"]
    assert (last["others"] <= 1.2).all()
    assert (last["others_upper"] <= 1.2).all()


def test_intervals_hold_the_share_that_they_say():
    random, inside = np.random.default_rng(1), []
    for _ in range(10):
        cold = forecast_rows()
        own = {name: 0.03 * random.normal() for name in "abcdef"}
        truth = 0.85 + cold["member"].map(own) + 0.02 * random.normal(size=len(cold))
        rows = cold.assign(truth=truth)
        merges = [
            {"method": "ties", "members": f"{row.left}+{row.right}", "task": row.member,
             "score": 0.8 * row.truth, "single_score": 0.8, "n_eval": 2000.0}
            for row in rows[rows["method"] == "ties"].itertuples()
        ]  # fmt: skip
        beside = beside_measured(cold, table(merges), 0.9, {})
        low, high = beside["others_lower"], beside["others_upper"]
        inside.append(((low <= beside["measured"]) & (beside["measured"] <= high)).mean())
    assert 0.8 <= np.mean(inside) <= 0.99


def test_a_pair_without_a_forecast_has_none_beside_it():
    cold = some_forecast()
    cold.loc[:1, ["retention", "lower", "upper"]] = np.nan
    beside = beside_measured(cold, outcomes(), 0.9, {})
    gone = pd.isna(beside["before"])
    assert gone.sum() == 2
    assert beside.loc[gone, "others"].isna().all()
    assert beside.loc[~gone, "others"].notna().all()
