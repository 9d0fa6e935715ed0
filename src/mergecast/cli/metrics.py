"""``mergecast metrics``: the pair table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import finish, note, print_json
from mergecast.cli.options import (
    BaseArgument,
    BatchNormOption,
    BatchSizeOption,
    CacheOption,
    CalibrationOption,
    DeviceOption,
    JsonOption,
    MergeParamOption,
    MergeSeedOption,
    MethodOption,
    MetricSetOption,
    ModelsArgument,
    PrivateOption,
    SeedOption,
    StrictOption,
    SuiteOption,
    TasksOption,
    TierOption,
    VocabularyOption,
    WorkersOption,
    parse_merge_parameters,
)
from mergecast.cli.outputs import a_table

if TYPE_CHECKING:
    from mergecast.evidence.plan import PlanRow


def command(
    base: BaseArgument,
    models: ModelsArgument,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Table to write: .parquet or .csv.", callback=a_table),
    ] = Path("pairs.parquet"),
    tasks: TasksOption = None,
    tier: TierOption = None,
    metrics: MetricSetOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the cost and stop.")] = False,
    cache: CacheOption = None,
    calibration: CalibrationOption = None,
    layer: Annotated[
        str | None, typer.Option("--layer", help="Block to take activations of; the last one.")
    ] = None,
    batch_size: BatchSizeOption = 32,
    seed: SeedOption = 0,
    method: MethodOption = None,
    merge_samples: Annotated[
        int | None,
        typer.Option(
            "--merge-samples",
            min=1,
            help="Samples of every task on which merges are measured; as --calibration. "
            "Retention was validated with 40.",
        ),
    ] = None,
    merge_param: MergeParamOption = None,
    merge_seed: MergeSeedOption = 0,
    reestimate_batchnorm: BatchNormOption = False,
    device: DeviceOption = "cpu",
    suite: SuiteOption = None,
    private: PrivateOption = None,
    strict: StrictOption = True,
    vocabulary: VocabularyOption = None,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Compute the metrics of every pair of models, up to a tier of evidence.

    The weights tier needs nothing but checkpoints. Activations take one forward pass a model,
    gradients one more and a backward pass; what else a tier holds, --plan says. Both need the
    models' tasks. With --method, metrics about merging methods are those of these methods.
    Undefined values are empty in the table; their reasons are kept with it and counted here.

    Examples:

      mergecast metrics base.safetensors a.safetensors b.safetensors

      mergecast metrics base/ a/ b/ --tasks t.yaml --tier gradients --plan

      mergecast metrics base/ a/ b/ --tasks t.yaml --metrics paper -o p.csv
    """
    from mergecast.api.metrics import Measurement, measure
    from mergecast.api.metrics import plan as plan_metrics
    from mergecast.runtime.progress import progress_bars
    from mergecast.tables.io import check_format

    if not plan:
        check_format(out)
    with progress_bars() as bars:
        found = (plan_metrics if plan else measure)(
            base,
            models,
            tasks=tasks,
            tier=tier,
            metrics=metrics,
            methods=method,
            merge_params=parse_merge_parameters(merge_param),
            merge_samples=merge_samples,
            merge_seed=merge_seed,
            reestimate_batchnorm=reestimate_batchnorm,
            calibration=calibration,
            layer=layer,
            seed=seed,
            device=device,
            batch_size=batch_size,
            cache=cache,
            suite=suite,
            private=private or (),
            strict=strict,
            vocabulary=vocabulary,
            on_error="refuse",
            workers=workers,
            progress=bars,
        )
    if not isinstance(found, Measurement):
        _print_plan(found, json)
        return
    for finding in found.findings:
        note(f"{finding.severity}: {finding.about}: {finding.message}; {finding.remedy}")
    table = found.table()
    table.write(out)
    if json:
        print_json(
            {
                "out": out,
                "tier": found.asked.tier,
                "pairs": len(table),
                "metrics": table.metrics,
                "batchnorm": found.batchnorm,
                "refused": [*found.refused],
                "missing": [asdict(entry) for entry in table.missing],
                "table": table.frame.to_dict("records"),
            }
        )
    else:
        print(f"{len(table)} pairs × {len(table.metrics)} columns → {out}")
        if found.kinds:
            print(f"tasks were read as {', '.join(found.kinds)}")
        if found.batchnorm:
            print(f"merges were measured with BatchNorm's {found.batchnorm}")
        if table.missing:
            first = table.missing[0]
            print(
                f"{len(table.missing)} values are missing, first {first.key} of {first.left} and "
                f"{first.right}: {first.reason}"
            )
    finish(bool(found.refused))


def _print_plan(rows: Sequence[PlanRow], json: bool) -> None:
    if json:
        print_json({"tier": rows[-1].tier, "plan": [vars(row) for row in rows]})
        return
    from mergecast.report.table import Table, open_console, show

    cells = [
        [
            row.kind,
            row.tier,
            f"{row.forward_passes} passes",
            f"{row.backward_passes} passes",
            *(_size(value) for value in (row.kept, row.memory)),
            f"{row.minutes:.2f}",
        ]
        for row in rows
    ]
    names = ("evidence", "tier", "forward", "backward", "kept", "memory", "minutes")
    show(open_console(), [Table("What these metrics take", names, cells, keys=2)])


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
