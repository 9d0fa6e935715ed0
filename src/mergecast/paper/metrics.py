"""The metric files of the authors' results folder: one matrix of pairs a metric.

``mergeability/<SETTING>/pairwise_metrics_N<n>.json`` holds all metrics;
``mergeability/<SETTING>/calibration_sensitivity/<size>/pairwise_metrics_N<n>.json`` those that read
samples, at another number of calibration samples a task.
"""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from mergecast.errors import TableError
from mergecast.paper.json_file import entry, number, read_json, refuse_json
from mergecast.tables.pairs import PairTable
from mergecast.tables.schema import about

NULL_METRIC = "null in the published table"
SENSITIVITY = "calibration_sensitivity"


def calibration_tables(results: Path, setting: str) -> dict[int, PairTable]:
    """Calibration size (samples a task) to the pair table measured with it, sizes ascending.

    Parameters
    ----------
    results : the folder that holds ``mergeability``.

    Returns
    -------
    Pair tables of the metrics that read samples; empty where the setting has no such folder.

    Raises
    ------
    TableError
        A file is damaged, or a folder's name is no size.
    """
    home = results / "mergeability" / setting / SENSITIVITY
    found: dict[int, PairTable] = {}
    for folder in sorted(path for path in home.glob("*") if path.is_dir()):
        if not re.fullmatch(r"[1-9]\d*", folder.name):
            raise TableError(
                folder, "its name is no calibration size", "name it by the number of samples"
            )
        path = numbered_file(folder, "pairwise_metrics")
        data = read_json(path)
        found[int(folder.name)] = metric_table(path, data, task_names(path, data), setting)
    return dict(sorted(found.items()))


def numbered_file(folder: Path, stem: str, like: Path | None = None) -> Path:
    """The file ``<stem>_N<n>.json``: with the n of `like`, else with the largest."""
    found = {
        int(match[1]): file
        for file in folder.glob(f"{stem}_N*.json")
        if (match := re.fullmatch(rf"{stem}_N(\d+)\.json", file.name))
    }
    if not found:
        raise TableError(folder, f"no {stem}_N<n>.json", "copy the whole results folder")
    wanted = re.search(r"_N(\d+)\.json$", like.name) if like else None
    if wanted and int(wanted[1]) in found:
        return found[int(wanted[1])]
    return found[max(found)]


def task_names(path: Path, data: dict[str, Any]) -> list[str]:
    """The tasks of a metric file, in its order; raises TableError for names that cannot be."""
    tasks: list[str] = entry(path, data, "datasets", list)
    for i, task in enumerate(tasks):
        if not isinstance(task, str) or not task.strip() or "+" in task or "__" in task:
            refuse_json(path, f"key 'datasets', row {i}", f"{task!r} cannot name a task")
        if task in tasks[:i]:
            refuse_json(path, f"key 'datasets', row {i}", f"task {task!r} stands twice")
    if len(tasks) < 2:
        refuse_json(path, "key 'datasets'", f"{len(tasks)} task(s)", "a pair needs two")
    return tasks


def metric_table(path: Path, data: dict[str, Any], tasks: list[str], setting: str) -> PairTable:
    """The pair table of a metric file, with all n(n-1)/2 pairs; raises TableError."""
    places = sorted(
        (min(a, b), max(a, b), i, j) for (i, a), (j, b) in combinations(enumerate(tasks), 2)
    )
    columns: dict[str, list[Any]] = {
        "suite": [setting] * len(places),
        "left": [left for left, _, _, _ in places],
        "right": [right for _, right, _, _ in places],
    }
    missing = []
    metrics = entry(path, data, "metrics", dict)
    for key in metrics:
        matrix = _matrix(path, metrics, key, len(tasks))
        values = []
        for left, right, i, j in places:
            value = _symmetric(path, matrix, key, tasks, i, j)
            if math.isnan(value):
                missing.append({"left": left, "right": right, "key": key, "reason": NULL_METRIC})
            values.append(value)
        columns[key] = values
    if not metrics:
        refuse_json(path, "key 'metrics'", "no metric", "copy the file again")
    with about(path):
        return PairTable.from_pandas(pd.DataFrame(columns), missing=missing)


def _matrix(path: Path, metrics: dict[str, Any], key: str, n: int) -> list[list[Any]]:
    where = f"metric {key!r}"
    matrix: list[list[Any]] = entry(
        path, entry(path, metrics, key, dict), "matrix", list, where=where
    )
    if len(matrix) != n:
        refuse_json(path, where, f"{len(matrix)} rows where there are {n} tasks")
    for i, row in enumerate(matrix):
        if not isinstance(row, list) or len(row) != n:
            found = f"{len(row)} columns" if isinstance(row, list) else "no list"
            refuse_json(path, f"{where}, row {i}", f"{found} where there are {n} tasks")
    return matrix


def _symmetric(
    path: Path, matrix: list[list[Any]], key: str, tasks: list[str], i: int, j: int
) -> float:
    """The value above the diagonal; what stands below it may repeat it, never contradict it."""
    where = f"metric {key!r}, pair {tasks[i]}__{tasks[j]}"
    upper, lower = (number(path, value, where) for value in (matrix[i][j], matrix[j][i]))
    if math.isnan(upper):
        return lower
    if not math.isnan(lower) and not math.isclose(upper, lower, rel_tol=1e-6, abs_tol=1e-12):
        refuse_json(path, where, f"{upper:g} above the diagonal, {lower:g} below")
    return upper
