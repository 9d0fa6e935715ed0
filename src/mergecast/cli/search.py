"""``mergecast search``: from a pool of models to a verified merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import finish, note, print_json
from mergecast.cli.options import (
    BaseArgument,
    BatchSizeOption,
    CacheOption,
    CalibrationOption,
    DeviceOption,
    JsonOption,
    MethodOption,
    ModelsArgument,
    ObjectiveOption,
    OverwriteOption,
    PrivateOption,
    SeedOption,
    StrictOption,
    TasksOption,
    VocabularyOption,
    WorkersOption,
    parse_weights,
)
from mergecast.cli.outputs import a_folder
from mergecast.errors import UsageError


def command(
    base: BaseArgument,
    models: ModelsArgument,
    tasks: TasksOption = None,
    objective: ObjectiveOption = None,
    importance: Annotated[
        str | None,
        typer.Option(metavar="A=2,B=1", help="How much each model counts; 1 for others."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A>=0.95",
            help="What a model must keep, or every one: '*>=0.9'; repeat for others.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="N|2..4|any", help="Models in the merge; all of them by default."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="A", help="A model that must be in the merge; repeat for others."),
    ] = None,
    method: MethodOption = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="30m|200", help="A time, or a number of measurements."),
    ] = None,
    epsilon: Annotated[
        float, typer.Option(help="A merge better by no more than this is as good.")
    ] = 0.005,
    confidence: Annotated[
        float, typer.Option(help="The probability that none is better, at which it ends.")
    ] = 0.9,
    scorer: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="A judge of your own: a command with {model} and {task} that prints a number.",
        ),
    ] = None,
    verify_scorer: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="A judge of the choice alone, beside --scorer: the same on other samples.",
        ),
    ] = None,
    scorer_cost: Annotated[
        str | None,
        typer.Option(
            metavar="A=600,B=5",
            help="What a run of --scorer on each task costs, as seconds; 1 for others.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the merged model.", callback=a_folder),
    ] = None,
    forecaster: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME", help="Forecaster of `mergecast fit`, or the name of a shipped one."
        ),
    ] = None,
    calibration: CalibrationOption = None,
    cache: CacheOption = None,
    batch_size: BatchSizeOption = 32,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    private: PrivateOption = None,
    strict: StrictOption = True,
    vocabulary: VocabularyOption = None,
    overwrite: OverwriteOption = False,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Find the merge worth making, make it, and verify it on samples that were held back.

    Every merge is forecast; then merges are made and measured where that is expected to gain most,
    until the best is known or the budget is spent. What was measured is kept (in --cache, or
    OUT.search), so that an interrupted search goes on where it was. Nothing is held back from a
    --scorer; a --verify-scorer beside it scores the single models and the choice alone. The folder
    gets the merged model, a model card (README.md), search.html, and mergekit.yml where mergekit
    has the recipe. Without --require it is the best merge there is, however little that keeps: the
    first lines name the models that keep less than 90 % of their own. Where no merge keeps what
    --require asks for, or the best keeps nothing of a model or less than the base, nothing is
    written, and the exit code is 4.

    Examples:

      mergecast search base/ a/ b/ c/ --tasks t.yaml -o merged/

      mergecast search base/ zoo/*/ --tasks t.yaml --size 2..4 --budget 15m -o m/

      mergecast search base/ zoo/*/ --tasks t.yaml --keep a --require "*>=0.95"

      mergecast search base/ a/ b/ --tasks t.yaml --scorer "./eval.sh {model} {task}"

      mergecast search b/ m*/ --tasks t.yaml --scorer "./a {model}" --verify-scorer "./b {model}"
    """
    import mergecast as mc
    from mergecast.runtime.progress import progress_bars

    with progress_bars() as bars:
        found = mc.search(
            base,
            models,
            tasks=tasks,
            objective=None if objective is None else objective.value,
            importance=parse_weights(importance, "--importance"),
            require=parse_requirements(require or []),
            size=size,
            keep=keep or (),
            methods=method,
            budget=budget,
            epsilon=epsilon,
            confidence=confidence,
            scorer=scorer,
            verify_scorer=verify_scorer,
            scorer_cost=parse_weights(scorer_cost, "--scorer-cost"),
            out=out,
            forecaster=forecaster,
            calibration=calibration,
            seed=seed,
            device=device,
            batch_size=batch_size,
            cache=cache,
            private=private or (),
            strict=strict,
            vocabulary=vocabulary,
            overwrite=overwrite,
            workers=workers,
            progress=bars,
        )
    for text in (*found.left_out, *found.warnings):
        note(f"warning: {text}")
    if json:
        print_json(found.to_dict())
    else:
        from mergecast.report.table import open_console, show
        from mergecast.search.shown import search_parts

        show(open_console(), search_parts(found.to_dict()))
        if found.out is not None:
            print(f"merged model: {found.out}")
            print(f"page: {found.out / 'search.html'}")
    if found.advice != "merge":
        raise typer.Exit(4)
    finish(bool(found.refused))


def parse_requirements(given: list[str]) -> dict[str, float]:
    """``a>=0.95``, one or more in each text, as label to number; raises UsageError."""
    found: dict[str, float] = {}
    for text in (part.strip() for one in given for part in one.split(",")):
        label, sign, value = (part.strip() for part in text.partition(">="))
        try:
            least = float(value)
        except ValueError:
            sign = ""
        if not sign or not label:
            raise UsageError("--require", f"is {text!r}", "write LABEL>=NUMBER, as a>=0.95")
        if label in found:
            raise UsageError(f"--require {label}", "given twice", "give each model one number")
        found[label] = least
    return found
