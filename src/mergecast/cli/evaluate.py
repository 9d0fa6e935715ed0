"""`mergecast evaluate`: validate predictors on merges that were done, beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import note, print_json
from mergecast.cli.options import (
    AnalysisOption,
    JsonOption,
    MethodOption,
    OptionalRunsArgument,
    PredictorOption,
    SeedOption,
    SeedsOption,
    WorkersOption,
)
from mergecast.cli.outputs import a_table
from mergecast.errors import UsageError

_DRAWS = 200


def command(
    directories: OptionalRunsArgument = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="loto: one task unseen; l2to: both tasks of a pair unseen; suite: all of a suite."
        ),
    ] = "loto",
    predictor: PredictorOption = None,
    method: MethodOption = None,
    bootstrap: Annotated[
        int,
        typer.Option(min=0, help="Draws of tasks for the 90 % intervals of the scores; 0: none."),
    ] = _DRAWS,
    null: Annotated[
        int,
        typer.Option(
            min=0,
            help="Permutations of the tasks for p-values; each one is a validation anew.",
        ),
    ] = 0,
    seeds: SeedsOption = 1,
    seed: SeedOption = 0,
    analysis: AnalysisOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="File for the predictions, or the scores (.parquet, .csv).",
            callback=a_table,
        ),
    ] = None,
    default: Annotated[
        bool,
        typer.Option(
            "--default",
            help="Forecast every suite that comes with mergecast by a forecaster of the others; "
            "folders given are scored and learned from, too.",
        ),
    ] = False,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Validate predictors on merges that were done, beside constant and partner mean.

    Then: what following each of them would have cost in choosing methods, partners (loto), and
    sets of three and more models where the outcomes have some.

    Examples:

      mergecast evaluate runs/digits

      mergecast evaluate runs/digits --protocol l2to --method ties --json

      mergecast evaluate runs/digits --predictor lasso --null 99 --analysis

      mergecast evaluate --default
    """
    import mergecast as mc
    from mergecast.runtime.progress import progress_bars
    from mergecast.tables.io import check_format, write_table

    if default:
        given = {"--predictor": predictor, "--method": method, "--null": null}
        given |= {"--analysis": analysis, "--protocol": protocol != "loto", "--seed": seed}
        given |= {"--seeds": seeds != 1, "--bootstrap": bootstrap != _DRAWS}
        for option in (name for name, value in given.items() if value):
            raise UsageError(option, "says nothing beside --default", "leave one of them out")
        if out is not None:
            check_format(out)
        with progress_bars() as bars:
            found = mc.unseen_suites(directories or (), workers=workers, progress=bars)
        if out is not None:
            write_table(found.rows, out)
            note(f"{len(found.rows)} scores in {out}")
        if json:
            print_json(found.to_dict())
            return
        from mergecast.report.evaluation_tables import suite_parts
        from mergecast.report.table import open_console, show

        show(open_console(), suite_parts(found))
        return
    if not directories:
        raise UsageError("folders", "none given", "name run folders, or ask for --default")
    if out is not None:
        check_format(out)
    with progress_bars() as bars:
        evaluation = mc.evaluate(
            directories,
            protocol,
            predictors=predictor,
            methods=method,
            bootstrap=bootstrap,
            null=null,
            seeds=seeds,
            seed=seed,
            workers=workers,
            progress=bars,
        )
        analysed = None
        if analysis:
            analysed = mc.analyse(directories, protocol, methods=method, seed=seed, progress=bars)
    if out is not None:
        write_table(evaluation.predictions, out)
        note(f"{len(evaluation.predictions)} predictions in {out}")
    if json:
        extra = {} if analysed is None else {"analysis": analysed.to_dict()}
        print_json(evaluation.to_dict() | extra)
        return
    from mergecast.report.evaluation_tables import choice_parts, evaluation_parts
    from mergecast.report.table import open_console, show

    console = open_console()
    show(console, evaluation_parts(evaluation))
    if evaluation.decisions is not None:
        show(console, choice_parts(evaluation.decisions))
    if analysed is not None:
        from mergecast.analysis.tables import analysis_parts

        show(console, analysis_parts(analysed))
