"""A merge's strength and weights, chosen by what its members keep on a few samples of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mergecast.api.inputs import Tasks, open_family, open_tasks
from mergecast.api.merge_search import MergeSearch, Objective, TunedMerge
from mergecast.errors import UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import MergeSettings, ProbeSettings
from mergecast.family.family import Family
from mergecast.family.models import Models
from mergecast.merging.recipe import Given, Recipe
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Names


def tune_merge(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks,
    method: Given,
    params: Mapping[str, object] | None = None,
    scaling: float | Literal["auto"] | None = "auto",
    weights: Mapping[str, float] | Literal["auto"] | None = None,
    objective: Objective = "mean",
    calibration: int | None = None,
    seed: int = 0,
    merge_seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    progress: Progress | None = None,
) -> TunedMerge:
    """Choose the strength, and the models' weights, of one merge, by making it.

    All models are merged at several strengths in memory, each merge answers a few samples of every
    model's task, and the one is taken that keeps most. With weights, a merge with the best
    strength and equal weights stands beside it.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base; all its models are merged.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    tasks : str, Path or mapping
        A file of tasks, a suite's run folder, or label to `Task`.
    method : str, Recipe or mapping
        A merging method, or a whole recipe.
    params : mapping of str to object, optional
        The method's parameters beside its name.
    scaling : float or "auto", optional
        The strength, or ``auto`` to choose it; None for the recipe's own.
    weights : mapping of str to float or "auto", optional
        The models' weights, or ``auto`` to choose them.
    objective : {"mean", "worst"}
        What is made as large as can be: the mean of what the models keep, or the least.
    calibration : int, optional
        Samples of every task; by default 100, or all that a task has if it has fewer.
    seed : int
        Of the choice of samples.
    merge_seed : int
        Of random masks.
    device : str
        Where models run and merges are made.
    batch_size : int
        Samples run at once.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
    progress : Progress, optional
        Told of every merge.

    Returns
    -------
    TunedMerge
        Its `recipe` is what `write_merge` takes.

    Raises
    ------
    UsageError
        The method has no strength or takes no weights where they are to be chosen, it needs
        evidence of tasks, there is nothing to choose, or a model has no task.
    FamilyError, CheckpointError
        The models cannot be merged or run.
    UndefinedError
        What a model keeps is not defined, whatever the strength.
    """
    if scaling != "auto" and weights != "auto":
        raise UsageError("scaling and weights", "neither is 'auto'", "give 'auto' for one of them")
    if objective not in ("mean", "worst"):
        raise UsageError.unknown("objective", objective, ("mean", "worst"))
    given = Recipe.of(
        method,
        params,
        scaling=None if scaling == "auto" else scaling,
        weights=None if weights == "auto" else weights,
        seed=0 if isinstance(method, Recipe | Mapping) else merge_seed,
    )
    if given.by_parameter:
        raise UsageError(
            f"recipe {given}", "cannot be tuned: it has values by parameter", "merge it as it is"
        )
    if scaling == "auto":
        given.check_strength()
    if given.merging_method.evidence is not None:
        raise UsageError(
            f"weights of {given.method}",
            "cannot be chosen: it needs evidence of the tasks itself",
            "give them, or choose another method",
        )
    by_label = open_tasks(tasks, "activations")
    opened = open_family(
        family, models, private=private, strict=strict, vocabulary=vocabulary, tasks=by_label
    )
    if weights == "auto":
        Recipe(given.method, given.params, dict.fromkeys(opened.names, 1.0))  # refuses where none
    settings = ProbeSettings(calibration, seed, device, batch_size)
    with Session(opened, by_label, settings, MergeSettings(merge_seed=given.seed)) as session:
        search = MergeSearch(session, objective, progress or Silent())
        search.trial("given", given)
        if scaling == "auto":
            search.strength(given)
        if weights == "auto":
            search.weights(free=scaling == "auto")
        return search.result()
