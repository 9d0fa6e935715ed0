"""``mergecast forecast``: what merging these models would do, before anyone merges them."""

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
)
from mergecast.cli.forecast_evidence import pair_metrics, tier_to_gather, why_less
from mergecast.cli.merge_options import MergeSeedOption
from mergecast.cli.probe_options import (
    BatchSizeOption,
    CacheOption,
    CalibrationOption,
    ProbeSeedOption,
    TasksOption,
    private_patterns,
    read_tasks,
)

if TYPE_CHECKING:
    from mergecast.forecast.forecaster import Forecaster


def command(
    base: BaseArgument,
    models: ModelsArgument,
    forecaster: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME", help="Forecaster of `mergecast fit`, or the name of a shipped one."
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="M", help="Merging method (repeat); by default all that are known."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Models are those of this suite of the forecaster, by label: use what their "
            "merges did.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.html and forecast.json to this folder."),
    ] = None,
    tasks: TasksOption = None,
    tier: Annotated[
        str | None,
        typer.Option(help="Evidence to gather; by default the richest that the forecaster reads."),
    ] = None,
    calibration: CalibrationOption = 100,
    cache: CacheOption = None,
    batch_size: BatchSizeOption = 32,
    seed: ProbeSeedOption = 42,
    merge_seed: MergeSeedOption = 0,
    device: DeviceOption = "cpu",
    sets: Annotated[
        int | None,
        typer.Option(metavar="K", help="Also rank all sets of K of the models, from their pairs."),
    ] = None,
    private: PrivateOption = None,
    strict: StrictOption = True,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Forecast what each pair of models keeps under each merging method, and which one to use.

    From weights alone nothing is run. With --tasks every model answers a few samples of its own
    task, alone and merged with stand-ins, which makes forecasts much sharper. Prints
    retention (merged over single score) with its interval.

    Examples:

      mergecast forecast base.safetensors a.safetensors b.safetensors

      mergecast forecast base/ tuned-*/ --forecaster mine.json --report out/

      mergecast forecast base/ zoo/*/ new/ --forecaster zoo.json --suite zoo

      mergecast forecast base/ tuned-*/ --forecaster mine.json --sets 3
    """
    from mergecast.evidence import MergeSettings, ProbeSettings, Session
    from mergecast.forecast.sets import check_size
    from mergecast.forecast.shipped import load_forecaster

    if sets is not None:
        check_size(sets, len(models))
    name, loaded = load_forecaster(forecaster)
    warnings = []
    if forecaster is None:
        warnings.append(
            f"no --forecaster given: {name} is used, which was fitted on small digit networks; "
            "elsewhere it is out of its domain"
        )
    loaded = _restricted(loaded, method)
    chosen = tier_to_gather(loaded.file, tier, tasks)
    if chosen != "weights":
        check_device(device)
    given = read_tasks(tasks)
    family = open_family(base, models, private_patterns(private, given), strict)
    with Session(
        family,
        given,
        ProbeSettings(calibration, seed, device, batch_size, cache=cache),
        MergeSettings(merge_seed=merge_seed, methods=tuple(loaded.file.methods)),
        workers,
        "refuse",
    ) as session:
        pairs, refused, found = pair_metrics(session, chosen, loaded.file, warm=suite is not None)
    warnings += found
    for warning in warnings:
        note(f"warning: {warning}")

    from mergecast.report.family_summary import summarise_forecast

    forecast = loaded.forecast(pairs, suite=suite)
    if chosen in loaded.file.tiers and forecast.tier != chosen:
        warnings.append(why_less(loaded.file, pairs, chosen, forecast.tier))
        note(f"warning: {warnings[-1]}")
    summary = summarise_forecast(
        forecast,
        pairs,
        loaded.file,
        base=str(base),
        models={label: str(model.path) for label, model in family.models.items()},
        forecaster_name=name,
        suite=suite,
        warnings=warnings,
        refused=refused,
    )
    if sets is not None:
        from mergecast.report.set_summary import summarise_sets

        usable = sorted({*pairs["left"], *pairs["right"]})
        summary["sets"] = summarise_sets(forecast.rows, usable, sets)
    for warning in summary["warnings"][len(warnings) :]:
        note(f"warning: {warning}")
    if report is not None:
        _write(summary, report)
    if json:
        print_json(summary)
    else:
        from rich.console import Console

        from mergecast.report.terminal import print_forecast

        console = Console()
        print_forecast(summary, console)
        if sets is not None:
            from mergecast.report.set_terminal import print_sets

            print_sets(summary["sets"], console)
        if report is not None:
            print(f"page: {report / 'report.html'}")
    finish(bool(refused))


def _restricted(forecaster: Forecaster, methods: list[str] | None) -> Forecaster:
    """The forecaster with only the methods asked for."""
    from mergecast.errors import UsageError
    from mergecast.forecast.forecaster import Forecaster

    if not methods:
        return forecaster
    known = forecaster.file.methods
    for name in methods:
        if name not in known:
            raise UsageError.unknown("method", name, known)
    tiers = {
        tier: {name: model for name, model in models.items() if name in methods}
        for tier, models in forecaster.file.tiers.items()
    }
    return Forecaster(forecaster.file.model_copy(update={"tiers": tiers}))


def _write(summary: dict[str, object], folder: Path) -> None:
    import json

    from mergecast.report.html import write_html
    from mergecast.tables.io import replace_file

    write_html(summary, folder / "report.html")
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(folder / "forecast.json", lambda p: p.write_text(text, encoding="utf-8"))
