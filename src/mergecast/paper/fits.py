"""The released fits of "Demystifying Mergeability": coefficients and scores of every fold.

``metric_linear_optimization_v2/<setting>/<experiment>/<method>_loto…results.json``, where the
first part of the setting is in lower case (``vit-b-16_AdamW``). The main experiment of the paper is
``loto_cv_l1_lambda1.0``; ``l1_loto_cv_no_<group>`` leave a group of metrics out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mergecast.errors import TableError
from mergecast.paper.json_file import entry, number, read_json, refuse_json
from mergecast.paper.results import METHOD_NAMES, results_folder

MAIN_EXPERIMENT = "loto_cv_l1_lambda1.0"
ABLATION = "l1_loto_cv_no_"

# The MSE files name the fold's correlation by its kind; the elimination files, the coefficients.
_R_KEYS = ("val_r", "val_pearson_r")
_COEFFICIENT_KEYS = ("coefficients", "retained_coefficients")


@dataclass(frozen=True)
class ReleasedFit:
    """The leave-one-task-out fits of one merging method in one experiment.

    Attributes
    ----------
    method : mergecast's name.
    coefficients : frame, one row a fold (index: the task held out), one column a metric; a metric
        that a fold removed has 0.
    fold_r : Pearson's r on each held-out task's pairs, same index.
    fold_pairs : number of these pairs, same index.
    pooled_r : r of all folds' predictions together, as the file states it; NaN where it does not.
    """

    method: str
    coefficients: pd.DataFrame
    fold_r: pd.Series
    fold_pairs: pd.Series
    pooled_r: float

    @property
    def per_fold_r(self) -> float:
        """Mean of r over the folds where it is defined."""
        return float(self.fold_r.mean())


def released_fits(
    results: str | Path, setting: str, experiment: str = MAIN_EXPERIMENT
) -> dict[str, ReleasedFit]:
    """Method to its fits in one experiment, sorted; empty where none was released.

    Raises TableError where a file is damaged.
    """
    home = _home(results, setting)
    if home is None or not (home / experiment).is_dir():
        return {}
    found: dict[str, ReleasedFit] = {}
    for path in sorted((home / experiment).glob("*_results.json")):
        name = re.sub(r"_loto(_mse)?_results\.json$", "", path.name)
        method = METHOD_NAMES.get(name, name)
        if method in found:
            raise TableError(path, f"method {method!r} stands twice", "keep one")
        found[method] = _read_fit(path, method)
    return dict(sorted(found.items()))


def experiments(results: str | Path, setting: str) -> list[str]:
    """Names of the released experiments of a setting, sorted."""
    home = _home(results, setting)
    return sorted(path.name for path in home.iterdir() if path.is_dir()) if home else []


def _home(results: str | Path, setting: str) -> Path | None:
    """The folder of a setting's fits; only the case of its name may differ."""
    parent = results_folder(results) / "metric_linear_optimization_v2"
    if not parent.is_dir():
        return None
    same = [path for path in sorted(parent.iterdir()) if path.name.lower() == setting.lower()]
    if len(same) > 1:
        names = " and ".join(path.name for path in same)
        raise TableError(parent, f"{names} both belong to setting {setting!r}", "keep one")
    return same[0] if same else None


def _read_fit(path: Path, method: str) -> ReleasedFit:
    data = read_json(path)
    folds: list[Any] = entry(path, data, "fold_results", list)
    if not folds:
        refuse_json(path, "key 'fold_results'", "no fold")
    coefficients, fold_r, fold_pairs = {}, {}, {}
    for i, fold in enumerate(folds):
        where = f"fold_results, row {i}"
        task = entry(path, fold, "held_out_task", str, where)
        if task in coefficients:
            refuse_json(path, where, f"task {task!r} is held out twice")
        key = next((key for key in _COEFFICIENT_KEYS if key in fold), _COEFFICIENT_KEYS[0])
        values = entry(path, fold, key, dict, where)
        coefficients[task] = {
            metric: _finite(path, value, f"{where}, coefficient {metric!r}")
            for metric, value in values.items()
        }
        r_key = next((key for key in _R_KEYS if key in fold), None)
        if r_key is None:
            refuse_json(path, where, f"neither {_R_KEYS[0]} nor {_R_KEYS[1]}")
        fold_r[task] = number(path, fold[r_key], f"{where}, {r_key}")
        fold_pairs[task] = entry(path, fold, "n_val_pairs", int, where)
    aggregate = data.get("aggregate_metrics", {})
    pooled = next((aggregate[key] for key in _R_KEYS if key in aggregate), None)
    frame = pd.DataFrame.from_dict(coefficients, orient="index")
    if "retained_coefficients" in folds[0]:
        frame = frame.fillna(0.0)
    for task, absent in frame.isna().iterrows():
        if absent.any():
            refuse_json(path, f"fold of {task}", f"no coefficient of metric {absent.idxmax()!r}")
    return ReleasedFit(
        method,
        frame.astype(float),
        pd.Series(fold_r, dtype=float),
        pd.Series(fold_pairs, dtype="int64"),
        number(path, pooled, "aggregate_metrics"),
    )


def _finite(path: Path, value: Any, where: str) -> float:
    found = number(path, value, where)
    if math.isnan(found):
        refuse_json(path, where, f"expected a finite number, found {value!r}")
    return found
