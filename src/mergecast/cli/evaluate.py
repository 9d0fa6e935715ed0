"""`mergecast evaluate`: validate predictors on merges that were done, beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import JsonOption, print_json, progress

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.forecast.evaluation import Evaluation


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
        list[str] | None, typer.Option(help="Predictor (repeat); by default the usual seven.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Merging method (repeat); by default all there are.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Validate predictors on merges that were done, beside constant and partner mean.

    Examples:

      mergecast evaluate runs/digits

      mergecast evaluate runs/digits --protocol l2to --method ties --json
    """
    from mergecast.forecast.evaluation import evaluate
    from mergecast.tables.runs import load_run

    pairs, outcomes = load_run(*directories)
    with progress("evaluating") as advance:
        evaluation = evaluate(pairs, outcomes, protocol, predictor, method, progress=advance)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print(evaluation)


def _print(evaluation: Evaluation) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from mergecast.forecast.protocols import PROTOCOLS

    results = evaluation.results
    counted = results[results["n_folds"] > 0]
    summary = PROTOCOLS.get(evaluation.protocol).summary
    table = Table(
        title=f"{evaluation.protocol}: {summary}",
        title_justify="left",
        caption=_caption(evaluation.protocol, counted),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("method", no_wrap=True)
    table.add_column("predictor", no_wrap=True)
    for heading in ("per-fold r", "pooled r", "MAE", "coverage"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method, rows in evaluation.results.groupby("method", sort=False):
        for i, (_, row) in enumerate(rows.iterrows()):
            table.add_row(str(method) if i == 0 else "", *_cells(row))
        table.add_section()
    console = Console()
    console.print(table)
    notes = dict.fromkeys([*evaluation.results["note"], *evaluation.notes])
    for note in notes:
        if note:
            console.print(f"note: {note}", highlight=False)


def _caption(protocol: str, counted: pd.DataFrame) -> str:
    pairs, folds = int(counted["n_pairs"].max()), int(counted["n_folds"].max())
    lines = [f"{pairs} pairs, {folds} folds; MAE in retention; (warm): knows partners' outcomes"]
    undefined = counted.groupby("predictor", sort=False)["n_undefined_folds"].max()
    for predictor, number in undefined[undefined > 0].items():
        lines.append(f"per-fold r of {predictor} is undefined in {number} folds")
    if protocol == "l2to":
        lines.append("coverage: share of members inside their 90 % interval")
    return "\n".join(lines)


def _cells(row: pd.Series) -> list[str]:
    cells = [str(row["predictor"]) + (" (warm)" if row["warm"] else "")]
    if row["note"]:
        return [*cells, "n/a", "n/a", "n/a", "n/a"]
    cells += [_number(row["per_fold_r"], 3), _number(row["pooled_r"], 3)]
    return [*cells, _number(row["mae"], 4), _number(row["coverage"], 2)]


def _number(value: float, digits: int) -> str:
    # NaN alone is unequal to itself; an undefined number is shown as a dash, never as 0.
    return "–" if value != value else f"{value:.{digits}f}"
