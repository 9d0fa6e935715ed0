"""``mergecast measure``: what merges of one's own models do, on the test samples of their tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import (
    BaseArgument,
    BatchNormOption,
    BatchSizeOption,
    CacheOption,
    DeviceOption,
    JsonOption,
    MergeParamOption,
    MergeSeedOption,
    MethodOption,
    ModelsArgument,
    PrivateOption,
    RecipeOption,
    SetsOption,
    StrictOption,
    SuiteOption,
    TasksOption,
    UncheckedOption,
    VocabularyOption,
    parse_merge_parameters,
)
from mergecast.cli.outputs import a_table


def command(
    base: BaseArgument,
    models: ModelsArgument,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Table to write: .parquet or .csv.", callback=a_table),
    ] = Path("outcomes.parquet"),
    tasks: TasksOption = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="All pairs, beside --sets and --members; the default.")
    ] = False,
    sets: SetsOption = None,
    members: Annotated[
        list[str] | None,
        typer.Option("--members", metavar="A+B", help="This set, by labels; repeat for others."),
    ] = None,
    method: MethodOption = None,
    recipe: RecipeOption = None,
    merge_param: MergeParamOption = None,
    merge_seed: MergeSeedOption = 0,
    reestimate_batchnorm: BatchNormOption = False,
    cache: CacheOption = None,
    batch_size: BatchSizeOption = 32,
    device: DeviceOption = "cpu",
    suite: SuiteOption = None,
    private: PrivateOption = None,
    strict: StrictOption = True,
    vocabulary: VocabularyOption = None,
    unchecked: UncheckedOption = False,
    json: JsonOption = False,
) -> None:
    """Merge models, and score every member with its own head on its task's test samples.

    Every task needs `test` in the task file. Prints what each member keeps of its single model's
    score (retention), with its paired standard error; the table is that of `bench run`, for
    `fit`, `report` and `forecast`. With --cache an interrupted run goes on where it was.

    Examples:

      mergecast measure base/ a/ b/ c/ --tasks t.yaml --cache work/

      mergecast measure base/ a/ b/ c/ --tasks t.yaml --method ties --sets 3

      mergecast measure base/ a/ b/ c/ --tasks t.yaml --members a+b -o o.csv

      mergecast measure base/ a/ b/ --tasks t.yaml --recipe "ties(scaling=1)"
    """
    import mergecast as mc
    from mergecast.runtime.outputs import check_file
    from mergecast.runtime.progress import progress_bars
    from mergecast.suites.tables import samples_path
    from mergecast.tables.io import check_format

    check_format(out)
    check_file(samples_path(out))
    with progress_bars() as bars:
        measured = mc.measure(
            base,
            models,
            tasks=tasks,
            pairs=pairs,
            sets=sets,
            members=members or (),
            methods=method,
            recipes=recipe,
            merge_params=parse_merge_parameters(merge_param),
            merge_seed=merge_seed,
            reestimate_batchnorm=reestimate_batchnorm,
            device=device,
            batch_size=batch_size,
            cache=cache,
            suite=suite,
            private=private or (),
            strict=strict,
            vocabulary=vocabulary,
            unchecked=unchecked,
            progress=bars,
        )
    measured.write(out)
    if json:
        print_json(
            {
                "out": out,
                "samples": measured.samples_path(out),
                "findings": [vars(finding) for finding in measured.findings],
                "table": measured.outcomes.frame.to_dict("records"),
                "missing": [vars(entry) for entry in measured.outcomes.missing],
            }
        )
        return
    from mergecast.report.outcome_tables import member_parts
    from mergecast.report.table import open_console, show

    show(open_console(), member_parts(measured.outcomes))
    print(f"table: {out}, scores of every sample: {measured.samples_path(out)}")
    matched = f", --vocabulary {vocabulary}" if vocabulary else ""
    print(
        f"next: mergecast forecast with the same models{matched} and --measured {out} tells what "
        "other merges of them keep. For a forecaster of your own: mergecast metrics with -o "
        f"pairs.parquet in that folder, then mergecast fit {out.parent} -o mine.json"
    )
