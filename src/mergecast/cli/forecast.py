"""``mergecast forecast``: what merging these models would do, before anyone merges them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    weight_findings,
)

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.family.family import Family
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
    private: PrivateOption = None,
    strict: StrictOption = True,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Forecast what each pair of models keeps under each merging method, and which one to use.

    Nothing is merged or run. Prints retention (merged over single score) with its interval.

    Examples:

      mergecast forecast base.safetensors a.safetensors b.safetensors

      mergecast forecast base/ tuned-*/ --forecaster mine.json --report out/

      mergecast forecast base/ zoo/*/ new/ --forecaster zoo.json --suite zoo
    """
    from mergecast.forecast.shipped import load_forecaster

    name, loaded = load_forecaster(forecaster)
    warnings = []
    if forecaster is None:
        warnings.append(
            f"no --forecaster given: {name} is used, which was fitted on small digit networks; "
            "elsewhere it is out of its domain"
        )
    loaded = _restricted(loaded, method)
    family = open_family(base, models, private, strict)
    pairs, refused, found = _pair_metrics(family, workers)
    warnings += found
    for warning in warnings:
        note(f"warning: {warning}")

    from mergecast.report.family_summary import summarise_forecast

    summary = summarise_forecast(
        loaded.forecast(pairs, suite=suite),
        pairs,
        loaded.file,
        base=str(base),
        models={label: str(model.path) for label, model in family.models.items()},
        forecaster_name=name,
        suite=suite,
        warnings=warnings,
        refused=refused,
    )
    for warning in summary["warnings"][len(warnings) :]:
        note(f"warning: {warning}")
    if report is not None:
        _write(summary, report)
    if json:
        print_json(summary)
    else:
        from rich.console import Console

        from mergecast.report.terminal import print_forecast

        print_forecast(summary, Console())
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


def _pair_metrics(family: Family, workers: int) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The pair table, the refused models with reasons, and what the task vectors show."""
    from mergecast.errors import FamilyError
    from mergecast.pairmetrics import Request, collect_evidence, table_of
    from mergecast.runtime.progress import progress_bars

    with progress_bars() as bars:
        request = Request(family, workers=workers, on_error="refuse", progress=bars)
        evidence = collect_evidence(request, "weights")
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
    return table_of(evidence, usable), refused, findings


def _write(summary: dict[str, object], folder: Path) -> None:
    import json

    from mergecast.report.html import write_html
    from mergecast.tables.io import replace_file

    write_html(summary, folder / "report.html")
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(folder / "forecast.json", lambda p: p.write_text(text, encoding="utf-8"))
