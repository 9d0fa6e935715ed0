"""``mergecast tasks``: a file of tasks drafted from folders, and tried before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import finish, print_json
from mergecast.cli.options import (
    BaseArgument,
    BatchSizeOption,
    CalibrationOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    ModelsArgument,
    PrivateOption,
    SeedOption,
    StrictOption,
    VocabularyOption,
)
from mergecast.cli.outputs import a_file

if TYPE_CHECKING:
    from mergecast.api.task_files import TasksCheck
    from mergecast.tasks.trial import Trial

app = typer.Typer(
    help="""Draft the file of tasks that --tasks takes, and try it before it is used.

    Examples:

      mergecast tasks init base/ a/ b/ -o tasks.yaml

      mergecast tasks check tasks.yaml base/ a/ b/
    """,
)


@app.command(short_help="Write a first file of tasks from the models' folders.")
def init(
    base: BaseArgument,
    models: ModelsArgument,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The file to write.", callback=a_file)
    ] = Path("tasks.yaml"),
    private: PrivateOption = None,
    strict: StrictOption = True,
    vocabulary: VocabularyOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write a first file of tasks: what builds each model, its head, and TODO for its samples.

    Examples:

      mergecast tasks init base/ a/ b/ c/ -o tasks.yaml
    """
    import mergecast as mc

    draft = mc.draft_tasks(
        base, models, out, private=private or (), strict=strict, vocabulary=vocabulary, force=force
    )
    if json:
        print_json(vars(draft))
    else:
        print(f"{len(draft.labels)} tasks → {draft.path}")
        for place in draft.open:
            print(f"to fill in: {place}")
        matched = f" --vocabulary {vocabulary}" if vocabulary else ""
        print(f"then: mergecast tasks check {draft.path} {base} MODEL...{matched}")
    finish(bool(draft.refused))


@app.command(short_help="Try some samples of every task.")
def check(
    tasks: Annotated[Path, typer.Argument(metavar="TASKS", help="The file of tasks.")],
    base: Annotated[
        Path | None, typer.Argument(metavar="[BASE]", help="The base model: a file or a folder.")
    ] = None,
    models: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MODEL...]", help="The models: only their tasks are tried."),
    ] = None,
    private: PrivateOption = None,
    strict: StrictOption = True,
    vocabulary: VocabularyOption = None,
    calibration: CalibrationOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    batch_size: BatchSizeOption = 32,
    json: JsonOption = False,
) -> None:
    """Try some samples of every task: its file, columns, labels, and the model's answers.

    Without models their architectures run one batch with random values, which shows everything
    but scores. Exit code 0: all can be used; 3: some cannot; 4: none can.

    Examples:

      mergecast tasks check tasks.yaml

      mergecast tasks check tasks.yaml base/ a/ b/ c/
    """
    import mergecast as mc

    found = mc.check_tasks(
        tasks,
        base,
        models,
        private=private or (),
        strict=strict,
        vocabulary=vocabulary,
        calibration=calibration,
        seed=seed,
        device=device,
        batch_size=batch_size,
    )
    if json:
        print_json(found.to_dict())
    else:
        _print(found)
    if not found.usable:
        raise typer.Exit(4)
    finish(bool(found.refused))


def _print(found: TasksCheck) -> None:
    from mergecast.report.table import Table, open_console, show

    names = (
        "task",
        "verdict",
        "kind",
        "samples",
        "test",
        "tried",
        "labels",
        "score",
        "test score",
        "base",
        "commonest",
        "cut",
        "empty",
        "ms",
    )
    caption = (
        "samples, test: what the file holds; of those tried, labels: different ones, of the "
        "model's classes; score, test score: the model's on either; base: the base's with the "
        "model's head; commonest: one class for all; cut: texts longer than max_length; ms: of the "
        "forward pass, a sample"
    )
    rows = [_cells(trial) for trial in found.trials]
    show(open_console(), [Table("Tasks, tried", names, rows, keys=2, caption=caption)])
    for label, reason in found.refused.items():
        print(f"error: {label}: {reason}")
    for trial in found.trials:
        for warning in trial.warnings:
            print(f"warning: {trial.label}: {warning}")
    if not found.ran_models:
        print(
            "no models were given: architectures ran with random values, and labels of heads that "
            "tasks call private were not held against their classes"
        )


def _cells(trial: Trial) -> list[str]:
    from mergecast.report.table import MISSING, number

    def shown(value: object) -> str:
        return MISSING if value is None else str(value)

    labels = f"{len(trial.labels)} of {trial.classes}" if trial.labels else MISSING
    return [
        trial.label,
        "REFUSED" if trial.problem else "usable",
        shown(trial.kind),
        shown(trial.sizes.get("calibration")),
        shown(trial.sizes.get("test")),
        shown(trial.tried),
        labels,
        number(trial.score),
        number(trial.test_score),
        number(trial.base_score),
        number(trial.commonest),
        shown(trial.cut),
        shown(trial.empty),
        number(None if trial.seconds is None else 1000 * trial.seconds, 1),
    ]
