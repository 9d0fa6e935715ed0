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
    weight_findings,
)
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
from mergecast.tables.tiers import ABOUT

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.forecast.forecaster import Forecaster
    from mergecast.forecast.schema import ForecasterFile
    from mergecast.pairmetrics.evidence import Request


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
    task, alone and merged with stand-ins, which makes forecasts about twice as sharp. Prints
    retention (merged over single score) with its interval.

    Examples:

      mergecast forecast base.safetensors a.safetensors b.safetensors

      mergecast forecast base/ tuned-*/ --forecaster mine.json --report out/

      mergecast forecast base/ tuned-*/ --forecaster mine.json --sets 3
    """
    from mergecast.fingerprints.merge_settings import MergeSettings
    from mergecast.fingerprints.probing import ProbeSettings
    from mergecast.forecast.sets import check_size
    from mergecast.forecast.shipped import load_forecaster
    from mergecast.pairmetrics import Request

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
    chosen = _tier(loaded.file, tier, tasks)
    if chosen != "weights":
        check_device(device)
    given = read_tasks(tasks)
    family = open_family(base, models, private_patterns(private, given), strict)
    request = Request(
        family,
        given,
        ProbeSettings(calibration, seed, device, batch_size, cache=cache),
        workers,
        "refuse",
        merges=MergeSettings(merge_seed=merge_seed, methods=tuple(loaded.file.methods)),
    )
    pairs, refused, found = _pair_metrics(request, chosen, loaded.file)
    warnings += found
    for warning in warnings:
        note(f"warning: {warning}")

    from mergecast.report.family_summary import summarise_forecast

    forecast = loaded.forecast(pairs)
    if chosen in loaded.file.tiers and forecast.tier != chosen:
        warnings.append(_fallback(loaded.file, pairs, chosen, forecast.tier))
        note(f"warning: {warnings[-1]}")
    summary = summarise_forecast(
        forecast,
        pairs,
        loaded.file,
        base=str(base),
        models={label: str(model.path) for label, model in family.models.items()},
        forecaster_name=name,
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


def _fallback(file: ForecasterFile, pairs: pd.DataFrame, asked: str, used: str) -> str:
    """Why a forecast comes from less evidence than was gathered."""
    needs = {name for model in file.tiers[asked].values() for name in model.needs}
    reasons = [
        f" ({entry['key']}: {entry['reason']})"
        for entry in pairs.attrs["missing"]
        if entry["key"].partition(":")[0].partition(ABOUT)[0] in needs
    ]
    return (
        f"forecast from {used}: what the forecaster reads of {asked} is missing for every pair"
        f"{reasons[0] if reasons else ''}"
    )


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


def _tier(file: ForecasterFile, asked: str | None, tasks: Path | None) -> str:
    """The evidence to gather: what was asked for, or the richest that the forecaster reads."""
    from mergecast.errors import UsageError
    from mergecast.tables.tiers import ALL, known_tier

    tier = known_tier(asked) if asked else next(reversed(file.tiers)) if tasks else "weights"
    if tier == ALL:  # fitted on a table that does not say what its metrics took
        tier = "gradients"
    if tier != "weights" and tasks is None:
        raise UsageError("--tasks", f"not given, but tier {tier!r} runs models", "give a file")
    return tier


def _pair_metrics(
    request: Request, tier: str, file: ForecasterFile
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The pair table, the refused models with reasons, and what the task vectors show.

    Beyond weights only what the forecaster's models of that tier read is collected.
    """
    from mergecast.errors import FamilyError
    from mergecast.pairmetrics import collect_evidence, table_of
    from mergecast.runtime.progress import progress_bars

    family = request.family
    read = [file.tiers[tier]] if tier in file.tiers else file.tiers.values()
    keys = {name for models in read for model in models.values() for name in model.needs}
    with progress_bars() as bars:
        request.progress = bars
        evidence = collect_evidence(request, tier, keys=keys)
    fingerprints = evidence["weights"].fingerprints
    refused = {label: str(error) for label, error in family.refused.items()}
    refused |= fingerprints.refused
    findings = []
    for finding in weight_findings(fingerprints):
        text = f"{finding.message}; {finding.remedy}"
        if finding.severity != "error":
            findings.append(f"{finding.about}: {text}")
        elif finding.about == "family":
            raise FamilyError("models", finding.message, finding.remedy)
        else:
            refused[finding.about] = text
    for label in sorted(refused.keys() - family.refused.keys()):
        note(f"refused {label}: {refused[label]}")
    usable = [label for label in family.names if label not in refused]
    if len(usable) < 2:
        raise FamilyError(
            "models", f"{len(usable)} of them usable", "a forecast is of pairs: give two or more"
        )
    table = table_of(evidence, usable, methods=request.merges.methods)
    return table, refused, findings


def _write(summary: dict[str, object], folder: Path) -> None:
    import json

    from mergecast.report.html import write_html
    from mergecast.tables.io import replace_file

    write_html(summary, folder / "report.html")
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(folder / "forecast.json", lambda p: p.write_text(text, encoding="utf-8"))
