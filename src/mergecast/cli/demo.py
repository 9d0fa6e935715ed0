"""``mergecast demo``: the whole way on a cut of the embedded suite, forecasts beside the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import JsonOption, SeedOption, WorkersOption
from mergecast.cli.outputs import a_folder


def command(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of everything it makes.", callback=a_folder)
    ] = Path("demo"),
    seed: SeedOption = 0,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Fine-tune eight small models, forecast every merge of two, then merge and compare.

    Takes a minute or two; a second run goes on from what is there. Every forecast shown comes
    from a forecaster that had seen neither of the two models.

    Examples:

      mergecast demo

      mergecast demo -o somewhere --seed 1
    """
    import mergecast as mc
    from mergecast.runtime.progress import progress_bars

    with progress_bars() as bars:
        summary = mc.demo(out, seed=seed, workers=workers, progress=bars)
    if json:
        print_json(summary)
        return
    from mergecast.report.run_terminal import run_parts
    from mergecast.report.table import open_console, show

    show(open_console(), run_parts(summary))
    print(f"report: {out / 'report.html'}   forecaster: {out / 'forecaster.json'}")
