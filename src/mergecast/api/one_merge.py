"""One merge, whatever its recipe, made in memory and asked for a few samples' answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mergecast.api.inputs import Tasks, open_family, open_tasks
from mergecast.display.kept import Own
from mergecast.display.notebook import as_html
from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import CALIBRATION, MergeSettings, ProbeSettings
from mergecast.family.family import Family
from mergecast.family.models import Models
from mergecast.forecast.intervals import LEVEL
from mergecast.merging.recipe import Given, Recipe
from mergecast.report.table import Table, number
from mergecast.runtime.outputs import check_folder
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.workers import Workers
from mergecast.tables.plain import records
from mergecast.tables.show import as_text
from mergecast.typing import Names


@dataclass(frozen=True, repr=False)
class MergeForecast:
    """What one merge keeps of its members' scores.

    Attributes
    ----------
    recipe : Recipe
        How they are merged.
    kept : DataFrame
        One row a member: `model`, `kept` (the merge's score over the model's own, on the same
        samples; without labels the share of the model's own answers that the merge gives),
        `lower`, `upper` (a 90 % interval of what sampling adds), `own` (the model's own score, NaN
        without labels) and `samples`.
    """

    recipe: Recipe
    kept: pd.DataFrame

    @property
    def sentence(self) -> str:
        """What is kept in the mean, and the member that keeps least."""
        worst = self.kept.sort_values("kept").iloc[0]
        return (
            f"{self.recipe} of {len(self.kept)} models keeps {self.kept['kept'].mean():.3f} of "
            f"{self._own.all} in the mean; {worst['model']} least, {worst['kept']:.3f}."
        )

    @property
    def parts(self) -> list[Table | str]:
        """What the command shows."""
        rows = [
            [
                one["model"],
                number(one["own"]),
                number(one["kept"]),
                f"{number(one['lower'])} to {number(one['upper'])}",
                str(one["samples"]),
            ]
            for one in records(self.kept)
        ]
        columns = ["model", "own score", "kept", f"{LEVEL:.0%} interval", "samples"]
        caption = "made in memory and measured on these samples; nothing was written"
        if self._own.caution:
            caption += f"\n{self._own.caution}"
        return [Table(self._own.title, columns, rows, caption=caption), "", self.sentence]

    @property
    def _own(self) -> Own:
        known = self.kept["own"].notna().tolist()
        return Own(dict(zip(self.kept["model"].tolist(), known, strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"recipe": self.recipe.as_mapping(), "kept": records(self.kept)}

    def __repr__(self) -> str:
        return as_text([self.sentence], self.kept)

    def _repr_html_(self) -> str:
        return as_html(self.parts)


def forecast_merge(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    recipe: Given,
    tasks: Tasks,
    calibration: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
    cache: str | Path | None = None,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    progress: Progress | None = None,
) -> MergeForecast:
    """What one merge of all these models keeps: any method, strength, weights, values by layer.

    The merge is made in memory and answers a few samples of every task, beside each task's own
    model. For many merges `forecast` and `search` are cheaper: they make hardly any.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base; all its models are merged.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    recipe : str, Recipe or mapping
        How they are merged; `read_mergekit` reads one from a file of mergekit.
    tasks : str, Path or mapping
        A file of tasks, a suite's run folder, or label to `Task`.
    calibration : int, optional
        Samples of every task; by default 100, or all that a task has if it has fewer.
    seed : int
        Of the choice of samples.
    device : str
        Where models run and the merge is made.
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
    progress : Progress, optional
        Told of every stage.

    Returns
    -------
    MergeForecast
        One row a member; printed, it is one screen.

    Raises
    ------
    UsageError
        No tasks, too few samples, a recipe that these models cannot be merged by.
    FamilyError, CheckpointError
        A model cannot be merged or run.
    UndefinedError
        The merge cannot be made, or a model has no score on its own task.

    Examples
    --------
    >>> import mergecast as mc
    >>> mc.forecast_merge("base/", ["a/", "b/"], recipe="ties", tasks="t.yaml")  # doctest: +SKIP
    ties(density=0.2, scaling=0.3) of 2 models keeps 0.951 of their own scores in the mean; …
    """
    from mergecast.search.candidates import Candidate
    from mergecast.search.merged import MergeJudge

    if tasks is None:
        raise UsageError("tasks", "not given", "a merge is measured on samples of its tasks")
    by_label = open_tasks(tasks, "activations")
    place = None if cache is None else Path(cache)
    if place is not None:
        check_folder(place)
    opened = open_family(
        family,
        models,
        private=private,
        strict=strict,
        vocabulary=vocabulary,
        tasks=by_label,
        refuse=True,
    )
    given = Recipe.of(recipe)
    members = tuple(sorted(opened.names))
    given.check(members)
    advance = (progress or Silent()).stage("samples of every task", 1)
    settings = ProbeSettings(calibration, seed, device, batch_size, None, place)
    merges = MergeSettings(merge_seed=given.seed)
    with Session(opened, by_label, settings, merges) as session, Workers(1) as one:
        judge = MergeJudge(session, one, calibration or CALIBRATION, hold=False)
        samples = {label: len(judge.parts[label].looked) for label in members}
        least = min(samples.values())
        if calibration is not None and least < calibration:
            raise UsageError("calibration", f"is {calibration}", f"give a number from 1 to {least}")
        # One task with few samples takes none from the others.
        [seen] = judge.see([(Candidate(members, given, given.method), max(samples.values()))])
        advance(1)
    if isinstance(seen, str):
        raise UndefinedError(f"merge of {', '.join(members)}", seen)
    lower, upper = seen.interval(LEVEL)
    table = pd.DataFrame(
        {
            "model": members,
            "kept": seen.kept,
            "lower": lower,
            "upper": upper,
            "own": [
                float(judge.single[x].mean()) if judge.parts[x].labelled else np.nan
                for x in members
            ],
            "samples": [samples[x] for x in members],
        }
    )
    return MergeForecast(given, table)
