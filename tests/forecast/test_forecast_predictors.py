import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.estimators.baselines import PartnerMean
from mergecast.forecast.estimators.linear import TaskLasso, TaskRidge
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.rows import without_identity
from mergecast.forecast.splitters import LeaveOneTaskOut
from mergecast.forecast.training import training_rows


@pytest.mark.filterwarnings("ignore:Skipping check:UserWarning")
@parametrize_with_checks([TaskRidge(), TaskLasso()])
def test_scikit_learn_accepts_them(estimator, check):
    check(estimator)


def test_the_registry_says_which_predictors_need_known_partners():
    assert {p.name for p in PREDICTORS if p.warm} == {"partner_mean", "additive_plus_warm"}
    assert {"constant", "ridge", "lasso", "paper"} <= set(PREDICTORS.names())
    for predictor in PREDICTORS:
        assert clone(predictor.make()) is not None


@pytest.mark.parametrize("estimator", [TaskRidge(), TaskLasso()])
def test_a_metric_that_decides_is_found_and_a_constant_column_is_harmless(estimator, make_suite):
    rows = training_rows(*make_suite("metric"))["ties"]
    estimator.fit(rows.X, rows.y)
    effect = dict(zip(estimator.feature_names_in_, estimator.coef_, strict=True))
    assert effect["reach"] == pytest.approx(0.04 * rows.X["reach"].std(ddof=0), rel=0.1)
    assert abs(effect["cosine"]) < 0.005
    assert effect["flat"] == 0
    assert np.corrcoef(estimator.predict(rows.X), rows.y)[0, 1] > 0.99


def test_coefficients_are_those_of_scikit_learn_at_the_chosen_penalty(make_suite):
    rows = training_rows(*make_suite("metric"))["ties"]
    X = without_identity(rows.X).drop(columns="flat")
    Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    ridge, lasso = TaskRidge().fit(X, rows.y), TaskLasso().fit(X, rows.y)
    expected = Ridge(alpha=ridge.penalty_ * len(rows.y)).fit(Z, rows.y)
    assert ridge.coef_ == pytest.approx(expected.coef_, abs=1e-10)
    assert ridge.intercept_ == pytest.approx(expected.intercept_)
    expected = Lasso(alpha=lasso.penalty_, tol=1e-10).fit(Z, rows.y)
    # The path stops at scikit-learn's default tolerance.
    assert lasso.coef_ == pytest.approx(expected.coef_, abs=1e-4)


def test_shifts_of_tasks_do_not_shrink_a_metric_that_tells_pairs_apart(make_suite):
    pairs, outcomes = make_suite("metric", n_tasks=10, seed=3)
    shift = dict(zip(sorted(outcomes["task"].unique()), np.linspace(-0.05, 0.05, 10), strict=True))
    outcomes["retention"] += outcomes["task"].map(shift)
    outcomes["score"] = outcomes["retention"] * outcomes["single_score"]
    rows = training_rows(pairs, outcomes)["ties"]
    effect = dict(
        zip(
            TaskRidge().fit(rows.X, rows.y).feature_names_in_,
            TaskRidge().fit(rows.X, rows.y).coef_,
            strict=True,
        )
    )
    assert effect["reach"] == pytest.approx(0.04 * rows.X["reach"].std(ddof=0), rel=0.4)


def test_the_lasso_ends_at_the_constant_where_metrics_say_nothing(make_suite):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 5))
    y = generator.normal(size=60)
    # Residuals orthogonal to every metric: no coefficient can help.
    centred = X - X.mean(axis=0)
    y = y - y.mean() - centred @ np.linalg.lstsq(centred, y, rcond=None)[0]
    fitted = TaskLasso().fit(X, y)
    assert not fitted.coef_.any()
    assert fitted.predict(X) == pytest.approx(np.full(60, y.mean()))


def test_two_tasks_leave_nothing_to_choose_by_and_give_the_strongest_penalty(make_suite):
    rows = training_rows(*make_suite(n_tasks=2))["ties"]
    assert TaskRidge().fit(rows.X, rows.y).penalty_ == 1000
    assert not TaskLasso().fit(rows.X, rows.y).coef_.any()


def test_partner_mean_is_the_mean_outcome_of_the_partners_other_pairs(make_suite):
    rows = training_rows(*make_suite("additive", n_tasks=5))["ties"]
    groups = rows.groups
    train = ~(groups == "t00").any(axis=1)
    test = (groups == ("t00", "t03")).all(axis=1)
    model = PartnerMean().fit(rows.X[train], rows.y[train])
    others = train & (groups == "t03").any(axis=1)
    assert model.predict(rows.X[test]).mean() == pytest.approx(rows.y[others].mean())


def test_partner_mean_of_two_new_models_is_undefined_not_a_number(make_suite):
    rows = training_rows(*make_suite(n_tasks=5))["ties"]
    model = PartnerMean().fit(rows.X.iloc[-2:], rows.y[-2:])
    with pytest.raises(UndefinedError, match=r"t00 \+ t01 .*no outcome of either model is known"):
        model.predict(rows.X.iloc[:2])
    other_suite = rows.X.iloc[-2:].assign(suite="elsewhere")
    with pytest.raises(UndefinedError, match="elsewhere"):
        model.predict(other_suite)
    with pytest.raises(UsageError, match="give a frame with columns suite, member, partner"):
        PartnerMean().fit(np.zeros((3, 2)), np.zeros(3))


def test_they_work_in_cross_val_predict_with_a_task_splitter(make_suite):
    rows = training_rows(*make_suite("metric"))["ties"]
    first = (rows.groups == "t00").any(axis=1)
    one_fold = [(np.flatnonzero(~first), np.flatnonzero(first))]
    by_hand = TaskLasso().fit(rows.X[~first], rows.y[~first]).predict(rows.X[first])
    splits = list(LeaveOneTaskOut().split(groups=rows.groups))
    assert [list(part) for part in splits[0]] == [list(part) for part in one_fold[0]]
    halves = [(np.arange(28), np.arange(28, 56)), (np.arange(28, 56), np.arange(28))]
    assert len(cross_val_predict(TaskLasso(), rows.X, rows.y, cv=halves)) == 56
    assert np.corrcoef(by_hand, rows.y[first])[0, 1] > 0.9
