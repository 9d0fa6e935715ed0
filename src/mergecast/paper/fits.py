"""The released fits of "Demystifying Mergeability": coefficients and scores of every fold.

``metric_linear_optimization_v2/<setting>/<experiment>/<method>_loto…results.json``, where the
first part of the setting is in lower case (``vit-b-16_AdamW``). The main experiment of the paper is
``loto_cv_l1_lambda1.0``; ``l1_loto_cv_no_<group>`` leave a group of metrics out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import AliasChoices, Field, field_validator

from mergecast.errors import TableError
from mergecast.paper.json_file import Finite, Number, Strict, read_json, refuse_repeats
from mergecast.paper.results import METHOD_NAMES, results_folder

MAIN_EXPERIMENT = "loto_cv_l1_lambda1.0"


# The MSE files name r by its kind; the elimination files, the coefficients that were kept.
_R = AliasChoices("val_r", "val_pearson_r")
_COEFFICIENTS = AliasChoices("coefficients", "retained_coefficients")


class _Fold(Strict):
    held_out_task: str
    n_val_pairs: int
    r: Number = Field(validation_alias=_R)
    coefficients: dict[str, Finite] = Field(validation_alias=_COEFFICIENTS)
    retained_coefficients: dict[str, Any] | None = None


class _Aggregate(Strict):
    r: Number = Field(default=nan, validation_alias=_R)


class _FitFile(Strict):
    fold_results: list[_Fold]
    aggregate_metrics: _Aggregate = _Aggregate()

    @field_validator("fold_results")
    @classmethod
    def _distinct(cls, folds: list[_Fold]) -> list[_Fold]:
        refuse_repeats([fold.held_out_task for fold in folds], "is held out twice")
        if not folds:
            raise ValueError("no fold")
        return folds


@dataclass(frozen=True)
class ReleasedFit:
    """The leave-one-task-out fits of one merging method in one experiment.

    Attributes
    ----------
    method : str
        mergecast's name.
    coefficients : DataFrame
        One row a fold (index: the task held out), one column a metric; a metric that a fold removed
        has 0.
    fold_r : Series
        Pearson's r on each held-out task's pairs, same index.
    fold_pairs : Series
        Number of these pairs, same index.
    pooled_r : float
        r of all folds' predictions together, as the file states it; NaN where it does not.
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

    Raises
    ------
    TableError
        A file is damaged, or two are of one method.
    """
    home = _home(results, setting)
    if home is None or not (home / experiment).is_dir():
        return {}
    fits: dict[str, ReleasedFit] = {}
    for path in sorted((home / experiment).glob("*_results.json")):
        name = re.sub(r"_loto(_mse)?_results\.json$", "", path.name)
        method = METHOD_NAMES.get(name, name)
        if method in fits:
            raise TableError(path, f"method {method!r} stands twice", "keep one")
        fits[method] = _read_fit(path, method)
    return dict(sorted(fits.items()))


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
    content = read_json(path, _FitFile)
    folds = {fold.held_out_task: fold for fold in content.fold_results}
    frame = pd.DataFrame.from_dict({t: f.coefficients for t, f in folds.items()}, orient="index")
    if content.fold_results[0].retained_coefficients is not None:
        frame = frame.fillna(0.0)
    for task, absent in frame.isna().iterrows():
        if absent.any():
            text = f"no coefficient of metric {absent.idxmax()!r}"
            raise TableError(f"{path}: fold of {task}", text, "copy the file again")
    return ReleasedFit(
        method,
        frame.astype(float),
        pd.Series({task: fold.r for task, fold in folds.items()}, dtype=float),
        pd.Series({task: fold.n_val_pairs for task, fold in folds.items()}, dtype="int64"),
        content.aggregate_metrics.r,
    )
