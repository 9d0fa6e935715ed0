"""Sets and strengths of a family of which one model cannot be judged."""

from __future__ import annotations

import pandas as pd
import pytest

import mergecast as mc
from mergecast.evidence.superposition import strengths
from mergecast.evidence.superposition.shifts import Shifts
from mergecast.testing.tiny import TinyTask, tiny_family, tiny_tasks

GIVEN = {"calibration": 24, "methods": ("ties", "weight_avg", "task_arithmetic"), "workers": 1}
METHODS = 3


class Regression(TinyTask):
    """Outputs that are values."""

    outputs, kind_name = "values", "regression"


@pytest.fixture
def tasks():
    return {**tiny_tasks(), "r": Regression("r", private=("head.*",))}


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path, "abcr")


def test_the_others_are_forecast_as_if_it_were_not_there(family, tasks):
    found = mc.forecast(family, tasks=tasks, sets=3, strengths=True, **GIVEN)
    alone = mc.forecast(family.subset("abc"), tasks=tasks, sets=3, strengths=True, **GIVEN)
    told = [one for one in found.warnings if "a regression has no classes" in one]
    assert told == [
        "r: a regression has no classes: sets with it go by their pairs, where these have a "
        "forecast and no strength is found of merges with it"
    ]
    pd.testing.assert_frame_equal(found.strengths, alone.strengths)
    pd.testing.assert_frame_equal(found.curves, alone.curves)
    mine = found.sets[found.sets["members"] == "a+b+c"].reset_index(drop=True)
    numbers = ["method", "members", "basis", "retention", "lower", "upper", "worst_member"]
    pd.testing.assert_frame_equal(mine[numbers], alone.sets[numbers])
    assert mine["lower"].notna().all()
    others = found.sets[found.sets["members"] != "a+b+c"]
    assert len(others) == 3 * METHODS
    assert set(others["basis"]) == {"pairs"}
    # Pairs with it have no forecast, and so its sets have none.
    assert others[["retention", "lower", "upper"]].isna().all(axis=None)
    [best] = mc.report(found)["sets"]["best"]
    assert best["members"] == ["a", "b", "c"]


def test_where_pairs_have_a_forecast_its_sets_go_by_them(family, tasks, monkeypatch):
    from mergecast.api import forecast_sets

    by_pairs = forecast_sets.rank_all_sets

    def known(rows, *more):
        return by_pairs(rows.assign(retention=rows["retention"].fillna(0.5)), *more)

    monkeypatch.setattr(forecast_sets, "rank_all_sets", known)
    found = mc.forecast(family, tasks=tasks, sets=3, **GIVEN).sets
    with_it = found["members"].str.contains("r")
    assert set(found.loc[with_it, "basis"]) == {"pairs"}
    assert found.loc[with_it, "retention"].between(0, 1).all()
    assert found.loc[with_it, "lower"].isna().all()
    assert set(found.loc[~with_it, "basis"]) == {"checked"}


def test_too_few_that_can_be_judged_are_said(family, tasks):
    tasks |= {label: Regression(label, private=("head.*",)) for label in "bc"}
    found = mc.forecast(family, tasks=tasks, strengths=True, **GIVEN)
    assert found.strengths is None
    assert any("no strengths: model 'b': a regression has no" in one for one in found.warnings)


def test_a_model_without_a_shift_of_its_own_costs_the_others_no_strength(
    family, tasks, monkeypatch
):
    products = strengths.products_of

    def frozen(shifts: Shifts, member: str):
        if member == "b":
            shifts.single["b"][:] = shifts.base["b"]
        return products(shifts, member)

    monkeypatch.setattr(strengths, "products_of", frozen)
    found = mc.forecast(family, tasks=tasks, strengths=True, **GIVEN)
    assert found.strengths["members"].tolist() == ["a+c"]
    [told] = [one for one in found.warnings if one.startswith("b: ")]
    assert told == "b: it answers as its base does: no strength is found of merges with it"


def test_a_search_by_a_scorer_has_sets_with_it(family, tasks):
    """Which a scorer judges; what is believed of them before is what others keep."""
    found = mc.search(
        family, tasks=tasks, size=3, budget=4, scorer=lambda path, label: 0.5, seed=1, **GIVEN
    )
    assert found.advice == "merge"
    assert any("r" in members.split("+") for members in found.tried["members"])
