import numpy as np
import pandas as pd
import pytest

from mergecast.errors import TableError
from mergecast.forecast.decisions import (
    method_regret,
    partner_regret,
    rank_sets,
    set_forecasts,
    set_scores,
)


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


def sets(seed=0, n=7):
    """Directed pair retentions, and triples in which each partner costs a factor of its own."""
    random = np.random.default_rng(seed)
    names = [f"m{k}" for k in range(n)]
    cost = dict(zip(names, random.uniform(0.75, 1.0, n), strict=True))
    pairs, triples = [], []
    for i in names:
        for j in names:
            if i == j:
                continue
            left, right = sorted((i, j))
            pairs.append(("s", left, right, "ties", i, cost[j]))
        for j in names:
            for k in names:
                if i < j < k:
                    for member in (i, j, k):
                        others = [cost[m] for m in (i, j, k) if m != member]
                        triples.append((f"{i}+{j}+{k}", member, float(np.prod(others))))
    directed = pd.DataFrame(
        pairs, columns=["suite", "left", "right", "method", "member", "retention"]
    )
    table = pd.DataFrame(triples, columns=["members", "task", "retention"])
    table = table.assign(suite="s", method="ties", score=table["retention"], single_score=1.0)
    return directed, table.assign(loss=0.1, single_loss=0.1, n_eval=100, seed=0)


def test_directed_pairs_forecast_sets_at_least_as_well_as_the_mean_of_pairs():
    directed, table = sets()
    found = set_scores(set_forecasts(directed, table)).set_index("rule")
    assert found["n_sets"].tolist() == [35, 35]
    assert found.loc["directed", "r"] > 0.9
    assert found.loc["directed", "mae"] < 0.6 * found.loc["pair_mean", "mae"]


def test_a_set_with_an_unknown_pair_is_missing_and_no_set_is_an_error():
    directed, table = sets(n=4)
    some = directed[~((directed["left"] == "m0") & (directed["right"] == "m1"))]
    found = set_forecasts(some, table).set_index("members")
    assert np.isnan(found.loc["m0+m1+m2", "pair_mean"])
    assert np.isfinite(found.loc["m0+m2+m3", "directed"])
    only_pairs = table.assign(members="m0+m1", task=["m0", "m1"] * 6)
    with pytest.raises(TableError, match="no set of three or more"):
        set_forecasts(directed, only_pairs.iloc[:2])


def test_sets_are_ranked_best_first():
    directed, _ = sets()
    ranked = rank_sets(directed, "s", "ties", [f"m{k}" for k in range(7)], 3)
    assert len(ranked) == 35
    assert ranked["retention"].is_monotonic_decreasing
