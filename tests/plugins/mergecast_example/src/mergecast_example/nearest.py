"""A predictor, and the form in which a forecaster file keeps it."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline

from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import MetricsOnly, Standardise
from mergecast.forecast.estimators.stored import Reasons, StoredModel
from mergecast.forecast.training import TrainingRows
from mergecast.typing import Floats

NEIGHBOURS = 3


class NearestRows(StoredModel):
    """Training rows, standardised, with their outcomes."""

    kind: Literal["example_nearest"] = "example_nearest"
    names: list[str]
    mean: list[float]
    scale: list[float | None]
    rows: list[list[float]]
    outcomes: list[float]

    @classmethod
    def of(cls, estimator: Any, rows: TrainingRows) -> Self:
        metrics, scaler, _ = (step for _, step in estimator.steps)
        X = metrics.transform(rows.X)
        return cls(
            names=metrics.feature_names_in_.tolist(),
            mean=scaler.mean_.tolist(),
            scale=[None if np.isinf(scale) else scale for scale in scaler.scale_.tolist()],
            rows=scaler.transform(X).tolist(),
            outcomes=rows.y.tolist(),
        )

    @property
    def needs(self) -> list[str]:
        return self.names

    def predict(self, rows: pd.DataFrame, suite: str | None = None) -> tuple[Floats, list[Reasons]]:
        values = rows.reindex(columns=self.names).to_numpy(dtype=float)
        scale = np.array([np.inf if scale is None else scale for scale in self.scale])
        distances = np.linalg.norm(
            ((values - self.mean) / scale)[:, None] - np.array(self.rows)[None], axis=2
        )
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
        numbers = np.array(self.outcomes)[nearest].mean(axis=1)
        return np.where(np.isnan(values).any(axis=1), np.nan, numbers), [[] for _ in numbers]


@predictor("example_nearest", "mean of the three nearest training rows", stored=NearestRows)
def nearest() -> Pipeline:
    """The three nearest rows in standardised metrics."""
    return make_pipeline(MetricsOnly(), Standardise(), KNeighborsRegressor(NEIGHBOURS))
