"""``mergecast tasks``: a file of tasks drafted from folders, and tried before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import finish, print_json
from mergecast.cli.options import (
    BaseArgument,
    ForceOption,
    JsonOption,
    ModelsArgument,
    PrivateOption,
    StrictOption,
)

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
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")] = Path(
        "tasks.yaml"
    ),
    private: PrivateOption = None,
    strict: StrictOption = True,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write a first file of tasks: what builds each model, its head, and TODO for its samples.

    Examples:

      mergecast tasks init base/ a/ b/ c/ -o tasks.yaml
    """
    import mergecast as mc

    draft = mc.draft_tasks(base, models, out, private=private or (), strict=strict, force=force)
    if json:
        print_json(vars(draft))
    else:
        print(f"{len(draft.labels)} tasks → {draft.path}")
        for place in draft.open:
            print(f"to fill in: {place}")
        print(f"then: mergecast tasks check {draft.path} {base} MODEL...")
    finish(bool(draft.refused))
