"""How sure a validation is: bootstrap over tasks, a permutation null, and the noise of seeds.

Pairs share tasks, so neither pairs nor rows are independent: tasks are what is drawn and permuted.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from mergecast.forecast.estimators.predictors import Predictor
from mergecast.forecast.rows import ROW_KEYS
from mergecast.forecast.training import TrainingRows
from mergecast.forecast.validation.protocols import Protocol, out_of_fold
from mergecast.forecast.validation.scoring import MIN_PAIRS, is_constant, paired_predictions, scores
from mergecast.runtime.seeds import derived_seed
from mergecast.typing import Floats

INTERVAL = (0.05, 0.95)
_SCORES = ("per_fold_r", "pooled_r", "mae")
#: Draws of models relabelled at random, and the quantile of their r.
RELABELLED, CHANCE = 500, 0.95


def bootstrap_interval(predictions: pd.DataFrame, n: int, seed: int = 0) -> dict[str, float]:
    """90 % intervals of the scores when tasks are drawn anew, with replacement.

    A task that is drawn m times weighs m in every pair it is in, and its fold counts m times;
    nothing is refitted.

    Parameters
    ----------
    predictions : DataFrame
        As `out_of_fold` returns them.
    n : int
        Number of draws.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to float
        ``{score}_low`` and ``{score}_high`` for per-fold r, pooled r and mean absolute error; NaN
        where a score is undefined in every draw.
    """
    paired = paired_predictions(predictions)
    pairs = [paired["suite"].str.cat(paired[side], sep="\t") for side in ("left", "right")]
    tasks = np.unique(np.concatenate([side.to_numpy(dtype=str) for side in pairs]))
    left, right = (np.searchsorted(tasks, side.to_numpy(dtype=str)) for side in pairs)
    names = paired["fold"].to_numpy(dtype=str)
    predicted, measured = paired["predicted"].to_numpy(), paired["measured"].to_numpy()
    random = np.random.default_rng(derived_seed(seed, "bootstrap", n))
    draws: dict[str, list[float]] = {score: [] for score in _SCORES}
    order = np.argsort(names, kind="stable")
    folds = np.split(order, np.flatnonzero(names[order][1:] != names[order][:-1]) + 1)
    # Under LOTO a fold is a task: it counts as often as the task was drawn.
    owner = [_common_task(left[rows], right[rows]) for rows in folds]
    for _ in range(n):
        count = np.bincount(random.integers(len(tasks), size=len(tasks)), minlength=len(tasks))
        weight = (count[left] * count[right]).astype(np.float64)
        total, times = 0.0, 0.0
        for rows, task in zip(folds, owner, strict=True):
            r = _weighted_pearson(predicted[rows], measured[rows], weight[rows])
            if not np.isnan(r):
                often = 1.0 if task is None else float(count[task])
                total, times = total + often * r, times + often
        draws["per_fold_r"].append(total / times if times else np.nan)
        draws["pooled_r"].append(_weighted_pearson(predicted, measured, weight))
        error = np.abs(predicted - measured)
        draws["mae"].append(float(weight @ error / weight.sum()) if weight.any() else np.nan)
    intervals = {}
    for score, values in draws.items():
        defined = [value for value in values if not np.isnan(value)]
        ends = np.quantile(defined, INTERVAL) if defined else (np.nan, np.nan)
        intervals[f"{score}_low"], intervals[f"{score}_high"] = float(ends[0]), float(ends[1])
    return intervals


def permutation_null(
    rows: TrainingRows,
    predictor: Predictor,
    protocol: Protocol,
    observed: dict[str, Any],
    n: int,
    seed: int = 0,
) -> dict[str, float]:
    """Scores when outcomes belong to other tasks: the predictor is refitted on each permutation.

    Within each suite one permutation of the tasks is applied to the outcomes alone: pair (i, j)
    gets those of (π(i), π(j)), so outcomes keep their structure by task and lose their link to the
    metrics. A pair whose image has no outcome is left out of that permutation.

    Returns
    -------
    dict of str to float
        ``null_per_fold_r``, ``null_pooled_r`` (means over permutations) and ``p_per_fold_r``,
        ``p_pooled_r``, (1 + number at least as high as observed) / (1 + number of permutations).
    """
    draws: dict[str, list[float]] = {"per_fold_r": [], "pooled_r": []}
    for k in range(n):
        shuffled = permuted_outcomes(rows, derived_seed(seed, "permutation", k))
        with warnings.catch_warnings():
            # On shuffled outcomes a solver may stop a hair short of its tolerance; of a null
            # distribution that changes nothing, and a line for each of thousands of fits hides
            # what matters.
            warnings.simplefilter("ignore", ConvergenceWarning)
            score = scores(out_of_fold(shuffled, predictor, protocol))
        for name, values in draws.items():
            values.append(float(score[name]))
    null = {}
    for name, values in draws.items():
        defined = np.array([value for value in values if not np.isnan(value)])
        at_least = int((defined >= observed[name]).sum())
        comparable = len(defined) > 0 and not np.isnan(observed[name])
        null[f"null_{name}"] = float(defined.mean()) if len(defined) else np.nan
        null[f"p_{name}"] = (1 + at_least) / (1 + len(defined)) if comparable else np.nan
    return null


def relabelled_r(paired: pd.DataFrame, draws: int = RELABELLED, seed: int = 0) -> float:
    """The r that chance gives: above it lie 5 % of forecasts whose models are relabelled at random.

    Pairs follow their models: (i, j) gets what was forecast of (π(i), π(j)), so that a forecast of
    good and poor models stays one. Nothing is refitted.

    Parameters
    ----------
    paired : DataFrame
        Pairs of one suite, `left, right, predicted, measured`; one whose image has no forecast is
        left out of that draw.
    draws : int
        Permutations of the models.
    seed : int
        Of the permutations.

    Returns
    -------
    float
        NaN where r is defined in no draw.
    """
    predicted, measured = paired["predicted"].to_numpy(), paired["measured"].to_numpy()
    if len(paired) < MIN_PAIRS or is_constant(predicted) or is_constant(measured):
        return float("nan")
    tasks, places = np.unique(paired[["left", "right"]].to_numpy(dtype=str), return_inverse=True)
    left, right = places.reshape(-1, 2).T
    forecast = np.full((len(tasks), len(tasks)), np.nan)
    forecast[left, right] = forecast[right, left] = predicted
    random = np.random.default_rng(derived_seed(seed, "relabelled", draws))
    image = random.permuted(np.tile(np.arange(len(tasks)), (draws, 1)), axis=1)
    x = forecast[image[:, left], image[:, right]]
    known = np.isfinite(x)
    x, y = np.where(known, x, 0.0), np.where(known, measured, 0.0)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    dx, dy = (known * (v - v.sum(axis=1, keepdims=True) / count) for v in (x, y))
    size = np.sqrt((dx**2).sum(axis=1) * (dy**2).sum(axis=1))
    defined = (count[:, 0] >= MIN_PAIRS) & (size > 0)
    found = (dx * dy).sum(axis=1)[defined] / size[defined]
    return float(np.quantile(found, CHANCE)) if len(found) else float("nan")


def permuted_outcomes(rows: TrainingRows, seed: int) -> TrainingRows:
    """The same metrics with the outcomes of permuted tasks; pairs without an image are left out."""
    random = np.random.default_rng(seed)
    image: dict[tuple[str, str], str] = {}
    for suite, keys in rows.keys.groupby("suite", sort=True):
        tasks = np.unique(keys[["left", "right"]].to_numpy(dtype=str))
        shuffled = random.permutation(tasks)
        image |= {
            (str(suite), a): b for a, b in zip(tasks.tolist(), shuffled.tolist(), strict=True)
        }
    outcome = {}
    for key, y in zip(rows.keys[ROW_KEYS].itertuples(index=False, name=None), rows.y, strict=True):
        suite, left, right, member = key
        outcome[suite, member, right if member == left else left] = float(y)
    identity = rows.X[["suite", "member", "partner"]].itertuples(index=False, name=None)
    y = np.array([outcome.get((s, image[s, m], image[s, p]), np.nan) for s, m, p in identity])
    kept = ~np.isnan(y)
    return replace(
        rows,
        X=rows.X[kept].reset_index(drop=True),
        y=y[kept],
        keys=rows.keys[kept].reset_index(drop=True),
    )


def seed_spread(
    rows: TrainingRows, predictor: Predictor, protocol: Protocol, seeds: int
) -> dict[str, float]:
    """Standard deviation of the scores over seeds 0, 1, …; 0 for a deterministic predictor."""
    if seeds < 2 or not predictor.draws:
        return {f"{score}_seed_sd": 0.0 for score in _SCORES}
    runs = [scores(out_of_fold(rows, predictor.seeded(seed), protocol)) for seed in range(seeds)]
    return {
        f"{score}_seed_sd": float(np.std([run[score] for run in runs], ddof=1)) for score in _SCORES
    }


def _common_task(left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> int | None:
    """The one task that all pairs of a fold have in common; None where there is none, or two."""
    both = set(zip(left.tolist(), right.tolist(), strict=True))
    common = set.intersection(*(set(pair) for pair in both))
    return common.pop() if len(common) == 1 else None


def _weighted_pearson(x: Floats, y: Floats, weight: Floats) -> float:
    used = weight > 0
    if used.sum() < MIN_PAIRS:
        return float("nan")
    x, y, w = x[used], y[used], weight[used] / weight[used].sum()
    dx, dy = x - w @ x, y - w @ y
    if any(np.ptp(v) <= 1e-12 * max(1.0, float(np.abs(v).max())) for v in (x, y)):
        return float("nan")
    return float(np.clip((w * dx) @ dy / np.sqrt((w * dx) @ dx * ((w * dy) @ dy)), -1.0, 1.0))
