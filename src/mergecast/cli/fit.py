"""`mergecast fit`: learn a forecaster from suites that were run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import (
    JsonOption,
    PredictorOption,
    RunsArgument,
    WorkersOption,
    only_one,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mergecast.forecast.file import ForecasterFile, MethodModel
    from mergecast.report.table import Table

_CAPTION = (
    "MAE: mean absolute error of a pair's retention, both tasks left out (L2TO)\n"
    "known: with one task left out, without → with the model for pairs with a known member "
    "(forecast --suite); - where it does not help"
)


def command(
    directories: RunsArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="Forecaster file (JSON).")],
    predictor: PredictorOption = None,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Learn a forecaster from the merges of one or more suites.

    By default each method gets the predictor of least error with both tasks unseen. Or one for
    all: constant, retention, retention_unlabelled, ridge, lasso, additive_plus; with
    additive_plus_warm, as by default, and forecasts by known outcomes for every method.

    Examples:

      mergecast fit runs/digits -o digits.json

      mergecast fit runs/digits runs/text -o all.json --predictor lasso
    """
    import mergecast as mc
    from mergecast.api.inputs import refuse_table
    from mergecast.runtime.progress import progress_bars

    refuse_table(out)
    chosen = only_one("--predictor", predictor, default="auto")
    with progress_bars() as bars:
        forecaster = mc.fit(directories, chosen, workers=workers, progress=bars)
    path = forecaster.save(out)
    if json:
        print_json(forecaster.file.model_dump())
        return
    _print(forecaster.file, path)


def _print(file: ForecasterFile, path: Path) -> None:
    from mergecast.report.table import open_console, show

    show(open_console(), _parts(file, path))


def _parts(file: ForecasterFile, path: Path) -> Iterator[Table | str]:
    """The table of every tier and method, what each fit leans on, and the notes."""
    from mergecast.report.table import Table

    rows: list[list[str] | None] = []
    for tier, models in file.tiers.items():
        rows += [None] if rows else []
        known = file.warm.get(tier, {})
        for k, (method, model) in enumerate(models.items()):
            beside = known.get(method)
            rows.append(["" if k else tier, method, *_cells(model), _known(model, beside)])
    yield Table(
        f"{path}: {len(file.training.tasks)} tasks of {', '.join(file.training.suites)}",
        ["evidence", "method", "predictor", "MAE", "constant", "±90%", "known"],
        rows,
        keys=3,
        caption=_CAPTION,
    )
    richest = next(reversed(file.tiers))
    yield (f"strongest metrics ({richest}; retention per standard deviation):")
    for method, model in file.methods.items():
        yield f"  {method}: {model.model.summary}"
    yield from (f"note: {note}" for note in file.training.notes)


def _cells(model: MethodModel) -> list[str]:
    half = next(q.half_width for q in model.residual_quantiles if q.level == 0.9)
    return [
        model.predictor,
        f"{model.validation[model.predictor].mae:.4f}",
        f"{model.validation['constant'].mae:.4f}",
        "too few" if half is None else f"{half:.3f}",
    ]


def _known(model: MethodModel, warm: MethodModel | None) -> str:
    """Errors with one task left out, without and with the other's outcomes."""
    if warm is None:
        return "-"
    errors = (warm.validation[name].mae for name in (model.predictor, warm.predictor))
    return " → ".join(f"{error:.4f}" for error in errors)
