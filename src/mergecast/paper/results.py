"""The released tables of "Demystifying Mergeability" (arXiv 2601.22285) as mergecast's tables.

The authors' results folder, as their repository has it (a setting is a model and its optimiser, for
example ``ViT-B-16_AdamW``)::

    mergeability/<SETTING>/pairwise_metrics_N<n>.json      metrics, upper triangular, null = failed
    <SETTING>/<method>/all_pairwise_summary_N<n>.json      accuracies of each merged pair's members
    finetuning/accs.json                                   accuracies of the single models
    metric_linear_optimization_v2/<setting>/…              fitted coefficients (`paper.fits`)

Nothing is dropped on the way: a metric that is null is NaN with a reason, a merge that failed is
listed in `PublishedSetting.failures` with the error that the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import isnan, nan
from pathlib import Path
from typing import Any

import pandas as pd

from mergecast.analysis.comparison import Tables
from mergecast.errors import TableError, UsageError
from mergecast.paper.json_file import Number, Strict, checked, read_json
from mergecast.paper.metrics import metric_file, numbered_file
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.schema import about
from mergecast.tables.sets import join_members

# The authors' names of merging methods where mergecast has another one.
METHOD_NAMES = {"arithmetic": "task_arithmetic"}

# Published accuracies are float32; a larger difference is another single model, not rounding.
_SAME_SINGLE = 1e-5


@dataclass(frozen=True)
class Failure:
    """A pair whose merge has no outcome, and the reason that the published file gives."""

    method: str
    left: str
    right: str
    reason: str


@dataclass(frozen=True)
class PublishedSetting(Tables):
    """The tables of one setting.

    Attributes
    ----------
    pairs : PairTable
        All n(n-1)/2 pairs, and the reason where a metric is missing.
    outcomes : OutcomeTable
        The merges that succeeded. `score` is raw accuracy, `retention` the paper's normalized
        accuracy. The files do not tell the number of test samples (`n_eval` is 1) nor a loss of the
        single model (NaN).
    name : str
        The setting; it is the `suite` of both tables.
    tasks : list[str]
        Names, sorted.
    failures : list[Failure]
        Merges without an outcome.
    """

    name: str
    tasks: list[str]
    failures: list[Failure]

    @property
    def methods(self) -> list[str]:
        """Merging methods with outcomes, sorted."""
        return self.outcomes.methods


class _Run(Strict):
    """A merged model on one task."""

    acc: Number
    normalized_acc: Number = nan
    loss: Number = nan


@cache
def _run_on(task: str) -> type[_Run]:
    """`_Run` as the files have it: each key carries the name of the task, ``acc/test/<task>``."""

    class Run(_Run, alias_generator=lambda name: f"{name}/test/{task}"):
        """A merged model on this task."""

    return Run


def results_folder(path: str | Path) -> Path:
    """The folder that holds ``mergeability``: `path`, or its subfolder ``results``."""
    path = Path(path)
    for folder in (path, path / "results"):
        if (folder / "mergeability").is_dir():
            return folder
    problem = "has no folder 'mergeability'" if path.is_dir() else "no such folder"
    raise UsageError(path, problem, "give the results folder of the authors' repository")


def settings(results: str | Path) -> list[str]:
    """Settings with a metric table in the authors' results folder, sorted."""
    home = results_folder(results) / "mergeability"
    return sorted({file.parent.name for file in home.glob("*/pairwise_metrics_N*.json")})


def read_setting(results: str | Path, setting: str) -> PublishedSetting:
    """Read one setting of the authors' results folder.

    Raises
    ------
    UsageError
        No such folder or setting.
    TableError
        A file is damaged or breaks the layout; the message names file, key, and value.
    """
    results = results_folder(results)
    names = settings(results)
    if setting not in names:
        raise UsageError.unknown("setting", setting, names)
    path, content = metric_file(results / "mergeability" / setting)
    with about(path):
        pairs = content.table(setting)
    tasks = sorted(content.datasets)
    singles = _single_scores(results, content.model_name or setting.rpartition("_")[0])
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for method, summary in _summaries(results / setting, path).items():
        for pair, reason, members in _merges(summary, tasks, singles):
            if reason:
                failures.append(Failure(method, *pair, reason))
            rows += [{"method": method, "members": join_members(pair), **row} for row in members]
    if not rows:
        raise TableError(
            results / setting, "no merge of a pair has an outcome", "copy the whole results folder"
        )
    with about(setting):
        outcomes = OutcomeTable(pd.DataFrame(rows).assign(suite=setting))
    return PublishedSetting(pairs, outcomes, setting, tasks, failures)


def _single_scores(results: Path, model: str) -> dict[str, float]:
    """Accuracy of each single model, or nothing where it was not released."""
    path = results / "finetuning" / "accs.json"
    models = read_json(path, dict[str, Any]) if path.is_file() else {}
    if model not in models:
        return {}
    return checked(dict[str, Number], models[model], f"{path}: key {model!r}")


def _summaries(folder: Path, metrics: Path) -> dict[str, Path]:
    """Method to its summary file, sorted by mergecast's name."""
    if not folder.is_dir():
        raise TableError(folder, "no such folder", "copy the outcomes of this setting too")
    files: dict[str, Path] = {}
    for home in sorted(path for path in folder.iterdir() if path.is_dir()):
        method = METHOD_NAMES.get(home.name, home.name)
        if method in files:
            raise TableError(home, f"method {method!r} stands twice in {folder}", "keep one")
        files[method] = numbered_file(home, "all_pairwise_summary", like=metrics)
    return dict(sorted(files.items()))


def _merges(
    path: Path, tasks: list[str], singles: Mapping[str, float]
) -> Iterator[tuple[tuple[str, str], str, list[dict[str, Any]]]]:
    """Every pair of tasks: why its merge has no outcome, or the rows of its two members."""
    pairs = {f"{a}__{b}": (a, b) for a in tasks for b in tasks if a != b}
    keys: dict[tuple[str, str], str] = {}
    for key, value in read_json(path, dict[str, dict[str, Any]]).items():
        place = f"{path}: pair {key!r}"
        if key not in pairs:
            raise TableError(place, "not a pair of tasks of the metric table", "remove it")
        left, right = sorted(pairs[key])
        if (left, right) in keys:
            raise TableError(place, f"the same as {keys[left, right]!r}", "keep one")
        keys[left, right] = key
        yield (left, right), *_members(place, value, (left, right), singles)
    for pair in combinations(tasks, 2):
        if pair not in keys:
            yield pair, "not in the published outcomes", []


def _members(
    place: str, value: dict[str, Any], members: tuple[str, str], singles: Mapping[str, float]
) -> tuple[str, list[dict[str, Any]]]:
    """Why a merge has no outcome, or the rows of its two members."""
    if "error" in value:
        return f"merge failed: {' '.join(str(value['error']).split())[:120]}", []
    rows = []
    for task in members:
        run = _only_run(place, value, task)
        if isnan(run.acc):
            return f"no accuracy of {task} in the published outcomes", []
        single = _single(run, singles.get(task, nan))
        if isnan(single):
            return f"no accuracy of the single model of {task}", []
        retention = run.acc / single if single > 0 else nan
        row = {"task": task, "score": run.acc, "single_score": single, "retention": retention}
        rows.append(row | {"loss": run.loss, "single_loss": nan, "n_eval": 1, "seed": 0})
    return "", rows


def _only_run(place: str, value: dict[str, Any], task: str) -> _Run:
    if task not in value:
        raise TableError(f"{place}, key {task!r}", "missing", f"found: {', '.join(value)}")
    runs = checked(list[dict[str, Any]], value[task], f"{place}, task {task!r}")
    if len(runs) != 1:
        text = f"{len(runs)} results, expected one"
        raise TableError(f"{place}, task {task!r}", text, "copy the file again")
    return checked(_run_on(task), runs[0], f"{place}, task {task!r}")


def _single(run: _Run, listed: float) -> float:
    """The single model's score: as listed where it explains the normalized score, else implied."""
    if isnan(run.normalized_acc) or run.normalized_acc <= 0:
        return listed
    implied = run.acc / run.normalized_acc
    return listed if abs(listed - implied) <= _SAME_SINGLE else implied
