import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.forecast.recommend import best_merges
from mergecast.forecast.sets import rank_all_sets
from mergecast.report.set_summary import ANSWERS, SHOWN, summarise_sets
from mergecast.report.set_terminal import set_parts


def member_rows(names):
    """Random forecasts of every pair of `names`, under two methods."""
    random = np.random.default_rng(0)
    rows = [
        ("toy", method, left, right, member, random.uniform(0.6, 1.0))
        for method in ("dare", "ties")
        for left, right in combinations(names, 2)
        for member in (left, right)
    ]
    columns = ["suite", "method", "left", "right", "member", "retention"]
    return pd.DataFrame(rows, columns=columns)


def test_what_cannot_be_forecast_is_counted_and_not_ranked():
    rows = member_rows("abcd")
    lost = (rows["method"] == "ties") & (rows["left"] == "a") & (rows["right"] == "b")
    rows.loc[lost, "retention"] = float("nan")
    found = summarise_sets(rank_all_sets(rows, 3))
    by_method = {entry["method"]: entry for entry in found["methods"]}
    assert by_method["dare"]["n_without"] == 0
    assert by_method["ties"]["n_without"] == 2
    members = [entry["members"] for entry in by_method["ties"]["ranking"]]
    assert sorted(members) == [["a", "c", "d"], ["b", "c", "d"]]
    json.dumps(found, allow_nan=False)


def test_sets_forecast_from_answers_are_shown_by_the_method_advised():
    sets = rank_all_sets(member_rows("abcd"), 3)
    sets["basis"] = "superposed"
    ties = sets["method"] == "ties"
    sets["retention"] = np.where(ties, 0.9, 0.8) + 0.01 * sets.groupby("method").cumcount()
    sets["lower"], sets["upper"] = sets["retention"] - 0.1, sets["retention"] + 0.1
    found = summarise_sets(sets)
    assert found["rule"] == ANSWERS
    assert [entry["method"] for entry in found["best"]] == ["ties"] * 4
    assert found["best"][0]["predicted"] == pytest.approx(0.93)
    assert found["best"][0]["lower"] == pytest.approx(0.83)
    said = [part for part in set_parts(found) if not isinstance(part, str)]
    assert said[0].title == "Best of 4 sets of 3, each by its method"
    assert said[0].rows[0][2] == "0.93 [0.83, 1.03]"
    # One that was measured counts as it is, however far it is from the others of its method.
    sets.loc[sets.index[0], ["retention", "basis"]] = 1.0, "measured"
    assert best_merges(sets)["method"].tolist().count("dare") == 1
    json.dumps(found, allow_nan=False)


def test_a_long_ranking_keeps_its_head():
    names = "abcdefg"
    found = summarise_sets(rank_all_sets(member_rows(names), 3))
    assert found["n_sets"] == 35
    for entry in found["methods"]:
        kept = [ranked["predicted"] for ranked in entry["ranking"]]
        assert len(kept) == SHOWN
        assert kept == sorted(kept, reverse=True)
