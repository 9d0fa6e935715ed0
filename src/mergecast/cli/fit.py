"""`mergecast fit`: learn a forecaster from suites that were run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import (
    JsonOption,
    PredictorOption,
    RunsArgument,
    WorkersOption,
    only_one,
)
from mergecast.cli.outputs import a_file


def command(
    directories: RunsArgument,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Forecaster file (JSON).", callback=a_file)
    ],
    predictor: PredictorOption = None,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Learn a forecaster from the merges of one or more suites.

    By default each method gets the predictor of least error with both tasks unseen. Or one for
    all: constant, superposition, retention (either also with _unlabelled), ridge, lasso,
    additive_plus; with additive_plus_warm, as by default, and forecasts by known outcomes for
    every method.

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
    from mergecast.report.forecaster_tables import forecaster_parts
    from mergecast.report.table import open_console, show

    show(open_console(), forecaster_parts(forecaster.file, str(path)))
