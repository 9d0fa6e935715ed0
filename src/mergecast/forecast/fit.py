"""Choose and fit the models of one merging method: for two new models, and beside known ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.additive_schema import AdditiveModel
from mergecast.forecast.estimators.additive_plus import AdditivePlus
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.file import ADDITIVE, Feature, MethodModel, Quantile, Score
from mergecast.forecast.intervals import LEVEL, conformal_half_width
from mergecast.forecast.rows import ROW_KEYS, without_identity
from mergecast.forecast.training import TrainingRows
from mergecast.forecast.validation.evaluation import Evaluation, scores
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.typing import Floats

# From the plainest on: a tie goes to the earlier one. Those that lack their metrics sit out.
CANDIDATES: Final = ["constant", "retention", "retention_unlabelled", "ridge", "lasso"]
#: The model of pairs with known outcomes, stored beside the chosen one.
WARM: Final = "additive_plus_warm"
LEVELS: Final = [0.5, 0.8, LEVEL, 0.95]


def candidates(predictor: str) -> list[str]:
    """Names to validate for a predictor asked for; raises UsageError for one that has no file form.

    Two new models need a forecast too, so that a file with the warm model as asked has the others
    chosen as by ``auto``.
    """
    if predictor in ("auto", WARM):
        return CANDIDATES
    known = [*CANDIDATES, ADDITIVE]
    if predictor not in known:
        raise UsageError.unknown("predictor", predictor, ["auto", *known, WARM])
    # The constant stays in: its numbers stand beside those of any other.
    return list(dict.fromkeys(["constant", predictor]))


def fit_method(
    method: str, rows: TrainingRows, predictors: list[str], validation: Evaluation | None
) -> MethodModel:
    """The best of `predictors` with both tasks unseen (L2TO), fitted on all rows.

    Parameters
    ----------
    predictors : as `candidates` gives them.
    validation : an ``l2to`` evaluation of the same rows, whose forecasts need not be made again.

    Raises
    ------
    UsageError
        The predictor asked for lacks its metrics, too few tasks, a validation of other pairs.
    """
    names = [name for name in predictors if not PREDICTORS.get(name).lacks(rows.X.columns)]
    if len(names) == 1 and len(predictors) > 1:
        raise UsageError(
            f"predictor {predictors[-1]!r}, method {method!r}",
            PREDICTORS.get(predictors[-1]).lacks(rows.X.columns),
            "compute those metrics, or use auto",
        )
    held_out = {name: _held_out(method, rows, name, validation) for name in names}
    found = {name: scores(table) for name, table in held_out.items()}
    # `predictors` is ["constant", x] for a given predictor x, which is taken whatever its error.
    auto = predictors == CANDIDATES
    best = min(names, key=lambda name: found[name]["mae"]) if auto else names[-1]
    estimator = PREDICTORS.get(best).make().fit(rows.X, rows.y)
    X = without_identity(rows.X)
    coef = getattr(estimator, "coef_", np.zeros(X.shape[1]))
    if isinstance(estimator, AdditivePlus):
        X, coef = X[estimator.feature_names_in_], np.zeros(estimator.n_features_in_)
        why = f"{best}, as asked"
    elif best != "constant" and not np.any(coef):
        why = f"{best} kept no metric"
    elif best == "constant" and auto:
        why = "no metric beat the constant"
    else:
        why = f"{best}, least error of {', '.join(names)}" if auto else f"{best}, as asked"
    errors = ", ".join(f"{name} {found[name]['mae']:.4f}" for name in names)
    residuals = _residuals(held_out[best])
    return MethodModel(
        predictor=best,
        why=f"{why} (L2TO mean absolute error: {errors})",
        reach=float(getattr(estimator, "reach", 0.0)),
        intercept=float(rows.y.mean()),
        features=_features(X, coef),
        residual_quantiles=_quantiles(residuals),
        n_residuals=len(residuals),
        validation=_validation(found),
        n_pairs=rows.n_pairs,
        additive=_additive(estimator),
    )


@dataclass(frozen=True)
class FitUnit:
    """One merging method at one tier of evidence: what a worker fits.

    Attributes
    ----------
    tier, method, rows : which, and its training rows.
    predictors, validation : as `fit_method` takes them.
    warm : ``""`` for no warm model, `WARM` for one whatever its error; otherwise where it helps.
    """

    tier: str
    method: str
    rows: TrainingRows
    predictors: list[str]
    validation: Evaluation | None
    warm: str


def fit_unit(unit: FitUnit) -> tuple[MethodModel, MethodModel | None]:
    """The model of two new models, and the one beside known ones where there is one."""
    cold = fit_method(unit.method, unit.rows, unit.predictors, unit.validation)
    return cold, fit_warm(unit.rows, cold, unit.warm == WARM) if unit.warm else None


def fit_warm(rows: TrainingRows, cold: MethodModel, always: bool = False) -> MethodModel | None:
    """The model of pairs with a known member, or None where it does not help.

    It helps where its mean absolute error with one task unseen (LOTO) is below that of the chosen
    cold model. Its intervals come from the same residuals, those of the new task's own model apart
    from those of its partners, whose level is known and which are forecast far better.

    Parameters
    ----------
    cold : the model chosen for the same rows.
    always : take it whatever its error.
    """
    names = list(dict.fromkeys(["constant", cold.predictor, WARM]))
    loto = PROTOCOLS.get("loto")
    held_out = {name: out_of_fold(rows, PREDICTORS.get(name), loto) for name in names}
    found = {name: scores(table) for name, table in held_out.items()}
    if not always and not found[WARM]["mae"] < found[cold.predictor]["mae"]:
        return None
    table = held_out[WARM]
    new = (table["member"] == table["fold"]).to_numpy()
    residuals = _residuals(table)
    estimator = PREDICTORS.get(WARM).make().fit(rows.X, rows.y)
    X = rows.X[estimator.feature_names_in_]
    errors = ", ".join(f"{name} {found[name]['mae']:.4f}" for name in names)
    why = "as asked" if always else f"less error than {cold.predictor} with one task unseen"
    return MethodModel(
        predictor=WARM,
        why=f"{WARM}, {why} (LOTO mean absolute error: {errors})",
        reach=float(estimator.reach),
        intercept=float(rows.y.mean()),
        features=_features(X, np.zeros(X.shape[1])),
        residual_quantiles=_quantiles(residuals[new]),
        known_quantiles=_quantiles(residuals[~new]),
        n_residuals=len(residuals),
        validation=_validation(found),
        n_pairs=rows.n_pairs,
        additive=_additive(estimator),
    )


def _held_out(
    method: str, rows: TrainingRows, predictor: str, validation: Evaluation | None
) -> pd.DataFrame:
    """Forecasts of each pair by fits that saw neither of its tasks, made or taken over."""
    if validation is None:
        return out_of_fold(rows, PREDICTORS.get(predictor), PROTOCOLS.get("l2to"))
    table = validation.predictions
    mine = table[(table["method"] == method) & (table["predictor"] == predictor)]
    if (
        validation.protocol != "l2to"
        or len(mine) != len(rows.y)
        or not mine[ROW_KEYS].merge(rows.keys, on=ROW_KEYS).shape[0] == len(rows.y)
    ):
        raise UsageError(
            f"validation ({validation.protocol}), {predictor} of {method}",
            f"holds {len(mine)} forecasts for {len(rows.y)} training rows",
            "evaluate the same tables under l2to",
        )
    return mine


def _additive(estimator: object) -> AdditiveModel | None:
    if not isinstance(estimator, AdditivePlus):
        return None
    return AdditiveModel.model_validate(estimator.to_dict())


def _features(X: pd.DataFrame, coef: Floats) -> list[Feature]:
    return [
        Feature(
            name=str(key),
            coefficient=float(weight),
            mean=float(X[key].mean()),
            scale=float(X[key].std(ddof=0)),
            low=float(X[key].min()),
            high=float(X[key].max()),
        )
        for key, weight in zip(X.columns, coef, strict=True)
    ]


def _residuals(table: pd.DataFrame) -> Floats:
    return np.asarray((table["predicted"] - table["measured"]).abs(), dtype=np.float64)


def _quantiles(residuals: Floats) -> list[Quantile]:
    return [
        Quantile(level=level, half_width=_or_none(conformal_half_width(residuals, level)))
        for level in LEVELS
    ]


def _validation(found: dict[str, dict[str, float]]) -> dict[str, Score]:
    return {
        name: Score(mae=score["mae"], pooled_r=_or_none(score["pooled_r"]))
        for name, score in found.items()
    }


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
