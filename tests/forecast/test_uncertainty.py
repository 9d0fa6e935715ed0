from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.evaluate import evaluate
from mergecast.forecast.validation.uncertainty import permuted_outcomes, relabelled_r


def test_intervals_over_tasks_contain_the_scores_and_depend_on_the_seed_alone(make_suite):
    suite = make_suite("metric", n_tasks=7, noise=0.03)
    first, again, other = (
        evaluate(*suite, predictors=["ridge"], bootstrap=40, seed=seed).results.set_index(
            "predictor"
        )
        for seed in (0, 0, 1)
    )
    for score in ("per_fold_r", "pooled_r", "mae"):
        low, value, high = first.loc["ridge", [f"{score}_low", score, f"{score}_high"]]
        assert low <= value <= high
        assert low < high
    assert first.equals(again)
    assert first.loc["ridge", "mae_low"] != other.loc["ridge", "mae_low"]
    assert np.isnan(first.loc["constant", "per_fold_r_low"])


@pytest.mark.parametrize(("cause", "found"), [("metric", True), ("noise", False)])
def test_the_permutation_null_tells_a_cause_from_noise(cause, found, make_suite):
    suite = make_suite(cause, n_tasks=8, seed=4)
    row = evaluate(*suite, predictors=["lasso"], null=9).results.set_index("predictor").loc["lasso"]
    # One of ten at least: nine permutations cannot say less than 0.1.
    assert (row["p_pooled_r"] == pytest.approx(0.1)) == found
    assert row["null_pooled_r"] < 0.4


def test_permuted_outcomes_stay_outcomes_of_one_permutation_of_tasks(make_suite):
    rows = training_rows(*make_suite("additive", n_tasks=6, noise=0.0))["ties"]
    shuffled = permuted_outcomes(rows, seed=0)
    assert shuffled.X.equals(rows.X)
    assert sorted(shuffled.y) == pytest.approx(sorted(rows.y))
    assert not np.allclose(shuffled.y, rows.y)
    # With no noise each member has one retention: it must still have one.
    spread = shuffled.keys.assign(y=shuffled.y).groupby("member")["y"].std()
    assert spread.max() < 1e-12


def test_a_pair_whose_image_was_never_merged_is_left_out(make_suite):
    pairs, outcomes = make_suite("metric", n_tasks=6)
    rows = training_rows(pairs, outcomes[outcomes["members"] != "t00+t01"])["ties"]
    sizes = {permuted_outcomes(rows, seed).n_pairs for seed in range(6)}
    assert sizes <= {13, 14}
    assert 13 in sizes


def test_noise_of_seeds_is_nothing_for_what_draws_nothing(make_suite):
    suite = make_suite("metric", n_tasks=5, noise=0.03)
    found = evaluate(*suite, predictors=["ridge", "paper"], seeds=3).results.set_index("predictor")
    assert found.loc["ridge", "mae_seed_sd"] == 0
    assert found.loc["paper", "mae_seed_sd"] > 0


def test_every_result_has_rank_correlation_and_explained_share(make_suite):
    found = evaluate(*make_suite("metric", n_tasks=7), predictors=["ridge"]).results
    row = found.set_index("predictor").loc["ridge"]
    assert row["per_fold_rho"] > 0.9
    assert row["r2"] > 0.9
    assert found.set_index("predictor").loc["constant", "r2"] < 0


def forecast_of(value, models="abcdefgh", measured=None):
    rows = [(a, b, value(a, b)) for a, b in combinations(models, 2)]
    paired = pd.DataFrame(rows, columns=["left", "right", "predicted"])
    return paired.assign(measured=paired["predicted"] if measured is None else measured)


def test_chance_relabels_models_and_pairs_follow():
    # One model is bad. Chance meets it in one of eight draws: more than one of twenty.
    assert relabelled_r(forecast_of(lambda a, _: float(a == "a"))) == pytest.approx(1)
    # One pair of 28 is met more seldom; else r = (0 - 1/28 x 1/28) / (1/28 x 27/28).
    one = forecast_of(lambda a, b: float(a + b == "ab"))
    assert relabelled_r(one) == pytest.approx(-1 / 27)
    assert relabelled_r(one, seed=1) == relabelled_r(one, seed=1)


def test_chance_is_higher_where_few_models_decide_than_where_pairs_are_noise():
    draw = np.random.default_rng(0)
    level = dict(zip("abcdefgh", draw.normal(size=8), strict=True))
    by_models = relabelled_r(forecast_of(lambda a, b: level[a] + level[b]))
    by_pairs = relabelled_r(forecast_of(lambda *_: draw.normal()))
    assert 0.2 < by_pairs < by_models < 0.9


def test_pairs_whose_image_has_no_forecast_are_left_out_of_a_draw():
    whole = forecast_of(lambda a, b: float("a" in (a, b)))
    assert relabelled_r(whole.drop(index=0)) == pytest.approx(1)
    assert np.isnan(relabelled_r(forecast_of(lambda *_: 0.5, measured=np.arange(28.0))))
    assert np.isnan(relabelled_r(whole.iloc[:2]))
