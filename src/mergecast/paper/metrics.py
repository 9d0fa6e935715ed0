"""The metric files of the authors' results folder: one matrix of pairs a metric.

``mergeability/<SETTING>/pairwise_metrics_N<n>.json`` holds all metrics;
``mergeability/<SETTING>/calibration_sensitivity/<size>/pairwise_metrics_N<n>.json`` those that read
samples, at another number of calibration samples a task.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, field_validator, model_validator

from mergecast.errors import TableError
from mergecast.paper.json_file import Number, Strict, read_json, refuse_repeats
from mergecast.tables.missing import MissingMetric
from mergecast.tables.pairs import PairTable
from mergecast.tables.schema import about

NULL_METRIC = "null in the published table"
SENSITIVITY = "calibration_sensitivity"


def _task_name(name: object) -> object:
    if not isinstance(name, str) or not name.strip() or "+" in name or "__" in name:
        raise ValueError(f"{name!r} cannot name a task")
    return name


class Matrix(Strict):
    """One metric of all pairs: row and column by task, the upper triangle filled."""

    matrix: list[list[Number]]


class MetricFile(Strict):
    """A metric file.

    Attributes
    ----------
    model_name : str
        The architecture; empty where the file does not say.
    datasets : list[str]
        The tasks, in the order of rows and columns.
    metrics : dict[str, Matrix]
        By key; what stands below the diagonal may repeat a value, never contradict it.
    """

    model_name: str = ""
    datasets: list[Annotated[str, BeforeValidator(_task_name)]]
    metrics: dict[str, Matrix]

    @field_validator("datasets")
    @classmethod
    def _pair(cls, tasks: list[str]) -> list[str]:
        refuse_repeats(tasks)
        if len(tasks) < 2:
            raise TableError("", f"{len(tasks)} task(s)", "a pair needs two")
        return tasks

    @model_validator(mode="after")
    def _square(self) -> Self:
        n = len(self.datasets)
        if not self.metrics:
            raise ValueError("no metric")
        for key, metric in self.metrics.items():
            rows = [(f", row {i}", len(row), "columns") for i, row in enumerate(metric.matrix)]
            for place, length, what in [("", len(metric.matrix), "rows"), *rows]:
                if length != n:
                    problem = f"{length} {what} where there are {n} tasks"
                    raise TableError(f"metric {key!r}{place}", problem, "copy the file again")
        return self

    def table(self, setting: str) -> PairTable:
        """The pair table with all n(n-1)/2 pairs; raises TableError where two values differ."""
        order = sorted(range(len(self.datasets)), key=self.datasets.__getitem__)
        pairs = np.array(list(combinations(order, 2)))
        names = np.array(self.datasets)[pairs]
        rows, columns = pairs.min(axis=1), pairs.max(axis=1)
        values = {}
        for key, metric in self.metrics.items():
            matrix = np.array(metric.matrix)
            upper, lower = matrix[rows, columns], matrix[columns, rows]
            values[key] = np.where(np.isnan(upper), lower, upper)
            differ = ~np.isclose(values[key], lower, rtol=1e-6, atol=1e-12) & ~np.isnan(lower)
            if differ.any():
                k = int(differ.argmax())
                pair = f"{self.datasets[rows[k]]}__{self.datasets[columns[k]]}"
                problem = f"{upper[k]:g} above the diagonal, {lower[k]:g} below"
                raise TableError(f"metric {key!r}, pair {pair}", problem, "copy the file again")
        frame = pd.DataFrame(
            {"suite": setting, "left": names[:, 0], "right": names[:, 1], **values}
        )
        missing = [
            MissingMetric(setting, left, right, key, NULL_METRIC)
            for key in values
            for left, right in names[np.isnan(values[key])].tolist()
        ]
        return PairTable(frame, missing=missing)


def metric_file(folder: Path) -> tuple[Path, MetricFile]:
    """The largest metric file of a folder, and its path; raises TableError."""
    path = numbered_file(folder, "pairwise_metrics")
    return path, read_json(path, MetricFile)


def calibration_tables(results: Path, setting: str) -> dict[int, PairTable]:
    """Calibration size (samples a task) to the pair table measured with it, sizes ascending.

    Parameters
    ----------
    results : Path
        The folder that holds ``mergeability``.
    setting : str

    Returns
    -------
    dict[int, PairTable]
        The metrics that read samples; empty where the setting has no such folder.

    Raises
    ------
    TableError
        A file is damaged, or a folder's name is no size.
    """
    home = results / "mergeability" / setting / SENSITIVITY
    tables: dict[int, PairTable] = {}
    for folder in sorted(path for path in home.glob("*") if path.is_dir()):
        if not re.fullmatch(r"[1-9]\d*", folder.name):
            raise TableError(
                folder, "its name is no calibration size", "name it by the number of samples"
            )
        path, content = metric_file(folder)
        with about(path):
            tables[int(folder.name)] = content.table(setting)
    return dict(sorted(tables.items()))


def numbered_file(folder: Path, stem: str, like: Path | None = None) -> Path:
    """The file ``<stem>_N<n>.json``: with the n of `like`, else with the largest."""
    files = {
        int(match[1]): file
        for file in folder.glob(f"{stem}_N*.json")
        if (match := re.fullmatch(rf"{stem}_N(\d+)\.json", file.name))
    }
    if not files:
        raise TableError(folder, f"no {stem}_N<n>.json", "copy the whole results folder")
    wanted = re.search(r"_N(\d+)\.json$", like.name) if like else None
    return files.get(int(wanted[1]) if wanted else -1, files[max(files)])
