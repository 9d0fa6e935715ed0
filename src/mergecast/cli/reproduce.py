"""`mergecast reproduce`: the paper's tables from the authors' files, recomputed and corrected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import JsonOption, print_json, progress


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
    seeds: Annotated[
        int, typer.Option(min=1, help="Seeds for predictors that start at random.")
    ] = 1,
    predictor: Annotated[
        list[str] | None,
        typer.Option(help="Predictor (repeat); by default a set that takes some minutes."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; by default 2. Results do not depend on it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute the published tables of a setting, and correct them.

    RESULTS_DIR is the folder `results` of the repository of "Demystifying Mergeability"
    (arXiv 2601.22285), with mergeability/SETTING, SETTING/METHOD, finetuning and
    metric_linear_optimization_v2; a setting may lack the last one.

    Examples:

      mergecast reproduce results --setting ViT-B-16_AdamW

      mergecast reproduce results --setting ViT-B-16_AdamW --seeds 10 --predictor paper --json
    """
    from mergecast.analysis.reproduce import reproduce

    name = setting or _only_setting(results)
    count = workers or min(2, os.cpu_count() or 1)
    with progress(f"refitting {name}") as advance:
        found = reproduce(results, name, predictor, seeds, count, advance)
    if as_json:
        print_json(found.to_dict())
        return
    from mergecast.cli.analysis_tables import print_findings
    from mergecast.cli.reproduce_tables import print_reproduction
    from mergecast.cli.tables import open_console

    console = open_console()
    print_reproduction(console, found, results)
    print_findings(console, found.findings)


def _only_setting(results: Path) -> str:
    """The setting of a folder that has one; raises UsageError otherwise."""
    from mergecast.errors import UsageError
    from mergecast.tables.published import settings

    known = settings(results)
    if len(known) != 1:
        there = ", ".join(known) or "none"
        raise UsageError("--setting", "not given", f"choose one: {there}")
    return known[0]
