import pandas as pd
import pytest

from mergecast.forecast.forecaster import Forecaster
from mergecast.report.known_outcomes import of_method, sentences
from synthetic_suite import build_suite


@pytest.fixture(scope="module")
def fitted():
    return Forecaster.fit(*build_suite("additive", n_tasks=6), "additive_plus_warm").file


def rows(*pairs, basis="warm"):
    entries = [("toy", left, right, "ties", basis) for left, right in pairs]
    return pd.DataFrame(entries, columns=["suite", "left", "right", "method", "basis"])


def test_nothing_is_said_where_no_suite_was_named(fitted):
    assert list(sentences(rows(("t00", "x")), fitted.warm["all"], None)) == []


def test_it_says_whose_outcomes_were_used_by_which_methods(fitted):
    told = rows(("t00", "x"), ("x", "y"))
    told.loc[1, "basis"] = "cold"
    other = told.assign(method="tsv", basis="cold")
    assert list(sentences(pd.concat([told, other]), fitted.warm["all"], "toy")) == [
        "Known outcomes of t00 (suite toy) were used for 1 of 2 pairs, by ties; not by tsv."
    ]


def test_it_says_why_none_were_used(fitted):
    warm = fitted.warm["all"]
    (strangers,) = sentences(rows(("x", "y"), basis="cold"), warm, "toy")
    assert strangers.startswith("No outcome of a known model was used: none of these models has")
    assert "suite toy (t00, t01, t02, t03, t04, t05)" in strangers
    (without,) = sentences(rows(("t00", "x"), basis="cold"), {}, "toy")
    assert "the forecaster has no model for them" in without
    (lacking,) = sentences(rows(("t00", "x"), basis="cold"), warm, "toy")
    assert "were not used: the pairs lack one of the metrics" in lacking
    assert "(cosine, flat, reach)" in lacking


def test_a_method_carries_both_errors_with_one_task_unseen(fitted):
    model = fitted.warm["all"]["ties"]
    entry = of_method(model, "constant")
    assert entry["mae"] < entry["cold_mae"]
    assert entry["sentence"].endswith(f"beside {entry['cold_mae']:.3f} without them.")
    assert of_method(None, "constant") is None
    silent = of_method(model, "ridge2")
    assert silent["sentence"] == "Its error with known outcomes is not in the file."
