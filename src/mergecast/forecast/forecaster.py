"""The Forecaster: fitted on merges that were done, it says what others would do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.design import (
    ROW_KEYS,
    TrainingRows,
    training_rows,
)
from mergecast.forecast.evaluation import Evaluation, Progress, scores
from mergecast.forecast.intervals import LEVEL, conformal_half_width
from mergecast.forecast.linear import Floats, without_identity
from mergecast.forecast.method_forecast import forecast_method
from mergecast.forecast.predictors import PREDICTORS
from mergecast.forecast.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.result import THRESHOLD, Forecast, recommend
from mergecast.forecast.schema import (
    SCHEMA,
    VERSION,
    Feature,
    ForecasterFile,
    MethodModel,
    Quantile,
    Score,
    Training,
    read_forecaster,
    write_forecaster,
)
from mergecast.tables.pairs import metric_columns, validate_pairs
from mergecast.tables.tiers import tiers_of, up_to
from mergecast.version import __version__

# From the plainest on: a tie goes to the earlier one. Those that lack their metrics sit out.
CANDIDATES = ["constant", "retention", "retention_unlabelled", "ridge", "lasso"]
LEVELS = [0.5, 0.8, LEVEL, 0.95]


class Forecaster:
    """Retention forecasts for pairs of models never seen.

    One linear model for each merging method and tier of evidence: a pair table is read by the
    models of the richest tier whose metrics it has.

    Attributes
    ----------
    file : everything it knows, as it is stored.

    Examples
    --------
    >>> pairs, outcomes = load_run("runs/digits")                              # doctest: +SKIP
    >>> Forecaster.fit(pairs, outcomes).save("digits.json")                    # doctest: +SKIP
    >>> Forecaster.load("digits.json").forecast(new_pairs).pairs               # doctest: +SKIP
    """

    def __init__(self, file: ForecasterFile) -> None:
        self.file = file

    @classmethod
    def fit(
        cls,
        pairs: pd.DataFrame,
        outcomes: pd.DataFrame,
        predictor: str = "auto",
        progress: Progress | None = None,
        validation: Evaluation | None = None,
        cheaper: bool = True,
    ) -> Self:
        """Learn from the pairs of one or more suites, for each tier of evidence in the table.

        Parameters
        ----------
        pairs, outcomes : tables as in `mergecast.tables`.
        predictor : one of `CANDIDATES`, or ``auto``: for each method the one of least mean absolute
            error with both tasks left out (L2TO), since a forecast is asked for models that were
            never seen.
        progress : called with (methods and tiers done, in all).
        validation : an ``l2to`` evaluation of the same tables, by the same predictors at least;
            its held-out forecasts are used for the richest tier and not made again, which takes
            most of the time.
        cheaper : fit the cheaper tiers of the table too, for forecasts from less evidence.

        Raises
        ------
        TableError, UsageError
            As `training_rows`; an unknown predictor; fewer than four tasks; a validation that is
            not of these pairs.
        """
        names = _candidates(predictor)
        there = tiers_of(pairs) if cheaper else tiers_of(pairs)[-1:]
        tiers: dict[str, dict[str, MethodModel]] = {}
        notes: dict[str, None] = {}
        done = 0
        for tier in there:
            data = training_rows(up_to(pairs, tier), outcomes)
            known = validation if tier == there[-1] else None
            tiers[tier] = {}
            for method, rows in data.items():
                tiers[tier][method] = _fit_method(method, rows, names, known)
                notes |= dict.fromkeys(rows.notes)
                done += 1
                if progress is not None:
                    progress(done, len(there) * len(data))
        keys = pd.concat([rows.keys for rows in data.values()])
        return cls(
            ForecasterFile(
                schema_name=SCHEMA,
                schema_version=VERSION,
                mergecast_version=__version__,
                target="retention",
                protocol="l2to",
                training=Training(
                    suites=sorted(keys["suite"].unique()),
                    tasks=sorted(keys["member"].unique()),
                    notes=list(notes),
                ),
                tiers=tiers,
            )
        )

    def forecast(
        self, pairs: pd.DataFrame, *, level: float = LEVEL, threshold: float = THRESHOLD
    ) -> Forecast:
        """Forecast every pair under every method.

        Parameters
        ----------
        pairs : a pair table of new models.
        level : nominal level of the intervals, one that the file has (0.5, 0.8, 0.9, 0.95).
        threshold : advise against merging where the best method's worst member keeps less.

        Raises
        ------
        TableError
            The table breaks its schema.
        UsageError
            A level that the file lacks.
        UndefinedError
            Nothing can be forecast: every method misses a metric it needs, for every pair.
        """
        checked = validate_pairs(pairs)
        there = [key for key in metric_columns(checked) if checked[key].notna().any()]
        tier = self.file.tier_for(there)
        tables = [
            forecast_method(method, model, checked, level)
            for method, model in sorted(self.file.tiers[tier].items())
        ]
        rows = pd.concat(tables, ignore_index=True)
        rows = rows.sort_values(["suite", "left", "right", "method"], kind="stable")
        rows = rows.reset_index(drop=True)
        if rows["retention"].isna().all():
            raise UndefinedError(
                "forecast",
                f"no method can be forecast: {rows['note'].iloc[0]}",
                "compute the metrics that the forecaster was fitted on",
            )
        return Forecast(rows, recommend(rows, threshold), level, threshold, tier)

    def save(self, path: str | Path) -> Path:
        """Write the forecaster as JSON, atomically; raises ResourceError."""
        return write_forecaster(self.file, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a forecaster; a file that is none raises UsageError."""
        return cls(read_forecaster(path))


def _candidates(predictor: str) -> list[str]:
    if predictor == "auto":
        return CANDIDATES
    if predictor not in CANDIDATES:
        raise UsageError.unknown("predictor", predictor, ["auto", *CANDIDATES])
    # The constant stays in: its numbers stand beside those of any other.
    return list(dict.fromkeys(["constant", predictor]))


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


def _fit_method(
    method: str, rows: TrainingRows, predictors: list[str], validation: Evaluation | None
) -> MethodModel:
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
    residuals = (held_out[best]["predicted"] - held_out[best]["measured"]).abs().to_numpy()
    estimator = PREDICTORS.get(best).make().fit(rows.X, rows.y)
    X = without_identity(rows.X)
    coef = getattr(estimator, "coef_", np.zeros(X.shape[1]))
    features = [
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
    if best != "constant" and not np.any(coef):
        why = f"{best} kept no metric"
    elif best == "constant" and auto:
        why = "no metric beat the constant"
    else:
        why = f"{best}, least error of {', '.join(names)}" if auto else f"{best}, as asked"
    errors = ", ".join(f"{name} {found[name]['mae']:.4f}" for name in names)
    return MethodModel(
        predictor=best,
        why=f"{why} (L2TO mean absolute error: {errors})",
        reach=float(getattr(estimator, "reach", 0.0)),
        intercept=float(rows.y.mean()),
        features=features,
        residual_quantiles=[_quantile(residuals, level) for level in LEVELS],
        n_residuals=len(residuals),
        validation={
            name: Score(mae=score["mae"], pooled_r=_or_none(score["pooled_r"]))
            for name, score in found.items()
        },
        n_pairs=rows.n_pairs,
    )


def _quantile(residuals: Floats, level: float) -> Quantile:
    return Quantile(level=level, half_width=_or_none(conformal_half_width(residuals, level)))


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
