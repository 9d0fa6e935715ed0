"""Files of tasks: a first one drafted from the models' folders, and one tried before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mergecast.api.inputs import log_refused
from mergecast.errors import UsageError
from mergecast.family.family import Family, Models
from mergecast.runtime.files import write_text
from mergecast.typing import Names, listed


@dataclass(frozen=True)
class TasksDraft:
    """A file of tasks as it was drafted.

    Attributes
    ----------
    path : Path
        The file.
    labels : tuple of str
        Of the models that have a task in it.
    open : tuple of str
        What is still to be filled in: line and field of each TODO.
    refused : dict of str to str
        Every model left out, with the reason.
    """

    path: Path
    labels: tuple[str, ...]
    open: tuple[str, ...]
    refused: dict[str, str]


def draft_tasks(
    base: str | Path,
    models: Models,
    out: str | Path = "tasks.yaml",
    *,
    private: Names = (),
    strict: bool = True,
    force: bool = False,
) -> TasksDraft:
    """Write a first file of tasks from the models' folders; what only you know is left as TODO.

    Parameters
    ----------
    base : str or Path
        The base model.
    models : str, Path, sequence of them or mapping
        Fine-tuned models, or label to path.
    out : str or Path
        The file to write.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    force : bool
        Replace a file that is there.

    Returns
    -------
    TasksDraft
        The file, and what is to be filled in.

    Raises
    ------
    UsageError
        The file is there already; transformers is not installed.
    CheckpointError, FamilyError
        The base cannot be opened, or no model can be used at all.
    """
    from mergecast.tasks.draft import draft_task
    from mergecast.tasks.draft_file import draft_text
    from mergecast.tasks.load import open_fields

    path = Path(out)
    if path.exists() and not force:
        raise UsageError(path, "exists already", "give another file, or replace it with --force")
    family = Family.open(base, models, private=private, strict=strict, on_error="refuse")
    log_refused(family.refused)
    drafts = []
    for label, model in family.models.items():
        draft = draft_task(label, model, family.base, family.shared)
        draft.private = list(dict.fromkeys([*listed(private), *draft.private]))
        drafts.append(draft)
    text = draft_text(drafts, path)
    write_text(path, text)
    refused = {label: str(error) for label, error in family.refused.items()}
    fields = tuple(f"line {line}: {field}" for line, field in open_fields(text))
    return TasksDraft(path, family.names, fields, refused)
