import numpy as np
import pandas as pd
import pytest

from mergecast.forecast.validation.decisions import method_regret, partner_regret


def predictions(rows):
    """(method, fold, left, right, member, predicted, measured) of one predictor."""
    columns = ["method", "fold", "left", "right", "member", "predicted", "measured"]
    return pd.DataFrame(rows, columns=columns).assign(suite="s", predictor="p")


def pair(method, right, predicted, measured):
    both = zip(("a", right), predicted, measured, strict=True)
    return [(method, "a", "a", right, member, x, y) for member, x, y in both]


TWO_METHODS = predictions(
    [
        *pair("ties", "b", (0.95, 0.95), (0.88, 0.88)),
        *pair("tsv", "b", (0.9, 0.9), (1.0, 1.0)),
        *pair("ties", "c", (0.99, 0.8), (0.9, 0.7)),
        *pair("tsv", "c", (0.5, 0.5), (0.7, 0.7)),
    ]
)


def test_regret_is_what_the_best_method_kept_less_what_the_chosen_one_did():
    found = method_regret(TWO_METHODS).iloc[0]
    assert found["n_pairs"] == 2
    assert found["regret"] == pytest.approx((0.12 + 0.0) / 2)
    assert found["fixed_method"] == "tsv"
    assert found["fixed_regret"] == pytest.approx((0.0 + 0.1) / 2)
    assert found["chosen_best"] == 0.5


def test_refusing_is_right_where_the_worst_member_fell():
    found = method_regret(TWO_METHODS, threshold=0.85).iloc[0]
    assert found["refused"] == 0.5
    assert found["refused_rightly"] == 1
    assert found["bad_merges"] == 0
    never = method_regret(TWO_METHODS, threshold=0.1).iloc[0]
    assert never["refused"] == 0
    assert np.isnan(never["refused_rightly"])


def test_a_pair_without_outcome_under_a_method_stays_out():
    table = TWO_METHODS[~((TWO_METHODS["right"] == "c") & (TWO_METHODS["method"] == "tsv"))]
    assert method_regret(table).iloc[0]["n_pairs"] == 1


def test_partners_are_ranked_within_the_held_out_task():
    table = predictions(
        [
            *pair("ties", "b", (0.9, 0.9), (0.8, 0.8)),
            *pair("ties", "c", (0.8, 0.8), (0.9, 0.9)),
            *pair("ties", "d", (0.7, 0.7), (0.4, 0.4)),
        ]
    )
    found = partner_regret(table).iloc[0]
    assert found["regret"] == pytest.approx(0.1)
    assert found["random_regret"] == pytest.approx(0.9 - 0.7)
    assert found["rho"] == pytest.approx(0.5)
    # A forecast that tells no partner apart chooses at random.
    same = partner_regret(table.assign(predicted=0.5)).iloc[0]
    assert same["regret"] == pytest.approx(same["random_regret"])
