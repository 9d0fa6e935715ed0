"""``mergecast report``: one page of what was forecast and what the merges did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import JsonOption, WorkersOption


def command(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A run folder with pairs and outcomes tables.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="HTML", help="Page to write; DIR/report.html if not."),
    ] = None,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Forecast a run's merges without having seen them, and set the forecasts beside the outcomes.

    Each pair is forecast from pairs that touch neither of its tasks (l2to), or only one (loto).

    Examples:

      mergecast report runs/digits -o digits.html

      mergecast report runs/digits --json
    """
    import mergecast as mc
    from mergecast.runtime.progress import progress_bars

    page = out if json else out or directory / "report.html"
    with progress_bars() as bars:
        summary = mc.report(directory, page, workers=workers, progress=bars)
    if json:
        print_json(summary)
        return
    from mergecast.report.run_terminal import run_parts
    from mergecast.report.table import open_console, show

    show(open_console(), run_parts(summary))
    print(f"page: {page}")
