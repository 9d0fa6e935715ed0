import json

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import UsageError
from mergecast.forecast.validation.evaluate import evaluate
from mergecast.forecast.validation.scoring import pearson
from recorded_progress import RecordedProgress


def by_predictor(evaluation):
    return evaluation.results.set_index("predictor")


def test_partner_mean_wins_where_outcomes_are_a_sum_of_task_effects(make_suite):
    found = by_predictor(
        evaluate(*make_suite("additive", n_tasks=10), predictors=["ridge", "lasso", "paper"])
    )
    assert found.loc["partner_mean", "per_fold_r"] > 0.95
    assert found["mae"].idxmin() == "partner_mean"
    assert found.loc["partner_mean", "warm"]


@pytest.mark.parametrize("protocol", ["loto", "l2to"])
def test_linear_predictors_win_where_a_metric_decides(protocol, make_suite):
    found = by_predictor(evaluate(*make_suite("metric", n_tasks=8), protocol, ["ridge", "lasso"]))
    for name in ("ridge", "lasso"):
        assert found.loc[name, "pooled_r"] > 0.98
        assert found.loc[name, "mae"] < 0.2 * found.loc["constant", "mae"]


def test_nothing_beats_the_constant_by_much_on_noise(make_suite):
    found = by_predictor(
        evaluate(*make_suite("noise", n_tasks=9, seed=5), "l2to", ["ridge", "lasso"])
    )
    assert found.loc[["ridge", "lasso"], "mae"].min() > 0.93 * found.loc["constant", "mae"]
    assert found.loc["lasso", "mae"] < 1.15 * found.loc["constant", "mae"]


def test_an_undefined_r_is_nan_and_counted(make_suite):
    loto = by_predictor(evaluate(*make_suite("metric", n_tasks=6)))
    assert np.isnan(loto.loc["constant", "per_fold_r"])
    assert loto.loc["constant", "n_undefined_folds"] == loto.loc["constant", "n_folds"] == 6
    assert loto.loc["ridge", "n_undefined_folds"] == 0
    l2to = by_predictor(evaluate(*make_suite("metric", n_tasks=6), "l2to"))
    assert l2to.loc["ridge", "n_undefined_folds"] == l2to.loc["ridge", "n_folds"] == 15


@pytest.mark.parametrize(
    ("x", "y"),
    [([1, 2], [3, 4]), ([1, 1, 1], [1, 2, 3]), ([0.1 + 0.2, 0.3, 0.3], [1, 2, 3])],
)
def test_r_of_two_points_or_of_a_constant_is_undefined(x, y):
    assert np.isnan(pearson(np.array(x, dtype=float), np.array(y, dtype=float)))


def test_warm_predictors_do_not_apply_to_two_unseen_tasks(make_suite):
    evaluation = evaluate(*make_suite(n_tasks=5), "l2to", ["lasso"])
    row = by_predictor(evaluation).loc["partner_mean"]
    assert row["note"].startswith("not applicable")
    assert row[["per_fold_r", "pooled_r", "mae", "coverage"]].isna().all()
    assert "partner_mean" not in set(evaluation.predictions["predictor"])


def test_baselines_stand_beside_whatever_is_asked_for(make_suite):
    evaluation = evaluate(*make_suite(n_tasks=4, methods=("ties", "dare")), "loto", ["ridge"])
    assert evaluation.results[["method", "predictor"]].to_numpy().tolist() == [
        [method, predictor]
        for method in ("dare", "ties")
        for predictor in ("constant", "partner_mean", "ridge")
    ]


def test_the_numbers_are_those_of_pairs_recomputed_from_the_predictions(make_suite):
    evaluation = evaluate(*make_suite("metric", n_tasks=6), predictors=["ridge"])
    rows = evaluation.predictions.query("predictor == 'ridge'")
    pairs = rows.groupby(["fold", "left", "right"])[["predicted", "measured"]].mean()
    expected = [
        np.corrcoef(fold["predicted"], fold["measured"])[0, 1] for _, fold in pairs.groupby("fold")
    ]
    row = by_predictor(evaluation).loc["ridge"]
    assert row["per_fold_r"] == pytest.approx(np.mean(expected))
    assert row["mae"] == pytest.approx((pairs["predicted"] - pairs["measured"]).abs().mean())
    # Under LOTO each of the 15 pairs stands in two folds, with two members each.
    assert (len(rows), row["n_pairs"]) == (60, 15)


def test_leave_one_suite_out_trains_on_the_other_suites(make_suite):
    one, two = make_suite(suite="a", n_tasks=6), make_suite(suite="b", n_tasks=6, seed=1)
    pairs, outcomes = (
        pd.concat(tables, ignore_index=True) for tables in zip(one, two, strict=True)
    )
    evaluation = evaluate(pairs, outcomes, "suite")
    found = by_predictor(evaluation)
    assert found.loc["lasso", "pooled_r"] > 0.98
    assert found.loc["lasso", "n_folds"] == 2
    assert found.loc["partner_mean", "note"].startswith("not applicable")
    with pytest.raises(UsageError, match=r"there is one only \('a'\)"):
        evaluate(*one, "suite")


def test_the_outcome_of_a_test_pair_never_reaches_its_own_prediction(make_suite):
    pairs, outcomes = make_suite("metric", n_tasks=6)
    changed = outcomes.copy()
    hit = changed["members"] == "t00+t01"
    changed.loc[hit, ["score", "retention"]] = [0.09, 0.1]
    before, after = (
        evaluate(pairs, table, "l2to", ["ridge", "lasso"]).predictions
        for table in (outcomes, changed)
    )
    mine = (before["left"] == "t00") & (before["right"] == "t01")
    assert before.loc[mine, "predicted"].equals(after.loc[mine, "predicted"])
    assert not before["predicted"].equals(after["predicted"])


def test_progress_counts_and_json_has_no_nan(make_suite):
    progress = RecordedProgress()
    evaluation = evaluate(
        *make_suite(n_tasks=5),
        "l2to",
        ["ridge", "lasso"],
        progress=progress,
    )
    assert progress.stages == {"validating (l2to)": [4, 4]}
    data = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert data["results"][1]["mae"] is None
    assert data["results"][0]["mae"] > 0


def test_unknown_names_say_what_exists(make_suite):
    with pytest.raises(UsageError, match=r"protocol 'lot': unknown; did you mean 'loto'\?"):
        evaluate(*make_suite(n_tasks=4), "lot")
    with pytest.raises(UsageError, match=r"predictor 'rigde': unknown; did you mean 'ridge'\?"):
        evaluate(*make_suite(n_tasks=4), predictors=["rigde"])


def test_one_screen_has_a_row_a_predictor(make_suite):
    evaluation = evaluate(*make_suite("metric", methods=("dare", "ties")), predictors=["ridge"])
    lines = repr(evaluation).splitlines()
    assert lines[0] == "Evaluation under loto: 2 merging methods, 3 predictors, 28 pairs"
    assert [line.split()[0] for line in lines[3:]] == ["constant", "partner_mean", "ridge"]
    assert max(map(len, lines)) <= 100
    assert "<table" in evaluation._repr_html_()
