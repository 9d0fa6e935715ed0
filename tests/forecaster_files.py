"""Forecaster files of models whose numbers can be told by hand."""

from __future__ import annotations

from mergecast.forecast.estimators.stored_linear import LinearModel, Term
from mergecast.forecast.file import (
    Feature,
    ForecasterFile,
    MethodModel,
    Quantile,
    Score,
    Training,
)
from mergecast.forecast.forecaster import Forecaster


def linear_model(metric, coefficient, low=0.0, high=2.0):
    """0.9 + coefficient × (metric − 1), ± 0.1, of a metric that was `low` to `high` in training."""
    term = Term(name=metric, coefficient=coefficient, mean=1.0, scale=1.0, low=low, high=high)
    return MethodModel(
        predictor="ridge",
        why="",
        model=LinearModel(intercept=0.9, reach=0.25, terms=[term]),
        features=[Feature(name=metric, low=low, high=high)],
        residual_quantiles=[Quantile(level=0.9, half_width=0.1)],
        n_residuals=20,
        validation={
            "ridge": Score(mae=0.02, pooled_r=0.8),
            "constant": Score(mae=0.05, pooled_r=None),
        },
        n_pairs=10,
    )


def save_forecaster(tiers, path):
    """A forecaster file of these models, by tier and method."""
    file = ForecasterFile(
        schema_version=4,
        mergecast_version="0.1.0",
        training=Training(suites=["toy"], tasks=["x", "y"], notes=[]),
        tiers=tiers,
    )
    return str(Forecaster(file).save(path))
