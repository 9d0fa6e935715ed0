"""The common tests tell a predictor that breaks a law, by name."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from mergecast.forecast.estimators.baselines import PartnerMean
from mergecast.forecast.estimators.predictors import PREDICTORS, predictor
from mergecast.forecast.estimators.stored import StoredModel
from mergecast.testing import check_predictor


class Mean(RegressorMixin, BaseEstimator):
    """The mean, and what may be wrong with it."""

    def __init__(self, wrong=""):
        self.wrong = wrong

    def fit(self, X, y):
        self.mean_ = float(np.mean(y))
        if self.wrong == "random":
            self.mean_ += np.random.default_rng().normal()
        if self.wrong == "writes":
            X["reach"] = 0.0
        return self

    def predict(self, X):
        numbers = np.full(len(X), self.mean_)
        if self.wrong == "nan":
            numbers[0] = np.nan
        if self.wrong == "others":
            numbers += X["reach"].mean()
        return numbers[:-1] if self.wrong == "short" else numbers


class StoredMean(StoredModel):
    kind: Literal["a mean"] = "a mean"
    mean: float

    shift: ClassVar[float] = 0.0
    asks: ClassVar[list[str]] = []

    @classmethod
    def of(cls, estimator, rows):
        return cls(mean=estimator.mean_ + cls.shift)

    @property
    def needs(self):
        return self.asks

    def predict(self, rows, suite=None):
        return np.full(len(rows), self.mean), [[] for _ in range(len(rows))]


class Shifted(StoredMean):
    shift = 0.1


class Heedless(StoredMean):
    asks: ClassVar[list[str]] = ["reach"]


class Foreign(StoredMean):
    asks: ClassVar[list[str]] = ["height"]


SAME = Mean()


@pytest.mark.parametrize(
    ("make", "stored", "problem"),
    [
        (lambda: SAME, None, "it makes the same object twice"),
        (lambda: Mean("short"), None, r"it gave ndarray of shape \(55,\)"),
        (lambda: Mean("nan"), None, "it gave NaN or infinity"),
        (lambda: Mean("random"), None, "a second fit says other things"),
        (lambda: Mean("others"), None, "depends on the other pairs asked about"),
        (lambda: Mean("writes"), None, "it wrote into the rows that it was given"),
        (PartnerMean, None, "declared cold, it has no forecast of new models"),
        (Mean, Shifted, "read from a file it says otherwise"),
        (Mean, Foreign, "it needs metrics that it was not fitted on"),
        (Mean, Heedless, "without 'reach' a row has a number"),
        (Mean, StoredMean, ""),
    ],
)
def test_a_broken_law_is_named(make, stored, problem):
    with PREDICTORS.isolated():
        predictor("broken", "a mean", stored=stored)(make)
        if not problem:
            check_predictor("broken")
            return
        with pytest.raises(AssertionError, match=f"predictor 'broken': .*{problem}"):
            check_predictor("broken")
