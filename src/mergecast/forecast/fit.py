"""Choose and fit the models of one merging method: for two new models, and beside known ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.choice import (
    AUTO,
    CANDIDATES,
    candidates,
    chosen,
    competing,
    error,
)
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.estimators.stored import StoredModel
from mergecast.forecast.file import Feature, MethodModel, Quantile, Score
from mergecast.forecast.intervals import (
    BETWEEN,
    LEAST_APART,
    LEAST_LOSS,
    LEVEL,
    conformal_half_width,
    spread,
)
from mergecast.forecast.rows import IDENTITY, ROW_KEYS, kin
from mergecast.forecast.training import TrainingRows
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import scores
from mergecast.typing import Floats

#: What pairs with known outcomes are forecast by, unless another warm predictor is asked for.
WARM_PREDICTOR: Final = "additive_plus_warm"
LEVELS: Final = [0.5, 0.8, LEVEL, 0.95]


@dataclass(frozen=True)
class FitUnit:
    """One merging method at one tier of evidence: what a worker fits.

    Attributes
    ----------
    tier, method : str
        Which.
    rows : TrainingRows
        Of the method.
    predictor : str
        What was asked for: ``auto``, or the name of a predictor that can be stored.
    warm : bool
        Store a warm model beside the chosen one where it helps: of one kind of models, since what
        one has in common with its partners is not what another has. One that was asked for by name
        is stored in any case.
    validation : Evaluation, optional
        An ``l2to`` evaluation of the same rows, whose forecasts need not be made again.
    kinds : int
        Kinds of models in the whole table; of some methods there may be fewer.
    """

    tier: str
    method: str
    rows: TrainingRows
    predictor: str
    warm: bool
    validation: Evaluation | None
    kinds: int = 1

    @property
    def warm_asked(self) -> bool:
        """Whether a warm predictor was asked for by name."""
        return self.predictor != AUTO and PREDICTORS.get(self.predictor).warm


def fit_unit(unit: FitUnit) -> tuple[MethodModel, MethodModel | None]:
    """The model of two new models, and the one beside known ones where there is one."""
    cold = fit_cold(unit)
    warm = unit.warm_asked or (unit.warm and len(set(unit.rows.kins)) == 1)
    return cold, fit_warm(unit, cold) if warm else None


def fit_cold(unit: FitUnit) -> MethodModel:
    """The predictor chosen with both tasks unseen (L2TO), fitted on all rows.

    Of several kinds of models it is chosen, and its intervals are made, with a whole kind unseen.

    Raises
    ------
    UsageError
        The predictor asked for lacks its metrics, too few tasks, a validation of other pairs.
    """
    asked, rows = candidates(unit.predictor), unit.rows
    auto = asked == CANDIDATES
    lacking = {name: PREDICTORS.get(name).lacks(rows.X.columns) for name in asked}
    if lacking[asked[-1]] and not auto:
        raise UsageError(
            f"predictor {asked[-1]!r}, method {unit.method!r}",
            lacking[asked[-1]],
            "compute those metrics, or use auto",
        )
    names = [name for name in asked if not lacking[name]]
    names = competing(names) if auto else names
    several = len(set(rows.kins)) > 1
    held_out = {
        name: _suites_out(rows, name) if several else _held_out(unit, name) for name in names
    }
    name = chosen(held_out, unit.kinds > 1) if auto else names[-1]
    fit = _fit(name, rows)
    if not fit[0].needs and name != "constant":
        why = f"{name} kept no metric"
    elif name == "constant" and auto:
        why = "no metric beat the constant"
    elif auto:
        rule = "as it is, of several kinds of models" if unit.kinds > 1 else "least error"
        why = f"{name}, {rule} of {', '.join(names)}"
    else:
        why = f"{name}, as asked"
    by = "a suite unseen" if several else "L2TO"
    return _with_errors(fit, rows, name, f"{why} ({by}", held_out, kinds=unit.kinds)


def _suites_out(rows: TrainingRows, name: str) -> pd.DataFrame:
    """Forecasts of every kind of models by fits on the others."""
    return out_of_fold(rows, PREDICTORS.get(name), PROTOCOLS.get("suite"))


def fit_warm(unit: FitUnit, cold: MethodModel) -> MethodModel | None:
    """The model of pairs with a known member, or None where it does not help.

    It helps where its mean absolute error with one task unseen (LOTO) is below that of the chosen
    cold model. Its intervals come from the same residuals, those of the new task's own model apart
    from those of its partners, whose level is known and which are forecast far better.

    Parameters
    ----------
    unit : FitUnit
        What to fit.
    cold : MethodModel
        The model chosen for the same rows.
    """
    warm = unit.predictor if unit.warm_asked else WARM_PREDICTOR
    names, loto = dict.fromkeys(["constant", cold.predictor, warm]), PROTOCOLS.get("loto")
    held_out = {name: out_of_fold(unit.rows, PREDICTORS.get(name), loto) for name in names}
    errors = {name: scores(table)["mae"] for name, table in held_out.items()}
    if not unit.warm_asked and not errors[warm] < errors[cold.predictor]:
        return None
    new = (held_out[warm]["member"] == held_out[warm]["fold"]).to_numpy()
    why = (
        "as asked" if unit.warm_asked else f"less error than {cold.predictor} with one task unseen"
    )
    fit = _fit(warm, unit.rows)
    return _with_errors(fit, unit.rows, warm, f"{warm}, {why} (LOTO", held_out, new)


def _fit(name: str, rows: TrainingRows) -> tuple[StoredModel, list[Feature]]:
    """One predictor fitted on all rows as it is stored, and the ranges of what it was given."""
    entry = PREDICTORS.get(name)
    if entry.stored is None:
        raise UsageError(f"predictor {name!r}", "has no stored form", "ask for another one")
    estimator = entry.make().fit(rows.X, rows.y)
    metrics = getattr(estimator, "feature_names_in_", rows.X.columns)
    columns = {str(metric): rows.X[metric] for metric in metrics if metric not in IDENTITY}
    ranges = [
        Feature(name=metric, low=float(column.min()), high=float(column.max()))
        for metric, column in columns.items()
    ]
    return entry.stored.of(estimator, rows), ranges


def _with_errors(
    fit: tuple[StoredModel, list[Feature]],
    rows: TrainingRows,
    name: str,
    why: str,
    held_out: Mapping[str, pd.DataFrame],
    new: npt.NDArray[np.bool_] | None = None,
    kinds: int = 1,
) -> MethodModel:
    """A fit with what validation said of it.

    Parameters
    ----------
    why : str
        Why this predictor, and in brackets, not closed, by which protocol.
    held_out : mapping of str to DataFrame
        Out-of-fold forecasts of this predictor and of those beside it.
    new : ndarray of shape (n,), optional
        Which of its forecasts are of members without known outcomes, whose intervals differ.
    kinds : int
        Kinds of models in the whole table. With several, intervals are those of a kind unseen:
        residuals are of kinds that the fits had not seen, each of which counts alike, or of one
        kind's new models, and wider.
    """
    by_kin = len(set(rows.kins)) > 1
    numbers = {other: scores(table) for other, table in held_out.items()}
    maes = {other: error(table, by_kin) for other, table in held_out.items()}
    errors = ", ".join(f"{other} {error:.4f}" for other, error in maes.items())
    owners = np.array([kin(suite) for suite in held_out[name]["suite"]]) if by_kin else None
    asked = np.ones(len(held_out[name]), dtype=bool) if new is None else new
    predicted = held_out[name]["predicted"].clip(lower=0.0).to_numpy(dtype="float64")
    apart = _apart(fit[0], rows, held_out[name])
    least = LEAST_APART if fit[0].tells_apart else LEAST_LOSS
    residuals = np.abs(predicted - held_out[name]["measured"].to_numpy())
    residuals /= spread(predicted, least, apart)
    residuals *= BETWEEN if kinds > 1 and not by_kin else 1.0
    return MethodModel(
        predictor=name,
        why=f"{why} mean absolute error: {errors})",
        model=fit[0],
        features=fit[1],
        residual_quantiles=_quantiles(residuals[asked], None if owners is None else owners[asked]),
        least_loss=least,
        between_suites=kinds > 1,
        known_quantiles=[] if new is None else _quantiles(residuals[~asked]),
        n_residuals=len(residuals),
        validation={
            other: Score(mae=maes[other], pooled_r=_or_none(score["pooled_r"]))
            for other, score in numbers.items()
        },
        n_pairs=rows.n_pairs,
        most_kept=max(float(rows.y.max()), 0.0),
    )


def _apart(model: StoredModel, rows: TrainingRows, held_out: pd.DataFrame) -> Floats | None:
    """`StoredModel.apart` of out-of-fold forecasts, in their order."""
    apart = model.apart(rows.X)
    if apart is None:
        return None
    known = rows.keys.assign(apart=apart)
    found = held_out[ROW_KEYS].merge(known, on=ROW_KEYS, how="left", validate="many_to_one")
    return found["apart"].to_numpy(dtype="float64")


def _held_out(unit: FitUnit, predictor: str) -> pd.DataFrame:
    """Forecasts of each pair by fits that saw neither of its tasks, made or taken over."""
    rows, validation = unit.rows, unit.validation
    if validation is None:
        return out_of_fold(rows, PREDICTORS.get(predictor), PROTOCOLS.get("l2to"))
    table = validation.predictions
    table = table[(table["method"] == unit.method) & (table["predictor"] == predictor)]
    if (
        validation.protocol != "l2to"
        or len(table) != len(rows.y)
        or not table[ROW_KEYS].merge(rows.keys, on=ROW_KEYS).shape[0] == len(rows.y)
    ):
        raise UsageError(
            f"validation ({validation.protocol}), {predictor} of {unit.method}",
            f"holds {len(table)} forecasts for {len(rows.y)} training rows",
            "evaluate the same tables under l2to",
        )
    return table


def _quantiles(residuals: Floats, owners: npt.NDArray[np.str_] | None = None) -> list[Quantile]:
    return [
        Quantile(level=level, half_width=_or_none(conformal_half_width(residuals, level, owners)))
        for level in LEVELS
    ]


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
