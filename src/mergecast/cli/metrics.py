"""``mergecast metrics``: the pair table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import (
    BaseArgument,
    JsonOption,
    ModelsArgument,
    PrivateOption,
    StrictOption,
    WorkersOption,
    finish,
    note,
    open_family,
    print_json,
    progress,
)


def command(
    base: BaseArgument,
    models: ModelsArgument,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Table to write: .parquet or .csv.")
    ] = Path("pairs.parquet"),
    suite: Annotated[str, typer.Option("--suite", help="Value of the suite column.")] = "",
    private: PrivateOption = None,
    strict: StrictOption = True,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Compute the weight metrics of every pair of models.

    Undefined values are empty in the table; their reasons are kept with it and counted here.

    Examples:

      mergecast metrics base.safetensors a.safetensors b.safetensors -o pairs.parquet

      mergecast metrics bert-base/ finetuned-*/ --private 'classifier.*' -o pairs.csv --json
    """
    from mergecast.family.findings import delta_findings
    from mergecast.fingerprints.weights import collect
    from mergecast.pairmetrics import table_of
    from mergecast.tables.io import write_pairs

    family = open_family(base, models, private, strict)
    with progress("weights") as report:
        fingerprints = collect(family, workers=workers, on_error="refuse", progress=report)
    for label, reason in fingerprints.refused.items():
        note(f"refused {label}: {reason}")
    usable = [i for i, m in enumerate(fingerprints.members) if m not in fingerprints.refused]
    gram = fingerprints.gram[usable][:, usable]
    names = [fingerprints.members[i] for i in usable]
    for finding in delta_findings(names, gram, fingerprints.base_norm):
        note(f"{finding.severity}: {finding.about}: {finding.message}; {finding.remedy}")
    table = table_of(fingerprints, suite=suite)
    write_pairs(table, out)
    missing = table.attrs["missing"]
    columns = [c for c in table.columns if c not in {"suite", "left", "right"}]
    if json:
        print_json(
            {
                "out": out,
                "pairs": len(table),
                "metrics": columns,
                "refused": [*family.refused, *fingerprints.refused],
                "missing": missing,
                "table": table.to_dict("records"),
            }
        )
    else:
        print(f"{len(table)} pairs × {len(columns)} columns → {out}")
        if missing:
            first = missing[0]
            print(
                f"{len(missing)} values are missing, first {first['key']} of {first['left']} and "
                f"{first['right']}: {first['reason']}"
            )
    finish(bool(family.refused or fingerprints.refused))
