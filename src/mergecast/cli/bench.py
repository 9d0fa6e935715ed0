"""``mergecast bench``: suites, where retention is measured and not forecast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="""Run a benchmark suite: fine-tune, merge pairs and sets by every method, evaluate.

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
    from mergecast.suites.suite import SUITES

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
    from mergecast.suites.suite import SUITES

    typer.echo(SUITES.get(suite).fetch(out))


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
    sets: Annotated[
        int,
        typer.Option(
            min=0, help="Random sets of each of 3, 4 and 5 models beside the pairs; 0: pairs alone."
        ),
    ] = 20,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    as_json: _Json = False,
) -> None:
    """Run a suite; run it again in the same folder to continue after an interruption.

    Every pair is merged by every method, and `--sets` random sets of each of 3, 4 and 5 models.

    Examples:

      mergecast bench run digits-14 -o runs/digits

      mergecast bench run digits-14 -o runs/cut --tasks parity,loops --sets 0
    """
    import pandas as pd

    from mergecast.runtime.progress import progress_bars
    from mergecast.suites.run import SIX, run_suite

    with progress_bars() as progress:
        run_suite(
            suite,
            out,
            only=_names(tasks) or None,
            methods=_names(methods) or SIX,
            seed=seed,
            tier=tier,
            n_sets=sets,
            workers=workers,
            progress=progress,
        )
    merged, larger = _retention(pd.read_parquet(out / "outcomes.parquet"))
    if as_json:
        summary = {
            "folder": str(out),
            "pair_retention": json.loads(merged.to_json(orient="index")),
            "set_retention": json.loads(larger.reset_index().to_json(orient="records")),
        }
        typer.echo(json.dumps(summary, indent=1))
        return
    typer.echo("retention of a pair, by method:")
    typer.echo(merged.to_string(float_format=lambda value: f"{value:.3f}"))
    if len(larger):
        typer.echo("retention of a larger set, by method and number of models:")
        typer.echo(larger.to_string(float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"tables: {out}/pairs.parquet, {out}/outcomes.parquet, {out}/tasks.parquet")


@app.command()
def status(suite: _SuiteName, out: _Folder, as_json: _Json = False) -> None:
    """Show how much of a run is finished.

    Example:

      mergecast bench status digits-14 -o runs/digits
    """
    from mergecast.suites.status import suite_status

    stages = suite_status(out, suite)
    if as_json:
        counts = {stage: {"done": done, "total": total} for stage, (done, total) in stages.items()}
        typer.echo(json.dumps(counts, indent=1))
        return
    for stage, (done, total) in stages.items():
        typer.echo(f"{stage:<9} {done}/{total}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _retention(outcomes: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count, mean, spread and least of mean retention: of pairs by method, of sets also by size."""
    # skipna=False: a merge with an unevaluated member has no mean, it is not that of the others.
    means = outcomes.groupby(["method", "members"], sort=False)["retention"].agg(
        lambda values: values.mean(skipna=False)
    )
    merges = means.reset_index()
    merges["size"] = merges["members"].str.count(r"\+") + 1
    pairs, larger = merges[merges["size"] == 2], merges[merges["size"] > 2]
    return _figures(pairs, ["method"]), _figures(larger, ["method", "size"])


def _figures(merges: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    by_key = merges.groupby(keys, sort=False)["retention"]
    return by_key.agg(["count", "mean", "std", "min"])
