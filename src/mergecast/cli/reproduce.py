"""`mergecast reproduce`: the paper's tables from the authors' files, recomputed and corrected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import note, print_json
from mergecast.cli.options import (
    AnalysisOption,
    JsonOption,
    PredictorOption,
    SeedsOption,
    WorkersOption,
)
from mergecast.errors import UsageError


def command(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS_DIR", help="The results folder of the authors' repository."
        ),
    ],
    setting: Annotated[
        str | None,
        typer.Option(help="A setting in it, such as ViT-B-16_AdamW; needed if there are several."),
    ] = None,
    seeds: SeedsOption = 1,
    predictor: PredictorOption = None,
    workers: WorkersOption = 2,
    analysis: AnalysisOption = False,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Also: fits at every calibration size that the setting has (minutes).",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Recompute the published tables of a setting, and correct them.

    RESULTS_DIR is the folder `results` of the repository of "Demystifying Mergeability"
    (arXiv 2601.22285), with mergeability/SETTING, SETTING/METHOD, finetuning and
    metric_linear_optimization_v2; a setting may lack the last one.

    Examples:

      mergecast reproduce results --setting ViT-B-16_AdamW

      mergecast reproduce results --setting ViT-B-16_SGD --json

      mergecast reproduce results --setting ViT-B-16_AdamW --sensitivity
    """
    if json and (analysis or sensitivity):
        option = "--analysis" if analysis else "--sensitivity"
        raise UsageError(option, "its tables are not in the JSON object", "leave out --json")
    import mergecast as mc
    from mergecast.runtime.progress import progress_bars

    with progress_bars() as bars:
        found = mc.reproduce(
            results, setting, predictors=predictor, seeds=seeds, workers=workers, progress=bars
        )
    if json:
        print_json(found.to_dict())
        return
    from mergecast.analysis.tables import fit_parts
    from mergecast.paper.tables import fit_sensitivity_table, reproduction_parts
    from mergecast.report.table import open_console, show

    console = open_console()
    show(console, reproduction_parts(found))
    if sensitivity:
        with progress_bars() as bars:
            fits = found.fits_by_size(seeds, progress=bars)
        if fits is None:
            note(f"{found.setting.name} has no metrics at other calibration sizes")
        else:
            show(console, [fit_sensitivity_table(fits, "normalized accuracy")])
    if analysis:
        with progress_bars() as bars:
            analysed = found.analyse(progress=bars)
        show(console, fit_parts(analysed))
