"""A predictor that is registered in one place can be evaluated, stored and asked for forecasts."""

from typing import Literal

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor

from mergecast.errors import UsageError
from mergecast.forecast.estimators.predictors import PREDICTORS, predictor, stored_form
from mergecast.forecast.estimators.stored import StoredModel, sorted_reasons
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.validation.evaluate import evaluate


class Half(StoredModel):
    """Retention is half of one metric."""

    kind: Literal["half"] = "half"
    metric: str

    @classmethod
    def of(cls, estimator, rows):
        return cls(metric="reach")

    @property
    def needs(self):
        return [self.metric]

    def predict(self, rows, suite=None):
        values = rows[self.metric].to_numpy(dtype=float)
        reasons = [sorted_reasons([self.metric], row, row / 2) for row in values[:, None]]
        return values / 2, reasons


class Short(Half):
    """A form that forgets the last row."""

    kind: Literal["short"] = "short"

    def predict(self, rows, suite=None):
        numbers, reasons = super().predict(rows, suite)
        return numbers[:-1], reasons


class ShortRegressor(DummyRegressor):
    def predict(self, X):
        return super().predict(X)[:-1]


@pytest.fixture
def tables(make_suite):
    return make_suite("metric", n_tasks=5)


def test_one_registration_makes_a_predictor_that_is_fitted_saved_and_read(tables, tmp_path):
    with PREDICTORS.isolated():
        predictor("half", "half of reach", stored=Half)(DummyRegressor)
        path = Forecaster.fit(*tables, "half").save(tmp_path / "f.json")
        loaded = Forecaster.load(path)
        assert loaded.file.methods["ties"].model == Half(metric="reach")
        rows = loaded.forecast(tables[0]).rows
        own = tables[0].sort_values(["left", "right"])["reach:left<-right"].to_numpy()
        assert np.array_equal(rows["retention"].to_numpy()[::2], np.maximum(own / 2, 0))
        assert rows["reasons"].iloc[0][0]["metric"] == "reach"
    with pytest.raises(UsageError, match=r"kind 'half' .* install the package that brings it"):
        Forecaster.load(path)


def test_a_form_that_gives_no_number_for_each_row_is_named(tables):
    with PREDICTORS.isolated():
        predictor("short", "forgets", stored=Short)(DummyRegressor)
        fitted = Forecaster.fit(*tables, "short")
        with pytest.raises(
            UsageError, match=r"predictor 'short' of package .* for 20 rows; it must"
        ):
            fitted.forecast(tables[0])


def test_an_estimator_that_gives_no_number_for_each_row_is_named(tables):
    with PREDICTORS.isolated():
        predictor("shorter", "forgets")(ShortRegressor)
        with pytest.raises(UsageError, match=r"'shorter' of package .*gave ndarray of shape"):
            evaluate(*tables, predictors=["shorter"])


def test_two_forms_of_one_kind_are_told_apart_from_none():
    class Other(Half):
        """Another form that calls itself ``half``."""

    with PREDICTORS.isolated():
        predictor("one", "half", stored=Half)(DummyRegressor)
        assert stored_form("half") is Half
        predictor("two", "half", stored=Other)(DummyRegressor)
        with pytest.raises(UsageError, match="that of the different predictors 'one', 'two'"):
            stored_form("half")


def test_what_cannot_be_stored_is_refused_before_anything_is_fitted(tables):
    with pytest.raises(UsageError, match="predictor 'mlp': unknown; .*additive_plus_warm"):
        Forecaster.fit(*tables, "mlp")
