"""What is asked of a family's models: the words that `metrics`, `plan` and `forecast` share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

from mergecast.api.inputs import Tasks, open_family, open_tasks
from mergecast.errors import UsageError
from mergecast.evidence import MergeSettings, ProbeSettings, Session, wanted
from mergecast.family.family import Family
from mergecast.family.models import Models
from mergecast.runtime.outputs import check_folder
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Names, listed

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A request for evidence, and what of it is wanted.

    Attributes
    ----------
    session : Session
        Family, tasks and settings.
    tier : str
        The richest evidence to gather.
    metrics : str or None
        A set of metrics; None for all that are collected by default.
    keys : collection of str or None
        Names of metrics (without their method); those of the set if None.
    suite : str
        Value of the suite column.
    """

    session: Session
    tier: str
    metrics: str | None
    keys: Collection[str] | None
    suite: str


def ask(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks = None,
    tier: str | None = None,
    metrics: str | None = None,
    keys: Collection[str] | None = None,
    methods: Names | None = None,
    merge_params: Mapping[str, Mapping[str, object]] | None = None,
    merge_samples: int | None = None,
    merge_seed: int = 0,
    reestimate_batchnorm: bool = False,
    calibration: int | Mapping[str, int] | None = None,
    layer: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
    cache: str | Path | None = None,
    suite: str | None = None,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    on_error: Literal["raise", "refuse"] = "raise",
    workers: int = 2,
    progress: Progress | None = None,
) -> Asked:
    """Check what is asked for before anything is read, then open the family.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    tasks : str, Path or mapping, optional
        A file of tasks, a suite's run folder, or label to `Task`; needed above the weights tier.
    tier : {"weights", "activations", "labels", "gradients", "probe"}, optional
        The evidence to gather, with that of the cheaper tiers; by default weights, and gradients
        where there are tasks.
    metrics : str, optional
        Only the metrics of this set (``paper``), and only what they need; ``all`` takes in
        gradient interference, which is left out by default.
    keys : collection of str, optional
        Only these metrics (names without their method), and only what they need.
    methods : str or sequence of str, optional
        Only metrics about these merging methods, beside those about none; the usual ones by
        default. A recipe's text, ``ties(density=0.5, scaling=1)``, is one too.
    merge_params : mapping of str to mapping, optional
        Merging method to its parameters, where they differ from the defaults; tables call it by the
        recipe that it then is.
    merge_samples : int, optional
        Samples of every task on which merges are measured; as `calibration` by default.
        Retention was validated with 40.
    merge_seed : int
        Seed that the merges' random masks will have.
    reestimate_batchnorm : bool
        Measure BatchNorm's running statistics anew after each merge.
    calibration : int or mapping of str to int, optional
        Samples of every task; by default 100, or all that a task has if it has fewer,
        which must be 10 at least. Or label to samples, for those that differ.
    layer : str, optional
        Block to take activations of; the last one by default.
    seed : int
        Of the choice of samples.
    device : str
        Where models run: ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size : int
        Samples run at once.
    cache : str or Path, optional
        Folder of finished work, to resume from; a temporary one by default.
    suite : str, optional
        The suite that the models are of, by label: the table's suite column.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
    on_error : {"raise", "refuse"}
        ``refuse`` goes on without the models that cannot be used.
    workers : int
        Work done side by side; the values do not depend on it.
    progress : Progress, optional
        Told of every stage.

    Raises
    ------
    UsageError
        An unknown tier, set of metrics, method, parameter or device; no tasks above weights.
    CheckpointError, FamilyError
        The base cannot be used, or a model (``on_error="raise"``); fewer than two models.
    """
    reach = tier or ("weights" if tasks is None else "gradients")
    wanted(reach, metrics)
    merges = MergeSettings(
        samples=merge_samples,
        methods=tuple(dict.fromkeys(listed(methods))) or None,
        merge_seed=merge_seed,
        params=dict(merge_params or {}),
        reestimate_batchnorm=reestimate_batchnorm,
    )
    _check_merges(merges)
    if reach != "weights":
        from mergecast.runtime.devices import check_device

        check_device(device)
    by_label = open_tasks(tasks, reach)
    kept = None if cache is None else Path(cache)
    if kept is not None:
        check_folder(kept)
    session = Session(
        open_family(
            family,
            models,
            private=private,
            strict=strict,
            vocabulary=vocabulary,
            tasks=by_label,
            refuse=on_error == "refuse",
        ),
        by_label,
        ProbeSettings(calibration, seed, device, batch_size, layer, kept),
        merges,
        workers,
        on_error,
        progress or Silent(),
    )
    return Asked(session, reach, metrics, keys, suite or "")


def same_words(model: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """A decorator: a function's signature and documented parameters are those of `model`."""

    def decorate(function: Callable[..., T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return function(*args, **kwargs)

        parameters = (model.__doc__ or "").partition("\n\n")[2]
        call.__doc__ = f"{(function.__doc__ or '').rstrip()}\n\n{parameters}"
        gives = signature(function).return_annotation
        shown = signature(model).replace(return_annotation=gives)
        call.__signature__ = shown  # type: ignore[attr-defined]
        return call

    return decorate


def _check_merges(merges: MergeSettings) -> None:
    """Raise UsageError for methods that there are not, and for wrong parameters."""
    if not merges.methods and not merges.params:
        return
    from mergecast.merging.method import METHODS

    for method, given in merges.params.items():
        if merges.methods and method not in merges.methods:
            raise UsageError(
                f"parameter {next(iter(given), '')!r} of {method}",
                f"is of a method that is not asked for (methods: {', '.join(merges.methods)})",
                f"add {method} to the methods",
            )
        METHODS.get(method).validate(given)
    merges.recipes()
