"""``mergecast demo``: the whole way on a cut of the embedded suite, forecasts beside the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import JsonOption, SeedOption, WorkersOption, print_json, progress

#: A cut of digits-14 of each kind: plain, geometric, tonal, scrambled, corrupted, relabelled.
TASKS = ("upright", "rotated-90", "inverted", "permuted", "noisy", "parity", "prime", "loops")
#: Random sets of each size, for `mergecast evaluate demo/run`: enough to see, seconds to merge.
SETS = 2


def command(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of everything it makes.")] = Path(
        "demo"
    ),
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
    from rich.console import Console

    from mergecast.forecast.forecaster import CANDIDATES, Forecaster
    from mergecast.forecast.validation.evaluation import evaluate
    from mergecast.report.html import write_html
    from mergecast.report.inputs import read_inputs
    from mergecast.report.summary import summarise_run
    from mergecast.report.terminal import print_run
    from mergecast.runtime.progress import progress_bars
    from mergecast.suites.run import run_suite

    with progress_bars() as bars:
        run = run_suite(
            "digits-14",
            out / "run",
            only=TASKS,
            seed=seed,
            workers=workers,
            n_sets=SETS,
            progress=bars,
        )
    inputs = read_inputs(run)
    with progress("one task unseen") as report:
        loto = evaluate(
            inputs.pairs, inputs.outcomes, "loto", CANDIDATES, progress=report, workers=workers
        )
    with progress("both tasks unseen") as report:
        l2to = evaluate(
            inputs.pairs, inputs.outcomes, "l2to", CANDIDATES, progress=report, workers=workers
        )
    with progress("forecaster") as report:
        forecaster = Forecaster.fit(
            inputs.pairs,
            inputs.outcomes,
            validation=l2to,
            cheaper=False,
            progress=report,
            workers=workers,
        )
    forecaster.save(out / "forecaster.json")
    summary = summarise_run(inputs, [loto, l2to], forecaster.forecast(inputs.pairs))
    page = write_html(summary, out / "report.html")
    if json:
        print_json(summary)
        return
    print_run(summary, Console())
    print(f"report: {page}   forecaster: {out / 'forecaster.json'}")
