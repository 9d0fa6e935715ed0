"""The released tables of "Demystifying Mergeability" (arXiv 2601.22285) as mergecast's tables.

The authors' results folder, as their repository has it (a setting is a model and its optimiser, for
example ``ViT-B-16_AdamW``)::

    mergeability/<SETTING>/pairwise_metrics_N<n>.json      metrics, upper triangular, null = failed
    <SETTING>/<method>/all_pairwise_summary_N<n>.json      accuracies of each merged pair's members
    finetuning/accs.json                                   accuracies of the single models
    metric_linear_optimization_v2/<setting>/…              fitted coefficients (`published_fits`)

Nothing is dropped on the way: a metric that is null is NaN with a reason, a merge that failed is
listed in `PublishedSetting.failures` with the error that the file holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from mergecast.errors import TableError, UsageError
from mergecast.paper.json_file import entry, number, read_json, refuse_json
from mergecast.paper.metrics import metric_table, numbered_file, task_names
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
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
class PublishedSetting:
    """The tables of one setting.

    Attributes
    ----------
    name : the setting; it is the `suite` of both tables.
    tasks : names, sorted.
    pairs : pair table with all n(n-1)/2 pairs, and the reason where a metric is missing.
    outcomes : outcome table of the merges that succeeded. `score` is raw accuracy, `retention` the
        paper's normalized accuracy. The files do not tell the number of test samples (`n_eval` is
        1) nor a loss of the single model (NaN).
    failures : merges without an outcome.
    """

    name: str
    tasks: list[str]
    pairs: PairTable
    outcomes: OutcomeTable
    failures: list[Failure] = field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        """Merging methods with outcomes, sorted."""
        return self.outcomes.methods


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
        A file is damaged or breaks the layout; the message names file, key, and pair.
    """
    results = results_folder(results)
    known = settings(results)
    if setting not in known:
        raise UsageError.unknown("setting", setting, known)
    path = numbered_file(results / "mergeability" / setting, "pairwise_metrics")
    data = read_json(path)
    tasks = task_names(path, data)
    pairs = metric_table(path, data, tasks, setting)
    singles = _single_scores(results, str(data.get("model_name", setting.rpartition("_")[0])))
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for method, summary in _summaries(results / setting, path).items():
        found, failed = _outcomes(summary, method, tasks, singles)
        rows += found
        failures += failed
    if not rows:
        raise TableError(
            results / setting, "no merge of a pair has an outcome", "copy the whole results folder"
        )
    with about(setting):
        outcomes = OutcomeTable(pd.DataFrame(rows).assign(suite=setting))
    return PublishedSetting(setting, sorted(tasks), pairs, outcomes, failures)


def _single_scores(results: Path, model: str) -> dict[str, float]:
    """Accuracy of each single model, or nothing where it was not released."""
    path = results / "finetuning" / "accs.json"
    if not path.is_file():
        return {}
    models = read_json(path)
    if model not in models:
        return {}
    listed = entry(path, models, model, dict)
    return {task: number(path, value, f"{model}, task {task}") for task, value in listed.items()}


def _summaries(folder: Path, metrics: Path) -> dict[str, Path]:
    """Method to its summary file, sorted by mergecast's name."""
    if not folder.is_dir():
        raise TableError(folder, "no such folder", "copy the outcomes of this setting too")
    found: dict[str, Path] = {}
    for home in sorted(path for path in folder.iterdir() if path.is_dir()):
        method = METHOD_NAMES.get(home.name, home.name)
        if method in found:
            raise TableError(home, f"method {method!r} stands twice in {folder}", "keep one")
        found[method] = numbered_file(home, "all_pairwise_summary", like=metrics)
    return dict(sorted(found.items()))


def _outcomes(
    path: Path, method: str, tasks: list[str], singles: Mapping[str, float]
) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Member rows of every pair that was merged, and the pairs that were not."""
    names = {f"{a}__{b}": (a, b) for a in tasks for b in tasks if a != b}
    done: dict[tuple[str, str], str] = {}
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for key, value in read_json(path).items():
        if key not in names:
            refuse_json(path, f"pair {key!r}", "not a pair of tasks of the metric table")
        left, right = sorted(names[key])
        if (left, right) in done:
            refuse_json(path, f"pair {key!r}", f"the same as {done[left, right]!r}", "keep one")
        done[left, right] = key
        found, reason = _members(path, key, value, (left, right), singles)
        if reason:
            failures.append(Failure(method, left, right, reason))
        rows += [{"method": method, "members": join_members((left, right)), **row} for row in found]
    failures += [
        Failure(method, left, right, "not in the published outcomes")
        for left, right in combinations(sorted(tasks), 2)
        if (left, right) not in done
    ]
    return rows, failures


def _members(
    path: Path, key: str, value: Any, members: tuple[str, str], singles: Mapping[str, float]
) -> tuple[list[dict[str, Any]], str]:
    """The rows of a pair's two members, or none and the reason."""
    if isinstance(value, dict) and "error" in value:
        return [], f"merge failed: {' '.join(str(value['error']).split())[:120]}"
    rows = []
    for task in members:
        where = f"pair {key!r}"
        runs = entry(path, value, task, list, where=where)
        if len(runs) != 1:
            refuse_json(path, f"{where}, task {task!r}", f"{len(runs)} results, expected one")
        run = runs[0] if isinstance(runs[0], dict) else {}
        if f"acc/test/{task}" not in run:
            refuse_json(path, f"{where}, task {task!r}", f"no key 'acc/test/{task}'")
        found = {
            name: number(path, run.get(f"{name}/test/{task}"), f"{where}, {name} of {task}")
            for name in ("acc", "normalized_acc", "loss")
        }
        score = found["acc"]
        if math.isnan(score):
            return [], f"no accuracy of {task} in the published outcomes"
        single = _single(score, found["normalized_acc"], singles.get(task, math.nan))
        if math.isnan(single):
            return [], f"no accuracy of the single model of {task}"
        retention = score / single if single > 0 else math.nan
        row = {"task": task, "score": score, "single_score": single, "retention": retention}
        rows.append(row | {"loss": found["loss"], "single_loss": math.nan, "n_eval": 1, "seed": 0})
    return rows, ""


def _single(score: float, normalized: float, listed: float) -> float:
    """The single model's score: as listed where it explains the normalized score, else implied."""
    if math.isnan(normalized) or normalized <= 0:
        return listed
    implied = score / normalized
    return listed if abs(listed - implied) <= _SAME_SINGLE else implied
