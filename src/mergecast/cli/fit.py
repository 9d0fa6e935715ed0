"""`mergecast fit`: learn a forecaster from suites that were run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import JsonOption, print_json, progress, refuse_table

if TYPE_CHECKING:
    from rich.console import Console

    from mergecast.forecast.schema import ForecasterFile

_CAPTION = "MAE: mean absolute error of a pair's retention, both tasks left out (L2TO)"


def command(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Suite folders with pairs and outcomes tables."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Forecaster file (JSON).")],
    predictor: Annotated[
        str,
        typer.Option(
            help="auto (chooses for each method), constant, retention, retention_unlabelled, "
            "ridge, lasso or additive_plus; additive_plus_warm: auto, and forecasts by known "
            "outcomes for every method."
        ),
    ] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Learn a forecaster from the merges of one or more suites.

    Examples:

      mergecast fit runs/digits -o digits.json

      mergecast fit runs/digits runs/text -o all.json --predictor lasso
    """
    from mergecast.forecast.forecaster import Forecaster
    from mergecast.tables.runs import load_run

    refuse_table(output)
    pairs, outcomes = load_run(*directories)
    with progress("fitting") as advance:
        forecaster = Forecaster.fit(pairs, outcomes, predictor, progress=advance)
    path = forecaster.save(output)
    if as_json:
        print_json(forecaster.file.model_dump())
        return
    _print(forecaster.file, path)


def _print_warm(file: ForecasterFile, console: Console) -> None:
    """One line a tier: where known outcomes of one of two models lower the error."""
    for tier, models in file.warm.items():
        errors = ", ".join(
            f"{method} {model.validation[model.predictor].mae:.4f} "
            f"({model.validation[file.tiers[tier][method].predictor].mae:.4f})"
            for method, model in models.items()
        )
        console.print(
            f"with known outcomes of one of the two models (forecast --suite), {tier}; MAE, one "
            f"task left out, beside that without them: {errors}"
        )


def _print(file: ForecasterFile, path: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"{path}: {len(file.training.tasks)} tasks of {', '.join(file.training.suites)}"
    console = Console(highlight=False)
    table = Table(
        title=title,
        title_justify="left",
        caption=_CAPTION,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("evidence", "method", "predictor"):
        table.add_column(heading, no_wrap=True)
    for heading in ("MAE", "constant", "± 90 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for tier, models in file.tiers.items():
        for k, (method, model) in enumerate(models.items()):
            half = next(q.half_width for q in model.residual_quantiles if q.level == 0.9)
            table.add_row(
                "" if k else tier,
                method,
                model.predictor,
                f"{model.validation[model.predictor].mae:.4f}",
                f"{model.validation['constant'].mae:.4f}",
                "too few" if half is None else f"{half:.3f}",
            )
        table.add_section()
    console.print(table)
    _print_warm(file, console)
    richest = next(reversed(file.tiers))
    console.print(f"strongest metrics ({richest}; retention per standard deviation):")
    for method, model in file.methods.items():
        if model.additive is not None:
            console.print(f"  {method}: {', '.join(model.additive.metrics)}, and models like them")
            continue
        used = sorted(model.features, key=lambda feature: -abs(feature.coefficient))[:3]
        named = ", ".join(f"{f.name} {f.coefficient:+.3f}" for f in used if f.coefficient)
        console.print(f"  {method}: {named or 'none'}")
    for note in file.training.notes:
        console.print(f"note: {note}")
