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
    from mergecast.paper.reproduce import reproduce
    from mergecast.runtime.progress import progress_bars

    name = setting or _only_setting(results)
    with progress_bars() as bars:
        found = reproduce(results, name, predictor, seeds, workers, bars)
    if json:
        print_json(found.to_dict())
        return
    from mergecast.analysis.analyse import analyse
    from mergecast.cli.analysis_tables import print_findings, print_fits
    from mergecast.cli.reproduce_tables import print_reproduction
    from mergecast.cli.sensitivity_tables import print_fit_sensitivity, print_metric_sensitivity
    from mergecast.cli.tables import open_console
    from mergecast.paper.sensitivity import calibration_sensitivity

    console = open_console()
    print_reproduction(console, found, results)
    if found.sizes:
        print_metric_sensitivity(console, calibration_sensitivity(found.sizes).metrics)
    # Before what was asked for in addition, which may fail where there are too few tasks.
    print_findings(console, found.findings)
    chosen, methods = found.selection, found.selection.methods
    if sensitivity:
        if not found.sizes:
            note(f"{name} has no metrics at other calibration sizes")
        else:
            with progress_bars() as bars:
                fits = calibration_sensitivity(
                    found.sizes, chosen.outcomes, methods=methods, seeds=seeds, progress=bars
                ).fits
            print_fit_sensitivity(console, fits, "normalized accuracy")
    if analysis:
        with progress_bars() as bars:
            analysed = analyse(chosen.pairs, chosen.outcomes, methods, progress=bars)
        print_fits(console, analysed)


def _only_setting(results: Path) -> str:
    """The setting of a folder that has one; raises UsageError otherwise."""
    from mergecast.paper.results import settings

    known = settings(results)
    if not known:
        problem = "no mergeability/<SETTING>/pairwise_metrics_N<n>.json in it"
        raise UsageError(results, problem, "copy the whole results folder")
    if len(known) != 1:
        raise UsageError("--setting", "not given", f"choose one: {', '.join(known)}")
    return known[0]
