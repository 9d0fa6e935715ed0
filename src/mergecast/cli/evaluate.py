"""`mergecast evaluate`: validate predictors on merges that were done, beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import JsonOption, WorkersOption, note, print_json, progress


def command(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Suite folders with pairs and outcomes tables."),
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="loto: one task unseen; l2to: both tasks of a pair unseen; suite: all of a suite."
        ),
    ] = "loto",
    predictor: Annotated[
        list[str] | None, typer.Option(help="Predictor (repeat); by default the usual ones.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Merging method (repeat); by default all there are.")
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(min=0, help="Draws of tasks for the 90 % intervals of the scores; 0: none."),
    ] = 200,
    null: Annotated[
        int,
        typer.Option(
            min=0,
            help="Permutations of the tasks for p-values; each one is a validation anew.",
        ),
    ] = 0,
    seeds: Annotated[
        int, typer.Option(min=1, help="Seeds, for the spread of predictors that draw numbers.")
    ] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the bootstrap's draws and the permutations.")
    ] = 0,
    analysis: Annotated[
        bool,
        typer.Option(
            "--analysis",
            help="Also: audit, additive shares, single metrics, signatures, groups of metrics.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File for the out-of-fold predictions (.parquet, .csv)."),
    ] = None,
    workers: WorkersOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Validate predictors on merges that were done, beside constant and partner mean.

    Then: what following each of them would have cost in choosing methods, partners (loto), and
    sets of three and more models where the outcomes have some.

    Examples:

      mergecast evaluate runs/digits

      mergecast evaluate runs/digits --protocol l2to --method ties --json

      mergecast evaluate runs/digits --predictor lasso --null 99 --analysis
    """
    from mergecast.forecast.validation.choices import choices
    from mergecast.forecast.validation.evaluation import evaluate
    from mergecast.tables.io import check_format, write_table
    from mergecast.tables.runs import load_run

    if out is not None:
        check_format(out)
    pairs, outcomes = load_run(*directories)
    with progress("evaluating") as advance:
        evaluation = evaluate(
            pairs,
            outcomes,
            protocol,
            predictor,
            method,
            progress=advance,
            bootstrap=bootstrap,
            null=null,
            seeds=seeds,
            seed=seed,
            workers=workers,
        )
    decided = choices(evaluation, outcomes)
    found = None
    if analysis:
        from mergecast.analysis.analyse import analyse
        from mergecast.runtime.progress import progress_bars

        with progress_bars() as bars:
            found = analyse(
                pairs,
                outcomes,
                list(evaluation.results["method"].unique()),
                protocol,
                _base_scores(directories),
                seed=seed,
                progress=bars,
            )
    if out is not None:
        write_table(evaluation.predictions, out)
        note(f"{len(evaluation.predictions)} predictions in {out}")
    if as_json:
        extra = {} if found is None else {"analysis": found.to_dict()}
        print_json(evaluation.to_dict() | {"decisions": decided.to_dict()} | extra)
        return
    from mergecast.cli.evaluate_tables import print_choices, print_evaluation
    from mergecast.cli.tables import open_console

    console = open_console()
    print_evaluation(console, evaluation)
    print_choices(console, decided)
    if found is not None:
        from mergecast.cli.analysis_tables import print_analysis

        print_analysis(console, found)


def _base_scores(directories: list[Path]) -> dict[str, dict[str, float]]:
    """Suite to task to the base model's score, from the task tables that the folders hold."""
    from mergecast.report.inputs import read_tasks
    from mergecast.tables.runs import load_run

    found: dict[str, dict[str, float]] = {}
    for folder in directories:
        tasks = read_tasks(folder)
        if tasks is not None:
            known = tasks.dropna(subset="base_score").set_index("task")["base_score"]
            scores = {str(task): float(score) for task, score in known.items()}
            found |= {str(suite): scores for suite in load_run(folder)[0]["suite"].unique()}
    return found
