"""Measuring one's own merges: merge, give each member its own head, score on its test samples."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import comb
from pathlib import Path

from mergecast.api.asked import ask
from mergecast.api.inputs import Tasks
from mergecast.errors import UsageError
from mergecast.evidence import MetricSpec, Session
from mergecast.evidence.apart import shared_tests
from mergecast.evidence.plan import pass_seconds
from mergecast.evidence.retention.collect import stand_ins_of
from mergecast.evidence.superposition.checks import superposition_cost
from mergecast.family.family import Family
from mergecast.family.light import refuse_unusable
from mergecast.family.models import Models
from mergecast.runtime.progress import Progress
from mergecast.suites.merges import Recipes, asked_merges, asked_recipes
from mergecast.suites.own import Measured, check_tests, measure_merges
from mergecast.typing import Names, listed

log = logging.getLogger(__name__)


def measure(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks = None,
    pairs: bool = False,
    sets: int | Iterable[int] | None = None,
    members: Names = (),
    methods: Names | None = None,
    recipes: Recipes | None = None,
    merge_params: Mapping[str, Mapping[str, object]] | None = None,
    merge_seed: int = 0,
    reestimate_batchnorm: bool = False,
    device: str = "cpu",
    batch_size: int = 32,
    cache: str | Path | None = None,
    suite: str | None = None,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    unchecked: bool = False,
    progress: Progress | None = None,
) -> Measured:
    """Merge models, and score every member with its own head on its task's test samples.

    The single models, and the base with each of their heads, answer the same samples, so that
    retention is a ratio on equal terms and its standard error is paired. A merge is of what all
    the models given share, as forecasts are. The result feeds `fit`, `report` and `forecast`.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    tasks : str, Path or mapping
        A file of tasks, each with `test`, a suite's run folder, or label to `Task`.
    pairs : bool
        Merge all pairs, beside `sets` and `members`; all pairs where none of the three is given.
    sets : int or iterable of int, optional
        Merge all sets of so many models, of each size.
    members : str or sequence of str
        Merge these sets, labels joined by ``+``.
    methods : str or sequence of str, optional
        Merging methods; the six of the suites where no recipes are given either.
    recipes : str, Recipe, mapping or sequence of them, optional
        Whole recipes beside the methods, as ``ties(density=0.5, scaling=1)``. One that has weights
        or values of models, ``linear(weights={a: 0.7, b: 0.3})``, merges the set of these models
        alone.
    merge_params : mapping of str to mapping, optional
        Merging method to its parameters, where they differ from the defaults.
    merge_seed : int
        Seed of the merges' random masks, where a recipe has none of its own.
    reestimate_batchnorm : bool
        Measure BatchNorm's running statistics anew after each merge, on all calibration samples
        of the member's task.
    device : str
        Where models run: ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size : int
        Samples run at once.
    cache : str or Path, optional
        Folder of finished work, to resume from; a temporary one by default.
    suite : str, optional
        The table's suite column.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
    unchecked : bool
        Merge what `mergecast.check` refuses: a wrong base, configs of another network.
    progress : Progress, optional
        Told of every single model and every merge.

    Returns
    -------
    Measured
        The table of outcomes, the scores of every sample, and what to be wary of.

    Raises
    ------
    UsageError
        No tasks, a task without labelled test samples, an unknown label, method or parameter, what
        is no recipe.
    UndefinedError
        A task or a single model has no score, as a regression has none.
    CheckpointError, FamilyError
        The base or a model cannot be used, or `mergecast.check` refuses it.

    Examples
    --------
    >>> measured = measure("base/", ["a/", "b/"], tasks="tasks.yaml")  # doctest: +SKIP
    >>> measured.write("runs/mine/outcomes.parquet")  # doctest: +SKIP
    """
    if tasks is None:
        raise UsageError("tasks", "none given", "give a file of tasks, each with `test` samples")
    chosen = asked_recipes(methods, recipes, merge_params, merge_seed)
    asked = ask(
        family,
        models,
        tasks=tasks,
        methods=[recipe.method for recipe in chosen],
        reestimate_batchnorm=reestimate_batchnorm,
        device=device,
        batch_size=batch_size,
        cache=cache,
        suite=suite,
        private=private,
        strict=strict,
        vocabulary=vocabulary,
        progress=progress,
    )
    with asked.session as whole:
        sizes = [sets] if isinstance(sets, int) else [*(sets or ())]
        merges = asked_merges(
            whole.family.names, chosen, pairs=pairs, sets=sizes, members=listed(members)
        )
        used = {label for _, labels in merges for label in labels}
        session = whole.narrowed([label for label in whole.family.names if label in used])
        check_tests(session)
        shared = shared_tests(session, session.family.names)
        findings = [] if unchecked else refuse_unusable(session.family)
        measured = measure_merges(session, merges, asked.suite)
    found = (*measured.findings, *shared, *findings)
    for finding in found:
        log.warning("%s: %s; %s", finding.about, finding.message, finding.remedy)
    return replace(measured, findings=found)


def cheaper_by_measuring(session: Session, specs: Sequence[MetricSpec]) -> str:
    """What measuring all pairs would take, where that is less than the evidence that is asked for.

    Both are counted in merges and in samples run, which one timed forward pass turns into minutes:
    of evidence those of models merged alone, and of superposition.

    Parameters
    ----------
    session : Session
        What is asked of which models; its tasks are those of models that are run.
    specs : sequence of MetricSpec
        The metrics that are to be gathered.

    Returns
    -------
    str
        A sentence; empty where measuring takes more, retention is not asked for, or a task has no
        test samples.
    """
    labels, merges = session.family.names, session.merges
    if len(labels) < 2 or not any(spec.evidence == "retention" for spec in specs):
        return ""
    try:
        tests = sum(session.task(label).size("test") for label in labels)
    except UsageError:
        return ""
    methods = len(session.methods)
    probed = stand_ins_of(session, [spec.key for spec in specs])
    alone = methods * sum(1 if one == "base" else merges.draws for one in probed)
    kept = sum(len(session.merge_samples(label)) for label in labels)
    pairs = comb(len(labels), 2)
    own = (methods * pairs, tests * (methods * (len(labels) - 1) + 2))
    probes = (alone * len(labels), kept * (alone + 1))
    if any(spec.evidence == "superposition" for spec in specs):
        merges_more, passes_more = superposition_cost(len(labels), methods)
        probes = (probes[0] + merges_more, probes[1] + passes_more * kept // len(labels))
    if own[0] > probes[0] or own[1] >= probes[1]:
        return ""
    minute = pass_seconds(session, labels[0]) / 60
    return (
        f"measuring all pairs ({pairs}) by {methods} method(s) takes {own[0]} merges and about "
        f"{own[1] * minute:.2g} minutes of forward passes, less than the evidence asked for "
        f"({probes[0]} and {probes[1] * minute:.2g}): see mergecast measure"
    )
