"""``mergecast report``: one page of what was forecast and what the merges did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import JsonOption, print_json, progress, refuse_table


def command(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A run folder with pairs and outcomes tables.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="HTML", help="Page to write; DIR/report.html if not."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Forecast a run's merges without having seen them, and set the forecasts beside the outcomes.

    Each pair is forecast from pairs that touch neither of its tasks (l2to), or only one (loto).

    Examples:

      mergecast report runs/digits -o digits.html

      mergecast report runs/digits --json
    """
    from mergecast.forecast.forecaster import CANDIDATES, Forecaster
    from mergecast.forecast.validation.evaluation import evaluate
    from mergecast.report.html import write_html
    from mergecast.report.inputs import read_inputs
    from mergecast.report.summary import summarise_run
    from mergecast.report.table import open_console, show
    from mergecast.report.terminal import run_parts

    if out is not None:
        refuse_table(out)
    inputs = read_inputs(directory)
    evaluations = []
    for protocol in ("loto", "l2to"):
        with progress(protocol) as advance:
            evaluation = evaluate(
                inputs.pairs, inputs.outcomes, protocol, CANDIDATES, progress=advance
            )
            evaluations.append(evaluation)
    forecaster = Forecaster.fit(
        inputs.pairs, inputs.outcomes, validation=evaluations[-1], warm=False
    )
    summary = summarise_run(inputs, evaluations, forecaster.forecast(inputs.pairs))
    page = None
    if out is not None or not json:
        page = write_html(summary, out or directory / "report.html")
    if json:
        print_json(summary)
        return
    show(open_console(), run_parts(summary))
    print(f"page: {page}")
