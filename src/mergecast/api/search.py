"""From a pool of models to a verified merge, under a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic

from mergecast.api.gathered import gathered_forecast
from mergecast.api.inputs import Tasks, load_tasks, open_family
from mergecast.api.merged_model import write_merged
from mergecast.api.search_budget import refuse_too_short
from mergecast.api.search_pool import search_pool, sizes_asked
from mergecast.api.search_result import search_result
from mergecast.api.search_scorers import Scorers
from mergecast.api.search_told import Told, study_of
from mergecast.api.search_work import Work
from mergecast.checkpoints.folder_writer import refuse_folder
from mergecast.errors import ResourceError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.evidence.side_by_side import workers_for
from mergecast.family.family import Family
from mergecast.family.models import Models
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.recommend import DO_NOT_MERGE
from mergecast.runtime.progress import Progress, Silent
from mergecast.search.budget import Budget
from mergecast.search.merged import MergeJudge
from mergecast.search.near import Near
from mergecast.search.objective import Kind, Objective
from mergecast.search.result import SearchResult
from mergecast.search.run import Search
from mergecast.search.samples import HOLD_BACK, check_apart, evidence_samples
from mergecast.search.scorer import Scorer, ScorerJudge
from mergecast.search.steps import Limits
from mergecast.search.trials import Trials
from mergecast.tasks.apart import refuse_one_source
from mergecast.tasks.task import Task
from mergecast.typing import Names, listed


def search(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks = None,
    objective: Kind | None = None,
    importance: Mapping[str, float] | None = None,
    require: Mapping[str, float] | None = None,
    size: int | str | Sequence[int] | None = None,
    keep: Names = (),
    methods: Names | None = None,
    budget: str | int | None = None,
    epsilon: float = 0.005,
    confidence: float = 0.9,
    scorer: Scorer | str | None = None,
    verify_scorer: Scorer | str | None = None,
    scorer_cost: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    forecaster: Forecaster | str | Path | None = None,
    calibration: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
    cache: str | Path | None = None,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    overwrite: bool = False,
    workers: int = 2,
    progress: Progress | None = None,
) -> SearchResult:
    """Find the merge worth making: which models, method, strength and weights; and verify it.

    Every merge is forecast first. Then merges are made and measured where that is expected to gain
    most, on growing numbers of samples beside the single models on the same ones, until the best is
    known, nothing is to be gained, or the budget is spent. The choice is verified on samples that
    the search never touched: the tasks' test samples, or a third of their samples held back, less
    those that are by content among what it may look at; or by a `verify_scorer` beside a `scorer`.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    tasks : str, Path or mapping
        A file of tasks, a suite's run folder, or label to `Task`; there is no search without.
    objective : {"mean", "worst", "weighted", "most"}, optional
        What is made as large as can be, of what the members keep of their own scores, or answers
        where samples have no labels; the mean, weighted where `importance` is given. ``most`` looks
        for the largest set whose members keep what `require` says of ``*``, and among sets of one
        size for the largest mean.
    importance : mapping of str to float, optional
        Label to weight, 1 for others.
    require : mapping of str to float, optional
        Label, or ``*`` for every member, to the least that it must keep. A model named here is in
        every merge.
    size : int, str, sequence of int, optional
        How many models a merge has: ``3``, ``"2..4"``, or ``"any"`` for 2 to 6; all by default,
        ``any`` for the objective ``most``.
    keep : str or sequence of str
        Models that are in every merge.
    methods : str or sequence of str, optional
        Merging methods, or recipes' texts; by default all that the forecaster knows.
    budget : str or int, optional
        A time (``"30m"``), or a number of measurements; without one the search ends by itself.
    epsilon : float
        A merge that is better by no more than this is as good.
    confidence : float
        The probability that none is better by more, at which the search ends.
    scorer : callable or str, optional
        A judge of your own in place of the tasks' scores: a function of a model's path and a
        task's label, or a command with ``{model}`` and ``{task}`` that prints a number, higher
        for better.
    verify_scorer : callable or str, optional
        A judge of the choice alone, beside a `scorer` and written as one: it scores the single
        models before the search and the chosen merge after it, on samples that the scorer does not
        use. Without one nothing is held back from a scorer.
    scorer_cost : mapping of str to float, optional
        Label to what a run of the scorer on its task costs, in any unit, 1 for others: merges of
        models that are cheap to score are then measured rather.
    out : str or Path, optional
        Folder for the merged model, with a model card and a page about the search.
    forecaster : Forecaster, str or Path, optional
        A forecaster, its file, or a shipped one's name.
    calibration : int, optional
        Samples of every task that forecasts are made from.
    seed : int
        Of the choice of samples, of random masks and of the search.
    device : str
        Where models run and merges are made.
    batch_size : int
        Samples run at once.
    cache : str or Path, optional
        Folder of finished work, to resume from; ``OUT.search`` where there is an `out`.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
    overwrite : bool
        Replace a folder that mergecast did not write.
    workers : int
        Processes that make and run merges; the result does not depend on it.
    progress : Progress, optional
        Told of every stage.

    Returns
    -------
    SearchResult
        The merge, what it keeps, all that was tried; printed, it is one screen. Without `require`
        it is the best there is, and its verdict names the members that keep less than nine tenths,
        below which `forecast` advises no merge. Nothing is written, and its `advice` is ``do not
        merge``, where a requirement is missed, or where the merge keeps nothing of a member or less
        than the base does.

    Raises
    ------
    UsageError
        A budget, size, objective, requirement or scorer that makes no sense; no tasks; a task
        whose `data` and `test` are the same file, or that has too few samples apart.
    ResourceError
        The time was over before the first measurement, or another search works in `cache`.
    CheckpointError, FamilyError, UndefinedError
        The models cannot be used, or have no score.

    Examples
    --------
    >>> import mergecast as mc
    >>> found = mc.search("base/", {"a": "a/", "b": "b/"}, tasks="t.yaml")  # doctest: +SKIP
    >>> print(found.verdict[0])  # doctest: +SKIP
    Merge a, b by ties(density=0.2, scaling=0.4): on samples that the search never touched …
    """
    began = monotonic()
    spend = Budget.of(budget)
    kind = objective or ("weighted" if importance else "mean")
    sought = Objective(kind, dict(importance or {}), dict(require or {}))
    if not (0 < confidence < 1 and epsilon >= 0):
        raise UsageError(
            "epsilon and confidence",
            f"are {epsilon} and {confidence}",
            "give a loss that does not matter, and a probability between 0 and 1",
        )
    if tasks is None:
        raise UsageError("tasks", "not given", "a merge is measured on samples of its tasks")
    by_label: Mapping[str, Task] = load_tasks(tasks) if isinstance(tasks, str | Path) else tasks
    size = "any" if size is None and kind == "most" else size
    scorers = Scorers.of(scorer, verify_scorer, scorer_cost)
    with Work(cache, out) as work:
        opened = open_family(
            family,
            models,
            private=private,
            strict=strict,
            vocabulary=vocabulary,
            tasks=by_label,
            refuse=True,
        )
        if out is not None:
            inputs = [opened.base.path, *(one.path for one in opened.models.values())]
            refuse_folder(Path(out), inputs, overwrite=overwrite)
        sought.check(opened.names)
        scorers.check_labels(opened.names)
        for label in listed(keep):
            if label not in opened.names:
                raise UsageError.unknown("model", label, opened.names)
        sizes_asked(size, len(opened.names))
        asked = forecaster if isinstance(forecaster, Forecaster) else Forecaster.load(forecaster)
        mine = {label: by_label[label] for label in opened.names if label in by_label}
        if scorers.judge is None:
            refuse_one_source(mine, HOLD_BACK)
        samples = calibration if scorers.judge else evidence_samples(mine, calibration)
        settings = ProbeSettings(samples, seed, device, batch_size, None, work.folder)
        if spend.seconds is not None:
            count = len(listed(methods)) or len(asked.file.methods)
            refuse_too_short(opened, by_label, settings, count, spend.seconds)
        work.hold()
        trying = monotonic()
        with Session(opened, by_label, settings) as single:
            if scorers.judge is None:
                check_apart(single)
            scorers.try_out(single, progress or Silent())
        tried = monotonic() - trying
        gathered = gathered_forecast(
            opened,
            tasks=by_label,
            forecaster=forecaster,
            methods=methods,
            calibration=samples,
            seed=seed,
            merge_seed=seed,
            device=device,
            batch_size=batch_size,
            cache=work.folder,
            workers=workers,
            progress=progress,
        )
        pool = search_pool(gathered, size, listed(keep), sought, seed)
        evidence = monotonic() - began - tried
        if spend.seconds is not None:
            _refuse_spent(spend.seconds, evidence, tried, work)
        before = gathered.gathering.asked.session
        narrow = before.family.subset(pool.labels)
        with (
            replace(before, family=narrow, keys=None) as session,
            workers_for(session, workers) as pool_of_workers,
        ):
            judge: MergeJudge | ScorerJudge
            if scorers.judge is None:
                judge = MergeJudge(session, pool_of_workers)
            else:
                go_on = partial(scorers.go_on, work)
                judge = ScorerJudge(session, scorers.judge, go_on, scorers.costs)
            scorers.check(session)
            deadline = None if spend.seconds is None else began + spend.seconds
            limits = Limits(epsilon, confidence, spend.looks, deadline)
            answered = "superposition" in gathered.gathering.evidence.kinds
            found = Search(pool, sought, judge, limits, seed, Near(session, sought))
            if not answered:
                found.refine = None
            study = study_of(session, sought, seed, pool.methods, scorers.text)
            trials = Trials(work.folder, study, pool.labels, pool.methods)
            told = Told(found, trials, progress or Silent(), spend.looks)
            found.told = told
            found.run()
            trials.end()
            searched = monotonic() - began - evidence
            verify = partial(scorers.verified, session, objective=sought, work=work)
            result = search_result(
                found, gathered, sought, judge, told.seconds, evidence, searched, epsilon, verify
            )
            if out is None or result.advice == DO_NOT_MERGE:
                return result
            return write_merged(session.family, result, Path(out), device, workers, overwrite)


def _refuse_spent(have: float, evidence: float, tried: float, work: Work) -> None:
    """Raise ResourceError where the time was over before the first measurement; all in seconds."""
    if evidence + tried <= have:
        return
    scored = f" and scores of the single models {tried:.0f} s" if tried > 1 else ""
    raise ResourceError(
        "budget",
        f"of {have:.0f} s is spent: the forecasts alone took {evidence:.0f} s{scored}",
        f"search again with more time: what was done is kept in {work.folder}"
        if work.lasting
        else "give more time, and a cache to go on from",
    )
