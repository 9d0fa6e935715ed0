"""DistanceIndex: how far apart two models are, in one number, and its median effect.

With twenty tasks, and hardly any of them alike, weights of many metrics cannot be learned: the
level of a new model moves every one of them. What can be said beforehand is a sign. Every way in
which two models are far apart (weights, activations, gradients) is expected to harm their merge.
So the distances are standardised and averaged with equal weights, an "improper linear model", and
the outcomes decide two numbers only: a level and a slope that is never positive. Both are by least
absolute errors, since a few hard tasks make outcomes skewed and would carry a mean along.

The form was settled on after a look at hundreds of fits on the published ViT-B/16 tables, so its
scores there flatter it; those of another suite do not.

References
----------
Dawes, "The robust beauty of improper linear models in decision making", 1979.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.linear_model import QuantileRegressor

from mergecast.forecast.estimators.pairs import PairRegressor
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import PoorScore, ScaledLinear
from mergecast.typing import Floats

# Every distance among the paper's metrics; none is left out for what it does in some suite.
DISTANCES = (
    "task_vector_l2_distance",
    "activation_l2_distance",
    "encoder_gradient_l2_distance",
    "input_gradient_l2_distance",
)


class DistanceIndex(PoorScore, ScaledLinear):
    """Median outcome − slope · mean of the standardised distances; linear in the metrics.

    Of the columns of X those of `DISTANCES` count; without any the forecast is the median. Of an
    array, which names no metrics, every column is a distance. `coef_` is equal and not positive for
    those of the index, 0 for the others and for a constant one.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on pairs; X (n, p), y (n,) outcomes."""
        Z, y = self._learn_scale(X, y)
        names = getattr(self, "feature_names_in_", None)
        distances = np.isin(names, DISTANCES) if names is not None else True
        index = distances & np.isfinite(self.scale_)
        self.coef_ = np.zeros(Z.shape[1])
        self.intercept_ = float(np.median(y))
        if index.any():
            self.intercept_, slope = _falling_median(Z[:, index].mean(axis=1), y)
            self.coef_[index] = slope / index.sum()
        return self


def _falling_median(x: Floats, y: Floats) -> tuple[float, float]:
    """Level and slope ≤ 0 of least absolute errors of y (n,) on x (n,)."""
    level, spread = float(np.median(y)), float(y.std())
    if spread <= 1e-12 * max(1.0, abs(level)) or np.ptp(x) <= 1e-12:
        return level, 0.0
    # The solver's tolerances are absolute; in these units they are small.
    fit = QuantileRegressor(quantile=0.5, alpha=0.0, solver="highs")
    fit.fit((x / x.std())[:, None], (y - level) / spread)
    slope = float(fit.coef_[0]) * spread / float(x.std())
    # The error is convex in the slope: where the best one rises, the best that may not is flat.
    return (level, 0.0) if slope >= 0 else (level + spread * float(fit.intercept_), slope)


@predictor("distance_index", "equal weights on distances, median effect")
def distance_index() -> PairRegressor:
    """`DistanceIndex` on pairs."""
    return PairRegressor(DistanceIndex())
