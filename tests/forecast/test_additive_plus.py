from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from estimator_checks import expected_failures
from sklearn.utils.estimator_checks import parametrize_with_checks

from mergecast.forecast.estimators.additive_plus import AdditivePlus
from mergecast.forecast.estimators.descriptors import Descriptors
from mergecast.forecast.estimators.member_ridge import member_ridge
from mergecast.forecast.estimators.variance_components import fit_components, leave_out_residuals


@pytest.mark.filterwarnings("ignore:Skipping check:UserWarning")
@parametrize_with_checks([AdditivePlus(), member_ridge()], expected_failed_checks=expected_failures)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def directed(n=12, own=0.05, strength=0.03, slopes=0.0, reads_own=False, seed=0):
    """Rows of n models; partners' strength is a metric, slopes let members answer differently."""
    random = np.random.default_rng(seed)
    a, strong, vulnerable, metric = random.normal(size=(4, n))
    rows = []
    for i, j in permutations(range(n), 2):
        y = 0.8 + own * (metric[i] if reads_own else a[i])
        y -= (strength + slopes * vulnerable[i]) * strong[j]
        rows.append(
            {
                "suite": "s",
                "member": f"t{i:02d}",
                "partner": f"t{j:02d}",
                "reach": strong[j] + 0.05 * random.normal(),
                "keep": metric[i] + 0.05 * random.normal(),
                "noise": random.normal(),
                "y": y + 0.003 * random.normal(),
            }
        )
    table = pd.DataFrame(rows)
    return table.drop(columns="y"), table["y"].to_numpy()


def held_out(X, tasks, both):
    touched = X["member"].isin(tasks).astype(int) + X["partner"].isin(tasks)
    return touched == 0, (touched == 2) if both else (touched > 0)


def r(x, y):
    return np.corrcoef(x, y)[0, 1]


def test_warm_a_known_member_keeps_its_own_effect_and_a_new_partner_its_metrics():
    X, y = directed()
    train, test = held_out(X, ["t00"], both=False)
    predicted = AdditivePlus().fit(X[train], y[train]).predict(X[test])
    known = (X["member"] != "t00")[test].to_numpy()
    assert r(predicted[known], y[test][known]) > 0.99
    # Beside known partners the new member's own effect is unknown, its ups and downs are not.
    assert r(predicted[~known], y[test][~known]) > 0.98


def test_cold_metrics_alone_forecast_two_new_models():
    X, y = directed(n=16, own=0.05, reads_own=True)
    train, test = held_out(X, ["t00", "t01", "t02", "t03"], both=True)
    fitted = AdditivePlus().fit(X[train], y[train])
    assert fitted.own_metrics_
    assert r(fitted.predict(X[test]), y[test]) > 0.95


def test_own_metrics_that_say_nothing_are_left_out():
    X, y = directed(n=14, reads_own=False, seed=2)
    assert not AdditivePlus().fit(X, y).own_metrics_


def test_members_that_answer_differently_are_told_apart():
    X, y = directed(n=14, slopes=0.03, seed=1)
    beyond, forecast = [], []
    for task in ("t00", "t03", "t06", "t09", "t12"):
        train, test = held_out(X, [task], both=False)
        fitted = AdditivePlus().fit(X[train], y[train])
        known = X[test & (X["member"] != task)]
        own = pd.Series(y[train]).groupby(X["member"][train].to_numpy()).mean()
        mean = own.loc[known["member"]].to_numpy()
        forecast += list(fitted.predict(X[test])[X["member"][test] != task] - mean)
        beyond += list(y[known.index] - mean)
    assert r(forecast, beyond) > 0.95
    assert fitted.variances_["own × partner metrics"] > fitted.variances_["noise"]


def test_by_descriptors_names_do_not_matter():
    X, y = directed(n=10, reads_own=True)
    train, test = held_out(X, ["t00"], both=False)
    known = AdditivePlus(by_name=False).fit(X[train], y[train])
    before = known.predict(X[test])
    other = X[test].assign(
        member=X["member"][test].replace("t01", "stranger"),
        partner=X["partner"][test].replace("t01", "stranger"),
    )
    hit = (X["member"] == "t01")[test].to_numpy() | (X["partner"] == "t01")[test].to_numpy()
    # A stranger with one pair is read from that pair; all other rows are as before, nearly.
    assert known.predict(other)[~hit] == pytest.approx(before[~hit], abs=0.02)


def test_it_is_deterministic_and_blind_to_the_order_of_rows():
    X, y = directed(n=8)
    order = np.random.default_rng(0).permutation(len(y))
    one = AdditivePlus().fit(X, y).predict(X)
    assert np.array_equal(one, AdditivePlus().fit(X, y).predict(X))
    assert AdditivePlus().fit(X.iloc[order], y[order]).predict(X) == pytest.approx(one, abs=1e-8)


def test_models_of_one_name_in_two_suites_are_two_models():
    X, y = directed(n=8)
    fitted = AdditivePlus().fit(X, y)
    elsewhere = fitted.predict(X.assign(suite="other"))
    assert r(elsewhere, fitted.predict(X)) < 0.9


def test_ridge_on_parts_tells_fragile_members_from_costly_partners():
    X, y = directed(n=14, reads_own=True)
    parts, ridge = (step for _, step in member_ridge().fit(X, y).steps)
    own, partner = np.split(ridge.coef_, 2)
    effects = dict(zip(parts.feature_names_in_, own, strict=True))
    costs = dict(zip(parts.feature_names_in_, partner, strict=True))
    assert max(effects, key=lambda key: abs(effects[key])) == "keep"
    assert max(costs, key=lambda key: abs(costs[key])) == "reach"
    assert effects["keep"] > 0 > costs["reach"]


def test_metrics_are_split_into_own_partner_and_rest():
    X, _ = directed(n=10)
    member, partner = (X[side].to_numpy(dtype=str) for side in ("member", "partner"))
    metrics = X[["reach", "keep"]].to_numpy()
    parts = Descriptors.of_rows(metrics, member, partner).parts(metrics, member, partner)
    assert r(parts.other[:, 0], metrics[:, 0]) > 0.99
    assert r(parts.own[:, 1], metrics[:, 1]) > 0.99
    assert parts.own[:, 0].std() == pytest.approx(1.0)


def test_residuals_of_left_out_rows_are_those_of_a_refit():
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 6)
    K = (group[:, None] == group[None]).astype(float)
    y = random.normal(size=10)[group] + 0.5 * random.normal(size=60)
    fit = fit_components([K], y, max_iter=50)
    assert fit.theta == pytest.approx([1.0, 0.25], rel=0.8)
    rows = group == 3
    V = fit.theta[0] * K + fit.theta[1] * np.eye(60)
    inverse = np.linalg.inv(V[np.ix_(~rows, ~rows)])
    mean = inverse.sum(axis=0) @ y[~rows] / inverse.sum()
    by_hand = y[rows] - mean - V[np.ix_(rows, ~rows)] @ inverse @ (y[~rows] - mean)
    assert leave_out_residuals(fit, y, [rows])[0] == pytest.approx(by_hand, abs=1e-8)
