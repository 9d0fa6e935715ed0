"""Measured sets move the ranking of all sets of their size."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import UsageError
from mergecast.forecast.measured_sets import rank_with_measured
from mergecast.forecast.sets import rank_all_sets
from mergecast.tables.outcomes import OutcomeTable

LABELS = "abcdef"


@pytest.fixture
def rows():
    """Pairs of six models by two methods: what a member keeps is its own affair."""
    own = dict(zip(LABELS, (0.98, 0.95, 0.92, 0.9, 0.88, 0.85), strict=True))
    return pd.DataFrame(
        {"suite": "", "method": method, "left": left, "right": right, "member": member,
         "retention": own[member], "lower": own[member] - 0.05, "upper": own[member] + 0.05}
        for left, right in combinations(LABELS, 2) for method in ("ties", "tsv")
        for member in (left, right)
    )  # fmt: skip


def outcomes(kept, method="ties"):
    """Measured sets: name to what every member keeps, in order."""
    return OutcomeTable(
        pd.DataFrame(
            {"method": method, "members": name, "task": member, "score": value,
             "single_score": 1.0, "n_eval": 5000}
            for name, values in kept.items()
            for member, value in zip(name.split("+"), values, strict=True)
        )
    )  # fmt: skip


def by_set(table, method="ties"):
    return table[table["method"] == method].set_index("members")["retention"]


def test_what_size_does_to_a_method_is_learned_from_a_few_sets(rows):
    seen = {"a+b+c": (0.88, 0.85, 0.82), "d+e+f": (0.8, 0.78, 0.75), "a+c+e": (0.88, 0.82, 0.78)}
    before, (after, use) = rank_all_sets(rows, 3), rank_with_measured(rows, 3, outcomes(seen), 0.9)
    cold, warm = by_set(before), by_set(after)
    for name, kept in seen.items():
        assert warm[name] == pytest.approx(np.mean(kept), abs=0.01)
    others = [name for name in cold.index if name not in seen]
    assert len(others) == 17
    assert (warm - cold)[others].to_numpy() == pytest.approx([-0.1] * 17, abs=0.02)
    # What size does to one method says nothing of another.
    assert by_set(after, "tsv").to_numpy() == pytest.approx(by_set(before, "tsv"), abs=0.005)
    assert use.sentence.startswith("3 measured sets of 3 of this family used (ties): forecasts of")
    assert use.n_moved == 37
    measured = after[after["basis"] == "measured"]
    assert set(measured["members"]) == {*seen}
    assert after["lower"].notna().equals(after["basis"] == "measured")
    # Five thousand samples a member: each is known to 0.008 or better, their mean to 0.005.
    half = (measured["upper"] - measured["retention"]).to_numpy()
    assert (half > 0).all()
    assert half.max() < 1.645 * 0.008
    worst = after.set_index(["method", "members"]).loc[("ties", "d+e+f")]
    assert (worst["worst_member"], worst["worst_retention"]) == ("f", pytest.approx(0.75, abs=0.01))


def test_a_member_that_loses_more_in_sets_loses_more_in_all_of_them(rows):
    seen = {"a+b+c": (0.78, 0.94, 0.91), "a+d+e": (0.77, 0.89, 0.87)}
    after, _ = rank_with_measured(rows, 3, outcomes(seen), 0.9)
    change = by_set(after) - by_set(rank_all_sets(rows, 3))
    assert change["a+b+f"] < change["b+d+f"] - 0.02


def test_a_set_without_forecast_that_was_measured_is_what_was_measured(rows):
    rows.loc[(rows["left"] == "a") & (rows["right"] == "b"), "retention"] = np.nan
    after, _ = rank_with_measured(rows, 3, outcomes({"a+b+c": (0.9, 0.8, 0.7)}), 0.9)
    assert by_set(after)["a+b+c"] == pytest.approx(0.8, abs=1e-3)
    assert np.isnan(by_set(after)["a+b+d"])


def test_sets_of_other_sizes_and_strangers_are_refused(rows):
    with pytest.raises(UsageError, match=r"of 3 models, where forecasts are of 4"):
        rank_with_measured(rows, 4, outcomes({"a+b+c": (0.9, 0.9, 0.9)}), 0.9)
    with pytest.raises(UsageError, match=r"not forecast here \(x\)"):
        rank_with_measured(rows, 3, outcomes({"a+b+x": (0.9, 0.9, 0.9)}), 0.9)
