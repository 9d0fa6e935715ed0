"""``mergecast forecast``: what merging these models would do, before anyone merges them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import finish, note, print_json
from mergecast.cli.options import (
    BatchSizeOption,
    CacheOption,
    CalibrationOption,
    DeviceOption,
    JsonOption,
    MaybeBaseArgument,
    MaybeModelsArgument,
    MergekitOption,
    MergeSeedOption,
    MethodOption,
    MetricSetOption,
    PrivateOption,
    SeedOption,
    SetsOption,
    StrictOption,
    SuiteOption,
    TasksOption,
    TierOption,
    VerboseOption,
    VocabularyOption,
    WorkersOption,
)
from mergecast.cli.outputs import a_picture, a_report
from mergecast.errors import UsageError


def command(
    base: MaybeBaseArgument = None,
    models: MaybeModelsArgument = None,
    forecaster: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME", help="Forecaster of `mergecast fit`, or the name of a shipped one."
        ),
    ] = None,
    method: MethodOption = None,
    suite: SuiteOption = None,
    measured: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Merges of these models that were measured, by label: a table of `mergecast "
            "measure`, or a CSV with method, members, task, score, single_score.",
        ),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A+B", help="Show every method of this pair, and why; repeat for others."
        ),
    ] = None,
    verbose: VerboseOption = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write report.html, .md and forecast.json to this folder.",
            callback=a_report,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw all pairs and what else there is (strengths, measured merges, layers): a "
            ".png, .svg or .pdf; needs mergecast[plot].",
            callback=a_picture,
        ),
    ] = None,
    mergekit: MergekitOption = None,
    tasks: TasksOption = None,
    tier: TierOption = None,
    metrics: MetricSetOption = None,
    calibration: CalibrationOption = None,
    cache: CacheOption = None,
    batch_size: BatchSizeOption = 32,
    seed: SeedOption = 0,
    merge_seed: MergeSeedOption = 0,
    device: DeviceOption = "cpu",
    sets: SetsOption = None,
    strengths: Annotated[
        bool,
        typer.Option(
            "--strengths", help="Find the best strength of every pair (and set); needs --tasks."
        ),
    ] = False,
    private: PrivateOption = None,
    strict: StrictOption = True,
    vocabulary: VocabularyOption = None,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Forecast what each pair of models keeps under each merging method, and which one to use.

    From weights alone nothing is run. With --tasks the evidence is taken that the forecaster
    reads: by default every model answers a few samples of its own task and of the others', and
    of its own merged alone by each method, which makes forecasts much sharper. Prints
    retention (merged over single score) with its interval. With --suite the models are those of
    this suite of the forecaster, and what their merges did is used; with --measured, all
    forecasts are moved by what merges of these models did, from one measured pair on. With
    --mergekit and --tasks the one merge that the file says is made in memory, whatever its
    weights, and values by layer, and answers the samples.

    Examples:

      mergecast forecast base.safetensors a.safetensors b.safetensors

      mergecast forecast base/ tuned-*/ --tasks t.yaml --report out/

      mergecast forecast base/ tuned-*/ --tasks t.yaml --cache seen/ --pair a+b

      mergecast forecast base/ zoo/*/ new/ --forecaster zoo.json --suite zoo

      mergecast forecast base/ tuned-*/ --measured outcomes.parquet

      mergecast forecast base/ tuned-*/ --forecaster mine.json --sets 3

      mergecast forecast base/ a/ b/ --tasks t.yaml --strengths --sets 3

      mergecast forecast --mergekit merge.yml --tasks t.yaml
    """
    import mergecast as mc
    from mergecast.report.table import open_console, show
    from mergecast.runtime.progress import progress_bars

    if mergekit is not None:
        asked = (base, models, forecaster, method, suite, measured, report, tier, metrics, sets)
        if any(one is not None and one != [] for one in (*asked, pair, plot)) or strengths:
            raise UsageError(
                "--mergekit",
                "given beside models, or what is forecast of many merges",
                "give the file with --tasks alone, or leave it out",
            )
        if tasks is None:
            raise UsageError(
                "--mergekit",
                "given without --tasks",
                "give the models' tasks: nothing in weights alone says what one merge keeps",
            )
        merge = mc.read_mergekit(mergekit, seed=merge_seed)
        with progress_bars() as bars:
            one = mc.forecast_merge(
                merge.base,
                dict(merge.models),
                recipe=merge.recipe,
                tasks=tasks,
                calibration=calibration,
                seed=seed,
                device=device,
                batch_size=batch_size,
                cache=cache,
                private=private or (),
                strict=strict,
                vocabulary=vocabulary,
                progress=bars,
            )
        if json:
            print_json(one.to_dict())
        else:
            show(open_console(), one.parts)
        return
    if base is None or not models:
        raise UsageError("models", "not given", "name the base, then the models")
    _check_pairs(pair or (), models)
    size = _one_size(sets)
    with progress_bars() as bars:
        forecast = mc.forecast(
            base,
            models,
            tasks=tasks,
            forecaster=forecaster,
            tier=tier,
            metrics=metrics,
            methods=method,
            suite=suite,
            measured=measured,
            sets=size,
            strengths=strengths,
            calibration=calibration,
            seed=seed,
            merge_seed=merge_seed,
            device=device,
            batch_size=batch_size,
            cache=cache,
            private=private or (),
            strict=strict,
            vocabulary=vocabulary,
            workers=workers,
            progress=bars,
        )
    for unused in forecast.unused:
        note(unused)
    for warning in forecast.warnings:
        note(f"warning: {warning}")
    summary = mc.report(forecast, report)
    if json:
        print_json(summary)
    else:
        from mergecast.report.family_terminal import forecast_parts
        from mergecast.report.table import open_console, show

        show(open_console(), forecast_parts(summary, pairs=pair or (), verbose=verbose))
        if report is not None:
            page = report if report.suffix in {".html", ".htm"} else report / "report.html"
            print(f"page: {page}")
    if plot is not None:
        forecast.plot(plot)
    finish(bool(forecast.refused))


def _one_size(sizes: Sequence[int] | None) -> int | None:
    """The size of the sets to be ranked; raises UsageError for several."""
    if sizes and len(sizes) > 1:
        given = " and ".join(map(str, sizes))
        raise UsageError("--sets", f"is {given}", "rank sets of one size at a time")
    return sizes[0] if sizes else None


def _check_pairs(pairs: Sequence[str], models: Sequence[Path]) -> None:
    """Raise UsageError for a model that is not there, before anything is run."""
    from mergecast.family.labels import labelled

    labels = list(labelled(models))
    for text in pairs:
        parts = [part.strip() for part in text.split("+")]
        if len(parts) != 2:
            raise UsageError("--pair", f"is {text!r}", "give two models, as a+b")
        for label in parts:
            if label not in labels:
                raise UsageError.unknown("model of --pair", label, labels)
