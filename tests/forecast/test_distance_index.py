from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mergecast.forecast.estimators.distance_index import DISTANCES, DistanceIndex, distance_index
from mergecast.forecast.estimators.linear import TaskRidge
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import scores


@pytest.mark.filterwarnings("ignore:Skipping check:UserWarning")
@parametrize_with_checks([DistanceIndex()])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def far_apart(n_tasks=20, harm=0.05, outliers=0, seed=0):
    """Tables where a pair loses what its distances say, and outlying models much more."""
    random = np.random.default_rng(seed)
    names = [f"t{i:02d}" for i in range(n_tasks)]
    reach = dict(zip(names, random.normal(size=(n_tasks, 4)), strict=True))
    odd = dict(zip(names, 0.5 * (np.arange(n_tasks) < outliers), strict=True))
    pairs, outcomes = [], []
    for left, right in combinations(names, 2):
        distances = 5 + reach[left] + reach[right] + 0.1 * random.normal(size=4)
        others = {f"other{k}": random.normal() for k in range(24)}
        key = {"suite": "s", "left": left, "right": right}
        pairs.append(key | dict(zip(DISTANCES, distances, strict=True)) | others)
        for task in (left, right):
            retention = 1 - harm * (distances.mean() - 5) - odd[task] + 0.01 * random.normal()
            outcomes.append(
                {"suite": "s", "method": "ties", "members": f"{left}+{right}", "task": task}
                | {"score": retention, "single_score": 1.0, "retention": retention}
                | {"loss": 0.5, "single_loss": 0.4, "n_eval": 1000, "seed": 0}
            )
    return training_rows(pd.DataFrame(pairs), pd.DataFrame(outcomes))["ties"]


def test_it_finds_the_harm_and_shares_it_equally():
    rows = far_apart()
    fitted = distance_index().fit(rows.X, rows.y).regressor_
    metrics = rows.X.columns[3:]
    inside = metrics.isin(DISTANCES)
    assert np.all(fitted.coef_[~inside] == 0)
    assert np.ptp(fitted.coef_[inside]) == 0
    per_unit = fitted.coef_[inside].sum() / fitted.scale_[inside].mean()
    assert per_unit == pytest.approx(-0.05, abs=0.005)
    # Linear in the metrics, as a stored forecaster writes it.
    Z = (rows.X[metrics] - fitted.mean_) / fitted.scale_
    assert np.allclose(
        fitted.predict(rows.X[metrics]), fitted.intercept_ + Z.to_numpy() @ fitted.coef_
    )


def test_a_pair_of_new_models_is_forecast_where_a_hard_task_misleads_ridge():
    rows = far_apart(outliers=1)
    found = {
        name: scores(out_of_fold(rows, PREDICTORS.get(name), PROTOCOLS.get("l2to")))["mae"]
        for name in ("constant", "distance_index")
    }
    easy = (rows.groups != "t00").all(axis=1)
    for name, estimator in (("index", distance_index()), ("ridge", TaskRidge())):
        missed = estimator.fit(rows.X, rows.y).predict(rows.X[easy]) - rows.y[easy]
        found[name] = np.abs(missed).mean()
    assert found["distance_index"] < 0.9 * found["constant"]
    assert found["index"] < 0.015 < found["ridge"]


def test_distance_never_helps():
    rows = far_apart(harm=-0.05)
    fitted = distance_index().fit(rows.X, rows.y).regressor_
    pair_means = rows.y.reshape(-1, 2).mean(axis=1)
    assert np.all(fitted.coef_ == 0)
    assert fitted.intercept_ == np.median(pair_means)


def test_without_distances_it_is_the_median(make_suite):
    rows = training_rows(*make_suite("metric"))["ties"]
    predicted = distance_index().fit(rows.X, rows.y).predict(rows.X)
    assert np.ptp(predicted) == 0
    fewer = far_apart()
    X = fewer.X.drop(columns=list(DISTANCES[1:])).assign(task_vector_l2_distance=1.0)
    assert np.ptp(distance_index().fit(X, fewer.y).predict(X)) == 0


def test_a_constant_outcome_stays_constant():
    rows = far_apart()
    fitted = distance_index().fit(rows.X, np.full(len(rows.y), 0.9))
    assert np.allclose(fitted.predict(rows.X), 0.9)
