"""``mergecast bench``: suites, where retention is measured and not forecast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="""Run a benchmark suite: fine-tune, merge every pair by every method, evaluate.

    Examples:

      mergecast bench list

      mergecast bench run digits-14 -o runs/digits
    """,
)

_SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A name of `bench list`.")]
_Folder = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The run folder.")]
_Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for machines.")]


@app.command("list")
def list_suites(as_json: _Json = False) -> None:
    """List the suites.

    Example:

      mergecast bench list
    """
    from mergecast.bench.suites import SUITES

    suites = {suite.name: suite for suite in SUITES}
    if as_json:
        listing = [
            {"suite": name, "description": suite.description, "tasks": list(suite.tasks)}
            for name, suite in suites.items()
        ]
        typer.echo(json.dumps({"suites": listing}, indent=1))
        return
    for name, suite in suites.items():
        typer.echo(f"{name}  {len(suite.tasks)} tasks: {suite.description}")


@app.command()
def fetch(suite: _SuiteName, out: _Folder) -> None:
    """Fetch what a suite needs and mergecast does not bring along.

    Example:

      mergecast bench fetch digits-14 -o runs/digits
    """
    from mergecast.bench.suites import open_suite

    typer.echo(open_suite(suite).fetch(out))


@app.command(short_help="Run a suite, or go on with an interrupted run.")
def run(
    suite: _SuiteName,
    out: _Folder,
    tasks: Annotated[
        str, typer.Option(help="A cut of the tasks, by names with commas; all by default.")
    ] = "",
    methods: Annotated[
        str, typer.Option(help="Merging methods, by names with commas; the six by default.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all training and of random masks.")] = 0,
    tier: Annotated[
        str,
        typer.Option(help="Evidence on pairs: weights, activations, gradients or probe."),
    ] = "gradients",
    workers: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    as_json: _Json = False,
) -> None:
    """Run a suite; run it again in the same folder to continue after an interruption.

    Examples:

      mergecast bench run digits-14 -o runs/digits

      mergecast bench run digits-14 -o runs/cut --tasks parity,loops,prime
    """
    import pandas as pd

    from mergecast.bench.runner import SIX, run_suite
    from mergecast.runtime.progress import progress_bars

    with progress_bars() as progress:
        run_suite(
            suite,
            out,
            tasks=_names(tasks) or None,
            methods=_names(methods) or SIX,
            seed=seed,
            tier=tier,
            workers=workers,
            progress=progress,
        )
    outcomes = pd.read_parquet(out / "outcomes.parquet")
    pairs = outcomes.groupby(["method", "members"], sort=False)["retention"].mean()
    retention = pairs.groupby("method", sort=False).agg(["count", "mean", "std", "min"])
    if as_json:
        summary = json.loads(retention.to_json(orient="index"))
        typer.echo(json.dumps({"folder": str(out), "pair_retention": summary}, indent=1))
        return
    typer.echo("retention of a pair, by method:")
    typer.echo(retention.to_string(float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"tables: {out}/pairs.parquet, {out}/outcomes.parquet, {out}/tasks.parquet")


@app.command()
def status(suite: _SuiteName, out: _Folder, as_json: _Json = False) -> None:
    """Show how much of a run is finished.

    Example:

      mergecast bench status digits-14 -o runs/digits
    """
    from mergecast.bench.runner import suite_status

    stages = suite_status(out, suite)
    if as_json:
        counts = {stage: {"done": done, "total": total} for stage, (done, total) in stages.items()}
        typer.echo(json.dumps(counts, indent=1))
        return
    for stage, (done, total) in stages.items():
        typer.echo(f"{stage:<9} {done}/{total}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
