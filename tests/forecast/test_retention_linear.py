import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mergecast.errors import UsageError
from mergecast.forecast.estimators.retention_linear import (
    LABELLED,
    SUPERPOSED,
    UNLABELLED,
    RetentionLinear,
    SuperposedLinear,
)
from mergecast.forecast.estimators.stored_linear import LinearModel
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.evaluate import evaluate


@pytest.fixture
def suite(make_suite):
    """Retention is 0.5 + 0.4 kept + 0.2 overlap; `kept` is a number of each model alone."""
    pairs, outcomes = make_suite("metric", n_tasks=8, methods=("ties", "tsv"))
    random = np.random.default_rng(0)
    tasks = sorted({*pairs["left"], *pairs["right"]})
    kept = dict(zip(tasks, random.uniform(0.3, 0.9, len(tasks)), strict=True))
    pairs["right_subspace_overlap_top_k"] = random.uniform(0, 1, len(pairs))
    for method, sign in (("ties", 1.0), ("tsv", -1.0)):
        for side, arrow in (("left", "left<-right"), ("right", "right<-left")):
            column = f"{UNLABELLED[0]}@{method}:{arrow}"
            pairs[column] = sign * pairs[side].map(kept)
    overlap = {
        f"{left}+{right}": value
        for left, right, value in pairs[
            ["left", "right", "right_subspace_overlap_top_k"]
        ].itertuples(index=False)
    }
    outcomes["retention"] = (
        0.5 + 0.4 * outcomes["task"].map(kept) + 0.2 * outcomes["members"].map(overlap)
    )
    return pairs, outcomes.assign(score=outcomes["retention"] * outcomes["single_score"])


@pytest.mark.filterwarnings("ignore:Skipping check:UserWarning")
@parametrize_with_checks([RetentionLinear(), SuperposedLinear()])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_two_coefficients_are_found_and_hold_for_tasks_never_seen(suite):
    rows = training_rows(*suite)["ties"]
    unseen = np.isin(rows.groups, ["t00", "t01"]).any(axis=1)
    fitted = RetentionLinear().fit(rows.X[~unseen], rows.y[~unseen])
    assert fitted.used_ == [UNLABELLED[0], "right_subspace_overlap_top_k"]
    assert np.abs(fitted.predict(rows.X[unseen]) - rows.y[unseen]).max() < 1e-9
    assert np.count_nonzero(fitted.coef_) == 2


def test_a_method_reads_its_own_retention_only(suite):
    rows = training_rows(*suite)
    ties, tsv = (rows[method].X[UNLABELLED[0]] for method in ("ties", "tsv"))
    assert (ties == -tsv).all()
    assert not [column for column in rows["ties"].X.columns if "@" in column]


def test_the_labelled_form_is_preferred(suite):
    rows = training_rows(*suite)["ties"]
    X = rows.X.assign(**{LABELLED[0]: rows.X[UNLABELLED[0]] ** 2})
    assert RetentionLinear().fit(X, rows.y).used_[0] == LABELLED[0]
    assert RetentionLinear(own=UNLABELLED).fit(X, rows.y).used_[0] == UNLABELLED[0]


def test_it_goes_no_further_than_its_reach(suite):
    rows = training_rows(*suite)["ties"]
    fitted = RetentionLinear().fit(rows.X, rows.y)
    far = rows.X.assign(**{UNLABELLED[0]: 1e6})
    assert fitted.predict(far).max() < 0.5 + 0.4 * 1.5 + 0.2 + 1e-9


def test_without_retention_metrics_it_says_what_to_compute(suite, make_suite):
    pairs, outcomes = make_suite("metric", n_tasks=6)
    rows = training_rows(pairs, outcomes)["ties"]
    with pytest.raises(UsageError, match="retention metrics: none of .* --tier activations"):
        RetentionLinear().fit(rows.X, rows.y)
    results = evaluate(pairs, outcomes, "l2to", ["retention"]).results.set_index("predictor")
    assert "not applicable: the pair table has none of" in results.loc["retention", "note"]
    usual = set(evaluate(pairs, outcomes, "l2to").results["predictor"])
    assert "ridge" in usual
    assert "retention" not in usual
    assert "retention" in set(evaluate(*suite, "l2to").results["predictor"])


def test_the_overlap_fades_out_beyond_its_range_and_retention_does_not(suite):
    rows = training_rows(*suite)["ties"]
    fitted = RetentionLinear().fit(rows.X, rows.y)
    stored = LinearModel.of(fitted, rows)
    overlap = rows.X["right_subspace_overlap_top_k"]
    width, row = overlap.max() - overlap.min(), rows.X.iloc[[0]]
    centre = row.assign(right_subspace_overlap_top_k=overlap.mean())
    at_edge, half_way, outside = (
        row.assign(right_subspace_overlap_top_k=overlap.max() + share * width)
        for share in (0.0, 0.5, 1.0)
    )
    plain = fitted.predict(centre)[0]
    assert fitted.predict(outside)[0] == pytest.approx(plain)
    effect = fitted.predict(at_edge)[0] - plain
    # Half way it would be twice the effect at the edge, and two thirds of that are left.
    assert fitted.predict(half_way)[0] - plain == pytest.approx(
        effect * (1 + 0.5 * width / (overlap.max() - overlap.mean())) * 2 / 3
    )
    less = row.assign(**{UNLABELLED[0]: rows.X[UNLABELLED[0]].min() - 0.2})
    least = row.assign(**{UNLABELLED[0]: rows.X[UNLABELLED[0]].min()})
    assert fitted.predict(least)[0] - fitted.predict(less)[0] == pytest.approx(0.4 * 0.2)
    for X in (centre, at_edge, half_way, outside, less):
        assert stored.predict(X)[0] == pytest.approx(fitted.predict(X))


@pytest.fixture
def superposed(suite):
    """The same rows where `kept` is superposed: a line of slope 0.4 and an overlap of 0.2."""
    rows = training_rows(*suite)["ties"]
    X = rows.X.rename(columns={UNLABELLED[0]: SUPERPOSED[0]})
    return X, rows.y, rows


def test_superposed_retention_is_a_forecast_and_its_slope_is_drawn_towards_one(superposed):
    X, y, rows = superposed
    fitted = SuperposedLinear(own=SUPERPOSED).fit(X, y)
    x, overlap = X[SUPERPOSED[0]], X["right_subspace_overlap_top_k"]
    stored = LinearModel.of(fitted, rows)
    assert stored.offset == SUPERPOSED[0]
    assert stored.fading == {SUPERPOSED[0]: 1.0, "right_subspace_overlap_top_k": 1.0}
    row = X.iloc[[0]]
    less, more = (row.assign(**{SUPERPOSED[0]: value}) for value in (x.min(), x.max()))
    slope = (fitted.predict(more) - fitted.predict(less))[0] / (x.max() - x.min())
    # Four fifths of the way from 1 to 0.4, as far as the two metrics do not go together.
    assert slope == pytest.approx(1 - 0.8 * 0.6, abs=0.03)
    found, reasons = stored.predict(X)
    assert found == pytest.approx(fitted.predict(X))
    assert stored.intercept + sum(r["contribution"] for r in reasons[0]) == pytest.approx(found[0])
    # In another family nothing is added.
    width = overlap.max() - overlap.min()
    other = X.assign(right_subspace_overlap_top_k=overlap.min() - 1.1 * width)
    assert fitted.predict(other) == pytest.approx(x)
    assert stored.predict(other)[0] == pytest.approx(fitted.predict(other))


def test_superposed_retention_that_was_constant_counts_as_it_is(superposed):
    X, y, rows = superposed
    X = X.assign(**{SUPERPOSED[0]: 0.5})
    fitted = SuperposedLinear(own=SUPERPOSED).fit(X, y)
    stored = LinearModel.of(fitted, rows)
    other = X.assign(**{SUPERPOSED[0]: 0.6})
    assert stored.predict(other)[0] == pytest.approx(stored.predict(X)[0] + 0.1)
    assert fitted.predict(other) == pytest.approx(stored.predict(other)[0])
