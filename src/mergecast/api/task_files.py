"""Files of tasks: a first one drafted from the models' folders, and one tried before it is used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.api.inputs import load_tasks, log_refused, open_family
from mergecast.errors import FamilyError, UsageError
from mergecast.family.family import Family
from mergecast.family.models import Models
from mergecast.runtime.files import write_text
from mergecast.runtime.least import at_least
from mergecast.runtime.outputs import check_file
from mergecast.typing import Names, listed

if TYPE_CHECKING:
    from mergecast.tasks.trial import Trial


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
    vocabulary: str | None = None,
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
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
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
    check_file(path)
    family = Family.open(
        base, models, private=private, strict=strict, vocabulary=vocabulary, on_error="refuse"
    )
    log_refused(family.refused)
    refused = {label: str(error) for label, error in family.refused.items()}
    drafts = []
    for label, model in family.models.items():
        if model.path.resolve() == family.base.path.resolve():
            refused[label] = str(FamilyError(model.path, "is the base itself", "leave it out"))
            log_refused({label: refused[label]})
            continue
        draft = draft_task(label, model, family.base, family.shared)
        draft.private = list(dict.fromkeys([*listed(private), *draft.private]))
        drafts.append(draft)
    if not drafts:
        raise FamilyError("models", "none but the base", "give the models fine-tuned from it")
    text = draft_text(drafts, path)
    write_text(path, text)
    fields = tuple(f"line {line}: {field}" for line, field in open_fields(text))
    return TasksDraft(path, tuple(draft.label for draft in drafts), fields, refused)


@dataclass(frozen=True)
class TasksCheck:
    """What some samples of each task showed.

    Attributes
    ----------
    trials : tuple of Trial
        One a task, in the order of the file or of the models.
    refused : dict of str to str
        Label to the reason, of tasks and models that cannot be used.
    ran_models : bool
        Whether the models were run; otherwise their architectures with random values.
    """

    trials: tuple[Trial, ...]
    refused: dict[str, str]
    ran_models: bool

    @property
    def usable(self) -> list[str]:
        """Labels of the tasks that can be used."""
        return [trial.label for trial in self.trials if trial.label not in self.refused]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "usable": self.usable,
            "refused": self.refused,
            "ran_models": self.ran_models,
            "tasks": [asdict(trial) for trial in self.trials],
        }


def check_tasks(
    tasks: str | Path,
    base: str | Path | None = None,
    models: Models | None = None,
    *,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    calibration: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
) -> TasksCheck:
    """Try some samples of every task of a file, with its model where models are given.

    Parameters
    ----------
    tasks : str or Path
        A file of tasks, or a suite's run folder.
    base : str or Path, optional
        The base model; without one the architectures are run with random values.
    models : str, Path, sequence of them or mapping, optional
        Fine-tuned models, or label to path: only their tasks are tried.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
    calibration : int, optional
        Samples of every task; by default 100, or all that a task has if it has fewer.
    seed : int
        Of the choice of samples.
    device : str
        Where models run: ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size : int
        Samples run at once.

    Returns
    -------
    TasksCheck
        A trial for every task, and what is refused.

    Raises
    ------
    UsageError
        The file is wrong, by line and field; an unknown device.
    CheckpointError, FamilyError
        The base cannot be opened, or no model can be used at all.
    """
    from mergecast.checkpoints.torch_bridge import read_state
    from mergecast.evidence.session import run_as
    from mergecast.evidence.settings import CALIBRATION
    from mergecast.merging.stand_ins import with_own_head
    from mergecast.runtime.devices import check_device
    from mergecast.tasks.trial import try_task

    check_device(device)
    at_least(0, seed=seed)
    at_least(1, calibration=calibration, batch_size=batch_size)
    by_label = load_tasks(tasks)
    trial = partial(
        try_task,
        count=calibration or CALIBRATION,
        seed=seed,
        device=device,
        batch_size=batch_size,
    )
    if base is None:
        trials = [trial(task) for task in by_label.values()]
        return TasksCheck(tuple(trials), {t.label: t.problem for t in trials if t.problem}, False)
    family = open_family(
        base,
        models,
        private=private,
        strict=strict,
        vocabulary=vocabulary,
        tasks=by_label,
        refuse=True,
    )
    refused = {label: str(error) for label, error in family.refused.items()}
    of_base = read_state(family.base)
    trials = []
    for label, model in family.models.items():
        if label not in by_label:
            refused[label] = str(UsageError.unknown("task of model", label, by_label))
            continue
        state = read_state(family.whole(label))
        beside = {**state, **with_own_head(family, of_base, label)}
        task = run_as(family, label, by_label[label])
        trials.append(trial(task, state, beside, spare=model.passed_on))
    refused |= {one.label: one.problem for one in trials if one.problem}
    return TasksCheck(tuple(trials), refused, True)
