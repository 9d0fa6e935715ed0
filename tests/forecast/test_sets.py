import numpy as np
import pandas as pd
import pytest

from mergecast.errors import TableError, UsageError
from mergecast.forecast.sets import check_size, rank_sets, set_forecasts
from mergecast.forecast.validation.choices import set_scores


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
    assert (ranked["retention"] <= ranked["pair_mean"] + 1e-12).all()
    members = ranked["members"].str.split("+")
    assert all(worst in names for worst, names in zip(ranked["worst_member"], members, strict=True))
    assert (ranked["worst_retention"] <= ranked["retention"]).all()


def test_a_ranking_is_the_forecast_of_its_sets():
    directed, table = sets()
    ranked = rank_sets(directed, "s", "ties", [f"m{k}" for k in range(7)], 3)
    forecast = set_forecasts(directed, table).set_index("members")["directed"]
    assert ranked.set_index("members")["retention"].to_dict() == pytest.approx(forecast.to_dict())


def test_sets_of_two_are_the_pairs():
    directed, _ = sets(n=4)
    ranked = rank_sets(directed, "s", "ties", ["m0", "m1", "m2", "m3"], 2).set_index("members")
    pair = directed[(directed["left"] == "m0") & (directed["right"] == "m1")]
    assert len(ranked) == 6
    assert ranked.loc["m0+m1", "retention"] == pytest.approx(pair["retention"].mean())


def test_a_set_that_cannot_be_forecast_is_ranked_last_without_a_number():
    directed, _ = sets(n=4)
    some = directed[~((directed["left"] == "m0") & (directed["right"] == "m1"))]
    ranked = rank_sets(some, "s", "ties", ["m0", "m1", "m2", "m3"], 3)
    assert set(ranked["members"][2:]) == {"m0+m1+m2", "m0+m1+m3"}
    assert ranked.loc[2:, ["retention", "worst_retention", "pair_mean"]].isna().all(axis=None)
    assert (ranked["worst_member"][2:] == "").all()
    nothing = rank_sets(directed, "s", "tsv", ["m0", "m1", "m2"], 3)
    assert nothing["retention"].isna().all()


def test_a_member_that_loses_everything_keeps_nothing_in_a_set():
    directed, _ = sets(n=3)
    gone = directed.assign(retention=directed["retention"].where(directed["member"] != "m0", -0.1))
    ranked = rank_sets(gone, "s", "ties", ["m0", "m1", "m2"], 3)
    assert ranked["worst_member"].tolist() == ["m0"]
    assert ranked["worst_retention"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("size", "models", "message"),
    [
        (1, 5, "size of sets: is 1, of 5 models; give 2 to 5"),
        (6, 5, "size of sets: is 6, of 5 models; give 2 to 5"),
        (2, 1, "size of sets: is 2, of 1 models; give two models or more"),
        (8, 40, "40 models have 76,904,685 such sets; rank fewer models or smaller sets"),
    ],
)
def test_sizes_without_sets_or_with_too_many_are_refused(size, models, message):
    with pytest.raises(UsageError, match=message):
        check_size(size, models)
