"""``mergecast metrics``: the pair table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import (
    BaseArgument,
    DeviceOption,
    JsonOption,
    ModelsArgument,
    PrivateOption,
    StrictOption,
    WorkersOption,
    check_device,
    finish,
    note,
    open_family,
    print_json,
    weight_findings,
)
from mergecast.cli.merge_options import (
    BatchNormOption,
    MergeParamOption,
    MergeSamplesOption,
    MergeSeedOption,
    MethodsOption,
    merge_settings,
)
from mergecast.cli.probe_options import (
    BatchSizeOption,
    CacheOption,
    CalibrationOption,
    LayerOption,
    ProbeSeedOption,
    TasksOption,
    private_patterns,
    read_tasks,
)
from mergecast.errors import UsageError

if TYPE_CHECKING:
    from mergecast.evidence import Session
    from mergecast.evidence.weights.fingerprints import WeightFingerprints


def command(
    base: BaseArgument,
    models: ModelsArgument,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Table to write: .parquet or .csv.")
    ] = Path("pairs.parquet"),
    tasks: TasksOption = None,
    tier: Annotated[
        str, typer.Option("--tier", help="weights, activations, gradients or probe.")
    ] = "weights",
    metric_set: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            help="Only this set: paper, retention, interference, …; all takes in gradient "
            "interference, which is left out by default.",
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the cost and stop.")] = False,
    cache: CacheOption = None,
    calibration: CalibrationOption = 10,
    layer: LayerOption = None,
    batch_size: BatchSizeOption = 32,
    seed: ProbeSeedOption = 42,
    methods: MethodsOption = None,
    merge_samples: MergeSamplesOption = None,
    merge_param: MergeParamOption = None,
    merge_seed: MergeSeedOption = 0,
    reestimate_batchnorm: BatchNormOption = False,
    device: DeviceOption = "cpu",
    suite: Annotated[str, typer.Option("--suite", help="Value of the suite column.")] = "",
    private: PrivateOption = None,
    strict: StrictOption = True,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Compute the metrics of every pair of models, up to a tier of evidence.

    The weights tier needs nothing but checkpoints. Activations take one forward pass a model,
    gradients one more and a backward pass; what else a tier holds, --plan says. Both need the
    models' tasks. Undefined values are empty in the table; their reasons are kept with it and
    counted here.

    Examples:

      mergecast metrics base.safetensors a.safetensors b.safetensors

      mergecast metrics base/ a/ b/ --tasks t.yaml --tier gradients --plan

      mergecast metrics base/ a/ b/ --tasks t.yaml --tier gradients -o p.csv
    """
    from mergecast.evidence import ProbeSettings, Session, collect_evidence, wanted
    from mergecast.runtime.progress import progress_bars
    from mergecast.tables.io import check_format, write_pairs

    wanted(tier, metric_set)
    if not plan:
        check_format(out)
    if tier != "weights":
        check_device(device)
        if tasks is None:
            raise UsageError("--tasks", f"not given, but tier {tier!r} runs models", "give a file")
    found = read_tasks(tasks)
    family = open_family(base, models, private_patterns(private, found), strict)
    settings = ProbeSettings(calibration, seed, device, batch_size, layer, cache)
    merges = merge_settings(methods, merge_param, merge_samples, merge_seed, reestimate_batchnorm)
    with (
        progress_bars() as bars,
        Session(family, found, settings, merges, workers, "refuse", bars) as session,
    ):
        if plan:
            _print_plan(session, tier, metric_set, json)
            return
        evidence = collect_evidence(session, tier, metric_set)
    fingerprints = evidence.weights
    _note_weights(fingerprints)
    usable = [label for label in family.names if label not in fingerprints.refused]
    table = evidence.table(usable, suite)
    write_pairs(table, out)
    missing = table.attrs["missing"]
    columns = [c for c in table.columns if c not in {"suite", "left", "right"}]
    if json:
        print_json(
            {
                "out": out,
                "tier": tier,
                "pairs": len(table),
                "metrics": columns,
                "batchnorm": evidence.note or None,
                "refused": [*family.refused, *fingerprints.refused],
                "missing": missing,
                "table": table.to_dict("records"),
            }
        )
    else:
        print(f"{len(table)} pairs × {len(columns)} columns → {out}")
        if evidence.note:
            print(f"merges were measured with BatchNorm's {evidence.note}")
        if missing:
            first = missing[0]
            print(
                f"{len(missing)} values are missing, first {first['key']} of {first['left']} and "
                f"{first['right']}: {first['reason']}"
            )
    finish(bool(family.refused or fingerprints.refused))


def _note_weights(fingerprints: WeightFingerprints) -> None:
    """Refused models, and what preflight finds in the task vectors of the others."""
    for label, reason in fingerprints.refused.items():
        note(f"refused {label}: {reason}")
    for finding in weight_findings(fingerprints):
        note(f"{finding.severity}: {finding.about}: {finding.message}; {finding.remedy}")


def _print_plan(session: Session, tier: str, metric_set: str | None, json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from mergecast.evidence.plan import plan

    rows = plan(session, tier, metric_set)
    if json:
        print_json({"tier": tier, "plan": [vars(row) for row in rows]})
        return
    names = ("evidence", "tier", "forward", "backward", "kept", "memory", "minutes")
    table = Table(*names, box=None)
    for row in rows:
        table.add_row(
            row.kind,
            row.tier,
            f"{row.forward_passes} passes",
            f"{row.backward_passes} passes",
            *(_size(value) for value in (row.kept, row.memory)),
            f"{row.minutes:.2f}",
        )
    # A pipe is 80 columns wide to rich, which would cut numbers off.
    Console(width=max(_PLAN_WIDTH, Console().width)).print(table)


#: Columns that the widest plan takes.
_PLAN_WIDTH = 110


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
