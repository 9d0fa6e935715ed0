"""How far one suite's scores hang on its tasks: drawn anew, and without the one that counts most.

Pairs share tasks, so tasks are what is drawn: one that is drawn m times weighs m in every pair it
is in. Nothing is refitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.forecast.validation.decisions import method_choices
from mergecast.forecast.validation.scoring import paired_predictions
from mergecast.forecast.validation.uncertainty import INTERVAL
from mergecast.runtime.seeds import derived_seed
from mergecast.typing import Floats

#: Draws of tasks, enough for two digits of an interval's ends.
DRAWS = 1000
_SIDES = ["left", "right"]
# Own means that err by less err by nothing.
_EQUAL = 1e-12
Score = Callable[[Floats], float]


def error_over_tasks(told: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """The error of forecasts over that of each method's own mean, and how sure that is.

    Parameters
    ----------
    told : DataFrame
        Member rows of one suite: `method, left, right, member, predicted, measured`.
    seed : int
        Of the draws.

    Returns
    -------
    dict
        `ratio`, of mean absolute errors of pairs, each the mean over methods; `ratio_low` and
        `ratio_high`, 90 % of its draws, the same tasks for both errors; `task`, whose pairs count
        most, and `ratio_without` them. NaN and "" where no pair has a number.
    """
    keys = ["method", *_SIDES]
    complete = told.groupby(keys)[["predicted", "measured"]].transform("count").min(axis=1) == 2
    means = told[complete].groupby(keys)[["predicted", "measured"]].mean().reset_index()
    predicted, measured = (
        means.pivot_table(index=_SIDES, columns="method", values=name)
        for name in ("predicted", "measured")
    )
    errors, truth = (predicted - measured).abs().to_numpy(), measured.to_numpy()
    known = np.isfinite(truth)

    def ratio(weight: Floats) -> float:
        shares = weight[:, None] * known
        total = shares.sum(axis=0)
        if not total.all():  # a method none of whose pairs is there
            return np.nan
        shares = shares / total
        centre = (shares * np.where(known, truth, 0.0)).sum(axis=0)
        own = (shares * np.where(known, np.abs(truth - centre), 0.0)).sum(axis=0).mean()
        error = (shares * np.where(known, errors, 0.0)).sum(axis=0).mean()
        return float(error / own) if own > _EQUAL else np.nan

    found = _over_tasks(measured.index.to_frame(index=False), ratio, seed)
    return {
        "ratio": found["value"],
        "ratio_low": found["low"],
        "ratio_high": found["high"],
        "task": found["task"],
        "ratio_without": found["without"],
    }


def gain_over_tasks(told: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """By how much choosing each pair's method keeps more than the best fixed one.

    The fixed method is the best of each draw: in hindsight again.

    Parameters
    ----------
    told : DataFrame
        As of `error_over_tasks`.
    seed : int
        Of the draws.

    Returns
    -------
    dict
        `gain` in retention, `gain_low` and `gain_high`, 90 % of its draws.
    """
    judged, kept = method_choices(told, _SIDES)
    if kept.empty:
        return {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan}
    chosen, measured = judged["measured"].to_numpy(dtype="float64"), kept.to_numpy()

    def gain(weight: Floats) -> float:
        shares = weight / weight.sum()
        return float(shares @ chosen - (shares @ measured).max())

    found = _over_tasks(kept.index.to_frame(index=False), gain, seed)
    return {"gain": found["value"], "gain_low": found["low"], "gain_high": found["high"]}


def inside_over_tasks(told: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """What share of members lies in its interval, and how sure that is.

    A few tasks are a few draws: an interval that is right too seldom for one of eight tasks holds
    too seldom in a quarter of all pairs.

    Parameters
    ----------
    told : DataFrame
        As of `error_over_tasks`, with `lower` and `upper`.
    seed : int
        Of the draws.

    Returns
    -------
    dict
        `inside`, `inside_low` and `inside_high`, 90 % of its draws.
    """
    known = told.dropna(subset=["lower", "upper", "measured"])
    inside = known["measured"].between(known["lower"], known["upper"])
    pairs = inside.groupby([known[side] for side in _SIDES]).agg(["sum", "count"])

    def share(weight: Floats) -> float:
        return float(weight @ pairs["sum"].to_numpy() / (weight @ pairs["count"].to_numpy()))

    found = _over_tasks(pairs.index.to_frame(index=False), share, seed)
    return {"inside": found["value"], "inside_low": found["low"], "inside_high": found["high"]}


def beside_constant(
    told: pd.DataFrame, constant: pd.DataFrame, draws: int = 0, seed: int = 0
) -> dict[str, Any]:
    """The error of a predictor beside that of the constant, on the same pairs of the same folds.

    Parameters
    ----------
    told, constant : DataFrame
        Out-of-fold predictions of both under one method: `fold, suite, left, right, member,
        predicted, measured`.
    draws : int
        Of tasks, the same for both errors; 0 for no interval.
    seed : int
        Of the draws.

    Returns
    -------
    dict
        `gain`, the constant's mean absolute error less the predictor's, and with draws `gain_low`
        and `gain_high`, 90 % of them; `ratio` of the two errors; `task`, whose pairs count most in
        it, and `ratio_without` them, nothing refitted.
    """
    keys = ["fold", "suite", *_SIDES]
    both = paired_predictions(told).merge(
        paired_predictions(constant), on=keys, suffixes=("", "_constant")
    )
    pairs = both[_SIDES]
    if len(both["suite"].unique()) > 1:  # a task of two suites is two tasks
        pairs = pairs.apply(lambda side: both["suite"] + "/" + side)
    own = (both["predicted"] - both["measured"]).abs().to_numpy()
    other = (both["predicted_constant"] - both["measured"]).abs().to_numpy()

    def gain(weight: Floats) -> float:
        return float(weight @ (other - own) / weight.sum())

    def ratio(weight: Floats) -> float:
        total = weight @ other
        return float(weight @ own / total) if total > _EQUAL * weight.sum() else np.nan

    gained, compared = (
        _over_tasks(pairs, gain, seed, draws),
        _over_tasks(pairs, ratio, seed, 0),
    )
    numbers = {"gain": gained["value"]}
    if draws:
        numbers |= {"gain_low": gained["low"], "gain_high": gained["high"]}
    without = {"ratio_without": compared["without"], "task": compared["task"]}
    return {**numbers, "ratio": compared["value"], **without}


def _over_tasks(
    pairs: pd.DataFrame, score: Score, seed: int, n_draws: int = DRAWS
) -> dict[str, Any]:
    """A score of weighted pairs: of all, 90 % of draws of tasks, without the most influential."""
    if pairs.empty:
        return dict.fromkeys(("value", "low", "high", "without"), np.nan) | {"task": ""}
    sides = pairs[_SIDES].to_numpy(dtype=str)
    tasks, places = np.unique(sides, return_inverse=True)
    places = places.reshape(sides.shape)
    value = score(np.ones(len(pairs)))
    draws = [score(weight) for weight in _draws(places, len(tasks), seed, n_draws)]
    draws = [draw for draw in draws if np.isfinite(draw)]
    low, high = np.quantile(draws, INTERVAL) if draws else (np.nan, np.nan)
    without = {
        str(task): score((places != place).all(axis=1).astype(np.float64))
        for place, task in enumerate(tasks)
        if (places != place).all(axis=1).sum() > 1
    }
    without = {task: one for task, one in without.items() if np.isfinite(one)}
    task = max(without, key=lambda one: abs(without[one] - value), default="")
    return {
        "value": value,
        "low": float(low),
        "high": float(high),
        "task": task,
        "without": without.get(task, np.nan),
    }


def _draws(places: npt.NDArray[np.intp], n_tasks: int, seed: int, n_draws: int) -> Iterator[Floats]:
    """How often each pair counts where tasks are drawn anew; draws of fewer than two pairs are not
    among them, and those of which a score is not defined not among its ends.
    """
    random = np.random.default_rng(derived_seed(seed, "over tasks", n_draws))
    for _ in range(n_draws):
        count = np.bincount(random.integers(n_tasks, size=n_tasks), minlength=n_tasks)
        weight = count[places].prod(axis=1).astype(np.float64)
        if (weight > 0).sum() > 1:
            yield weight
