"""A forecaster as tables: what each method's fit is, how good it is, and what it leans on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mergecast.forecast.file import ForecasterFile, MethodModel
from mergecast.forecast.intervals import spread
from mergecast.report.table import MISSING, Table, number

#: The forecast whose interval is shown.
_FORECAST = 0.9
_CAPTION = (
    "MAE: mean absolute error of a pair's retention, both tasks left out (L2TO), or of several\n"
    "kinds of models a whole kind; ±90%: half an interval where 0.9 is forecast\n"
    "known: with one task left out, without → with the model for pairs with a known member "
    f"(forecast --suite); {MISSING} where it does not help"
)


def forecaster_parts(file: ForecasterFile, name: str) -> Iterator[Table | str]:
    """The table of every tier and method, what each fit leans on, and the notes."""
    rows: list[list[str] | None] = []
    for tier, models in file.tiers.items():
        rows += [None] if rows else []
        for k, (method, model) in enumerate(models.items()):
            warm = file.warm.get(tier, {}).get(method)
            rows.append(["" if k else tier, method, *_cells(model), _known(model, warm)])
    yield Table(
        f"{name}: {len(file.training.tasks)} tasks of {', '.join(file.training.suites)}",
        ["evidence", "method", "predictor", "MAE", "constant", "±90%", "known"],
        rows,
        keys=3,
        caption=_CAPTION,
    )
    richest = next(reversed(file.tiers))
    yield f"strongest metrics ({richest}; retention per standard deviation):"
    yield from (f"  {method}: {model.model.summary}" for method, model in file.methods.items())
    yield from (f"note: {note}" for note in file.training.notes)


def _cells(model: MethodModel) -> list[str]:
    half = next(q.half_width for q in model.residual_quantiles if q.level == 0.9)
    errors = (model.validation[name].mae for name in (model.predictor, "constant"))
    lost = spread(np.array(_FORECAST), model.least_loss)
    width = "too few" if half is None else number(half * float(lost))
    return [model.predictor, *(number(error, 4) for error in errors), width]


def _known(model: MethodModel, warm: MethodModel | None) -> str:
    """Errors with one task left out, without and with the other's outcomes."""
    if warm is None:
        return MISSING
    errors = (warm.validation[name].mae for name in (model.predictor, warm.predictor))
    return " → ".join(number(error, 4) for error in errors)
