"""Forecasts of a family: gather what the forecaster reads, and nothing more, then ask it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mergecast.api.forecast_sets import RankedSets, forecast_sets, too_few
from mergecast.api.gathered import gathered_forecast
from mergecast.api.inputs import Tasks, heads_of
from mergecast.api.known_merges import MeasuredLike, known_merges
from mergecast.api.strengths import Strengths, forecast_strengths
from mergecast.checkpoints.lora import LoraCheckpoint
from mergecast.checkpoints.patterns import matches
from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.apart import shared_tests
from mergecast.evidence.session import Session
from mergecast.evidence.weights.depth import depth_table
from mergecast.family.family import Family
from mergecast.family.models import Models
from mergecast.family.task_heads import has_heads
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.recommend import without_advice
from mergecast.forecast.result import Forecast
from mergecast.forecast.sets import check_size
from mergecast.report.family_summary import forecast_warnings
from mergecast.runtime.progress import Progress
from mergecast.typing import Names, listed


def forecast(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks = None,
    forecaster: Forecaster | str | Path | None = None,
    tier: str | None = None,
    metrics: str | None = None,
    methods: Names | None = None,
    suite: str | None = None,
    measured: MeasuredLike = None,
    sets: int | None = None,
    strengths: bool = False,
    calibration: int | None = None,
    seed: int = 0,
    merge_seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
    cache: str | Path | None = None,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Forecast:
    """Forecast what each pair of models keeps under each merging method, and which one to use.

    From weights alone nothing is run. With tasks the evidence is taken that the forecaster reads,
    and none beside it: with the one that comes with the package every model answers a few samples
    of its own task and of the others', and of its own merged alone by each method. A model that
    cannot be used is left out, and listed in the forecast's `refused`.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    tasks : str, Path or mapping, optional
        A file of tasks, a suite's run folder, or label to `Task`.
    forecaster : Forecaster, str or Path, optional
        A forecaster, its file, or the name of one that comes with the package, as ``suites``,
        which is the default.
    tier : {"weights", "activations", "labels", "gradients", "probe"}, optional
        Evidence to gather; by default the richest that the forecaster reads, weights without
        tasks.
    metrics : str, optional
        Take the evidence of this set of metrics too (``retention``, ``paper``, ``all``), up to the
        tier, for the forecast's `metrics`; no number of the forecast depends on it.
    methods : str or sequence of str, optional
        Merging methods; by default all that the forecaster knows. A recipe's text, as
        ``ties(scaling=1)``, is one of them if the forecaster was fitted on merges by it.
    suite : str, optional
        The models are those of this suite of the forecaster, by label: use what their merges did.
    measured : OutcomeTable, DataFrame, Measured, str or Path, optional
        What merges of these models did, by label: a table of `measure` or `outcomes`, its file, or
        a CSV by hand (`method, members, task, score, single_score`, and `n_eval`, the number of
        samples; without it errors are assumed, and a warning says of how many rows). Measured pairs
        are given as measured, less their noise; all other forecasts are moved by what they have in
        common with them, from one pair on. Measured sets of the size asked for move those of sets.
        What was not used, and why, is in the forecast's `measured` and `measured_sets`.
    sets : int, optional
        Also rank all sets of so many models: from their answers where there are tasks, with a few
        of them really merged; else from pairs.
    strengths : bool
        Find the strength at which `task_arithmetic` keeps most of every pair, and of every set of
        the size asked for. A few merges are made in memory; tasks are needed.
    calibration, seed : int
        Samples of every task, and the seed of their choice.
    merge_seed : int
        Seed that the merges' random masks will have.
    device : str
        Where models run: ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size : int
        Samples run at once.
    cache : str or Path, optional
        Folder of finished work, to resume from; a temporary one by default.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
    workers : int
        Work done side by side; the values do not depend on it.
    progress : Progress, optional
        Told of every stage.

    Returns
    -------
    Forecast
        Rows, advice for each pair, warnings; printed, it is one screen.

    Raises
    ------
    UsageError
        An unknown forecaster, tier, set of metrics, method, suite or device, a size of sets that
        these models do not have, no tasks above weights, no measured merge that can be used.
    TableError
        `measured` is no table of outcomes.
    CheckpointError, FamilyError
        The base cannot be used, fewer than two models can, all models have the wrong base.
    UndefinedError
        The forecaster reads metrics that these models do not have.

    Examples
    --------
    >>> import mergecast as mc
    >>> forecast = mc.forecast("base.safetensors", ["a.safetensors", "b.safetensors"])
    >>> forecast.tier, len(forecast.pairs)
    ('weights', 1)
    """
    if sets is not None:
        check_size(sets, _count(family, models))
    known = known_merges(measured, sets, tasks)
    if strengths and tasks is None:
        raise UsageError(
            "strengths", "asked for without tasks", "give samples of the models' tasks"
        )
    kept: AbstractContextManager[str | Path | None] = nullcontext(cache)
    # What models answered is read again by these.
    if (strengths or sets) and cache is None:
        kept = TemporaryDirectory(prefix="mergecast-")
    with kept as folder:
        gathered = gathered_forecast(
            family,
            models,
            tasks=tasks,
            forecaster=forecaster,
            tier=tier,
            metrics=metrics,
            methods=methods,
            suite=suite,
            measured=known.pairs,
            calibration=calibration,
            seed=seed,
            merge_seed=merge_seed,
            device=device,
            batch_size=batch_size,
            cache=folder,
            private=private,
            strict=strict,
            vocabulary=vocabulary,
            workers=workers,
            progress=progress,
        )
        gathering, made, doubtful = gathered.gathering, gathered.made, gathered.doubtful
        usable, warnings = gathered.usable, [*gathered.warnings, *known.warnings]
        if measured is not None and tasks is not None:
            told = shared_tests(gathering.asked.session, usable)
            warnings += [f"{one.about}: {one.message}; {one.remedy}" for one in told]
        answering = [one for one in usable if one not in doubtful]
        if sets is not None:
            check_size(sets, len(usable))
        ranked = use = None
        if sets is not None:
            answered = "superposition" in gathering.evidence.kinds
            session = gathering.asked.session if answered else None
            ranked = forecast_sets(made, sets, doubtful, known.sets, session)
            if ranked is None:
                warnings.append(too_few(sets, answering, doubtful))
            else:
                use = ranked.measured
                warnings += ranked.warnings
        found: Strengths | None = None
        if strengths and len(answering) > 1:
            sizes = [size for size in sorted({2, sets or 2}) if size <= len(answering)]
            narrow = gathering.family.subset(answering)
            try:
                with replace(gathering.asked.session, family=narrow, keys=None) as session:
                    found = forecast_strengths(session, sizes)
            except UndefinedError as error:
                warnings.append(f"no strengths: {error}")
        warnings += _unjudged(ranked, found)
        models_opened = gathering.family.models
        return replace(
            made,
            base=str(gathering.family.base.path),
            models={label: str(model.path) for label, model in models_opened.items()},
            merge_options=_merge_options(gathering.asked.session, private, strict=strict),
            pairs=without_advice(made.pairs, doubtful),
            refused=gathered.refused,
            doubtful=doubtful,
            warnings=(*warnings, *forecast_warnings(replace(made, measured_sets=use))),
            measured=made.measured and made.measured.without(known.left_out),
            measured_sets=use and use.without(known.left_out),
            sets=None if ranked is None else ranked.table,
            evidence=tuple(gathering.evidence.kinds),
            strengths=None if found is None else found.best,
            curves=None if found is None else found.curves,
            task_scores=gathering.task_scores(usable),
            depth=depth_table(gathering.evidence.weights, usable),
        )


def _unjudged(sets: RankedSets | None, strengths: Strengths | None) -> list[str]:
    """The models whose answers do not tell what is kept, each reason once, and what lacks them."""
    without: dict[tuple[str, str], list[str]] = {}
    for found, lacking in (
        (sets, "sets with it go by their pairs, where these have a forecast"),
        (strengths, "no strength is found of merges with it"),
    ):
        for told in found.unjudged.items() if found is not None else ():
            without.setdefault(told, []).append(lacking)
    return [f"{label}: {why}: {' and '.join(less)}" for (label, why), less in without.items()]


def _merge_options(session: Session, private: Names, *, strict: bool) -> tuple[str, ...]:
    """Options by which `mergecast merge` makes of a family's files what is forecast of it."""
    family = session.family
    heads = heads_of(session.tasks, family.names)
    options = [] if strict else ["--no-strict"]
    if family.vocabulary is not None:
        options += ["--vocabulary", family.vocabulary.mode]
    if session.merges.merge_seed:
        options += ["--seed", str(session.merges.merge_seed)]
    for pattern in sorted({*listed(private), *heads}):
        if any(matches(name, [pattern]) for name in family.base.names):
            options += ["--private", pattern]
    if all(isinstance(model, LoraCheckpoint) for model in family.models.values()):
        options.append("--adapter")
    return (*options, "--heads") if has_heads(family) else tuple(options)


def _count(family: Family | str | Path, models: Models | None) -> int:
    """How many models were given, usable or not."""
    if isinstance(family, Family):
        return family.size
    return 1 if isinstance(models, str | Path) else len(models or ())
