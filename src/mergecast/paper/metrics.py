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
from typing import Annotated, Self

import pandas as pd
from pydantic import BeforeValidator, field_validator, model_validator

from mergecast.errors import TableError
from mergecast.paper.json_file import Number, Strict, read_json, refuse_repeats
from mergecast.tables.pairs import MissingMetric, PairTable
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

    def value(self, key: str, i: int, j: int) -> float:
        """A metric of two tasks by their places; raises TableError where two values differ."""
        matrix = self.metrics[key].matrix
        upper, lower = matrix[i][j], matrix[j][i]
        if math.isnan(upper):
            return lower
        if not math.isnan(lower) and not math.isclose(upper, lower, rel_tol=1e-6, abs_tol=1e-12):
            pair = f"{self.datasets[i]}__{self.datasets[j]}"
            raise TableError(
                f"metric {key!r}, pair {pair}", f"{upper:g} above the diagonal, {lower:g} below"
            )
        return upper

    def table(self, setting: str) -> PairTable:
        """The pair table with all n(n-1)/2 pairs; raises TableError."""
        places = sorted(
            (min(a, b), max(a, b), i, j) for (i, a), (j, b) in combinations(enumerate(self.datasets), 2)
        )
        frame = pd.DataFrame(
            {"suite": setting, "left": [p[0] for p in places], "right": [p[1] for p in places]}
            | {key: [self.value(key, i, j) for _, _, i, j in places] for key in self.metrics}
        )
        missing = [
            MissingMetric(setting, left, right, key, NULL_METRIC)
            for key in self.metrics
            for left, right in frame.loc[frame[key].isna(), ["left", "right"]].itertuples(index=False)
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
