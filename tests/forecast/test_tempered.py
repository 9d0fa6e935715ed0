"""Superposition drawn towards what a model keeps alone, and intervals that know how far that is."""

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import UsageError
from mergecast.forecast.estimators.tempered import Tempered, TemperedModel
from mergecast.forecast.fit import FitUnit, fit_cold
from mergecast.forecast.intervals import LEAST_APART, spread
from mergecast.forecast.method_forecast import interval_of_new
from mergecast.forecast.training import TrainingRows

X_NAME, A_NAME = "superposed_expected_unlabelled", "retention_expected_unlabelled"


def rows_of(superposed, alone, retention, suites=("one",)):
    """Two rows a pair, of as many pairs of different models as there are numbers."""
    n = len(retention)
    names = [(f"m{k // 2}a", f"m{k // 2}b")[:: 1 if k % 2 == 0 else -1] for k in range(n)]
    X = pd.DataFrame(names, columns=["member", "partner"])
    X.insert(0, "suite", [suites[k // 2 % len(suites)] for k in range(n)])
    X[X_NAME], X[A_NAME] = superposed, alone
    keys = pd.DataFrame([(*sorted(pair), pair[0]) for pair in names])
    keys = keys.set_axis(["left", "right", "member"], axis=1)
    keys.insert(0, "suite", X["suite"])
    return TrainingRows(X, np.asarray(retention, dtype=float), keys)


def test_a_fifth_of_the_way_where_much_is_lost_less_where_little_is():
    rows = rows_of([0.5, 0.95, 1.0, 1.1], [0.9, 0.99, 0.8, 0.8], [0.6, 0.9, 1.0, 1.0])
    fitted = Tempered().fit(rows.X, rows.y)
    # 0.5 loses more than a tenth; 0.95 half a tenth; 1 and more lose nothing.
    assert fitted.predict(rows.X) == pytest.approx([0.58, 0.95 + 0.1 * 0.04, 1.0, 1.1])
    assert (fitted.superposed_, fitted.alone_) == (X_NAME, A_NAME)


def test_the_form_with_labels_is_taken_where_both_of_its_metrics_are_there():
    rows = rows_of([0.5, 0.6], [0.7, 0.8], [0.6, 0.7])
    labelled = X_NAME.replace("un", "")
    lone = rows.X.assign(**{labelled: 0.4})
    assert Tempered().fit(lone, rows.y).superposed_ == X_NAME
    both = lone.assign(**{A_NAME.replace("un", ""): 0.8})
    assert Tempered().fit(both, rows.y).superposed_ == labelled
    with pytest.raises(UsageError, match="none of superposed_expected_labelled"):
        Tempered().fit(rows.X.drop(columns=A_NAME), rows.y)


def test_the_stored_form_says_the_same_why_and_how_far_its_sources_lie_apart():
    rows = rows_of([0.5, 0.95, 0.7, 0.8], [0.9, 0.99, 0.6, 0.8], [0.6, 0.9, 0.7, 0.8])
    fitted = Tempered().fit(rows.X, rows.y)
    stored = TemperedModel.model_validate_json(TemperedModel.of(fitted, rows).model_dump_json())
    numbers, reasons = stored.predict(rows.X)
    assert numbers == pytest.approx(fitted.predict(rows.X))
    assert stored.apart(rows.X) == pytest.approx([0.4, 0.04, 0.1, 0.0])
    mean = rows.X[X_NAME].mean()
    for row, number in zip(reasons, numbers, strict=True):
        assert mean + sum(one["contribution"] for one in row) == pytest.approx(number)
    assert [one["metric"] for one in reasons[0]] == [X_NAME, A_NAME]
    holed = rows.X.assign(**{A_NAME: [np.nan, 0.99, 0.6, 0.8]})
    assert np.isnan(stored.predict(holed)[0]).tolist() == [True, False, False, False]
    assert np.isnan(stored.apart(holed)[0])


def test_intervals_grow_with_how_far_the_sources_lie_apart():
    draw = np.random.default_rng(0)
    n = 400
    superposed, apart = draw.uniform(0.6, 0.9, n), draw.uniform(0.0, 0.3, n)
    alone = superposed + apart
    # Errors of a spread that is known: nine tenths of them are within 0.9 of it.
    spreads = LEAST_APART + np.abs(1 - (superposed + 0.25 * apart)) + apart
    y = superposed + 0.25 * apart + draw.uniform(-1, 1, n) * spreads
    rows = rows_of(superposed, alone, y, ("one/a", "two/b"))
    entry = fit_cold(FitUnit("activations", "ties", rows, "tempered_unlabelled", False, None, 2))
    assert entry.least_loss == LEAST_APART
    half = next(one.half_width for one in entry.residual_quantiles if one.level == 0.9)
    assert half == pytest.approx(0.9, abs=0.05)
    numbers = np.array([0.8, 0.8])
    lower, _ = interval_of_new(entry, numbers, 0.9, np.array([0.8, 0.95]))
    assert numbers - lower == pytest.approx(half * spread(numbers, LEAST_APART, [0.0, 0.15]))
    # Of a member beside four others, what these do adds up, and is off by the root of their number.
    lower, _ = interval_of_new(entry, numbers, 0.9, np.array([0.8, 0.95]), 4)
    assert numbers - lower == pytest.approx(half * spread(numbers, LEAST_APART, [0.0, 0.075]))
