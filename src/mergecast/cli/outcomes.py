"""``mergecast outcomes``: what merges did, from evaluations by lm-evaluation-harness."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import JsonOption
from mergecast.cli.outputs import a_table


def command(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="YAML file: which results are of what.")
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Outcome table (.parquet or .csv).", callback=a_table),
    ] = Path("outcomes.parquet"),
    json: JsonOption = False,
) -> None:
    """Make an outcome table of lm-evaluation-harness results.

    SCORES names the results of every model alone, with the harness task that it was fine-tuned
    for, and of every merge. Two results are compared only if they were made alike. With
    --log_samples of lm_eval, documents are paired for a standard error.

    Examples:

      mergecast outcomes scores.yaml -o run/outcomes.parquet
    """
    import mergecast as mc
    from mergecast.tables.io import check_format

    check_format(out)
    table = mc.outcomes(scores)
    table.write(out)
    rows = table.to_pandas()
    judged = rows.groupby("task", sort=True)[["harness_task", "metric"]].first()
    if json:
        print_json(
            {
                "out": out,
                "models": judged.to_dict("index"),
                "missing": [asdict(entry) for entry in table.missing],
                "table": rows.to_dict("records"),
            }
        )
        return
    for label, row in judged.iterrows():
        print(f"{label}: {row['harness_task']} by {row['metric']}")
    merges = len(rows[["recipe", "members"]].drop_duplicates())
    print(f"{merges} merges, {len(rows)} rows → {out}")
    if table.missing:
        first = table.missing[0]
        print(
            f"{len(table.missing)} values are missing, first {first.column} of {first.task} in "
            f"{first.members} ({first.method}): {first.reason}"
        )
