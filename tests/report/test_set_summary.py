import json
from itertools import combinations

import numpy as np
import pandas as pd

from mergecast.forecast.sets import rank_all_sets
from mergecast.report.set_summary import SHOWN, summarise_sets


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


def test_a_long_ranking_keeps_its_head():
    names = "abcdefg"
    found = summarise_sets(rank_all_sets(member_rows(names), 3))
    assert found["n_sets"] == 35
    for entry in found["methods"]:
        kept = [ranked["predicted"] for ranked in entry["ranking"]]
        assert len(kept) == SHOWN
        assert kept == sorted(kept, reverse=True)
