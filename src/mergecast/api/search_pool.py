"""The merges that a search may make, each with what forecasts say that its members keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import comb
from numbers import Integral

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mergecast.api.gathered import Gathered
from mergecast.errors import UsageError
from mergecast.forecast.few_samples import FewSamples
from mergecast.forecast.measured import own_errors
from mergecast.forecast.method_forecast import at_most, interval_of_new
from mergecast.forecast.sets import rank_all_sets
from mergecast.merging.recipe import Recipe
from mergecast.search.candidates import Candidate, Pool, Priced
from mergecast.search.objective import Objective
from mergecast.search.run import MOST
from mergecast.tables.sets import split_members
from mergecast.typing import Floats

#: What is believed of a merge that nothing is forecast of, beside what others by its method keep.
_UNKNOWN, _UNKNOWN_SD = 0.8, 0.25
#: How much wider the error of a set is that is forecast from its pairs alone.
_FROM_PAIRS = 2.0
#: The most models of a merge that ``any`` size looks at.
_MOST = 6
#: Sets of one size and method that are priced at most.
_SETS = 20_000
_TWO = "give two models at least"


def search_pool(
    gathered: Gathered,
    size: int | str | Sequence[int] | None,
    keep: Iterable[str],
    objective: Objective,
    seed: int,
    most: int = MOST,
) -> Pool:
    """All sets of some sizes by every method of a forecast, the most promising of them.

    Parameters
    ----------
    gathered : Gathered
        The forecast and its evidence, whose store is still there.
    size : int, str, sequence of int, optional
        Members of a merge, as `sizes_asked` reads them.
    keep : iterable of str
        Models that every merge has.
    objective : Objective
        What the most promising ones are chosen by.
    seed : int
        Of random masks.
    most : int
        Merges that are kept.

    Raises
    ------
    UsageError
        No merge is left: too few models, or one to be kept cannot be used.
    """
    names = sorted(set(gathered.usable) - set(gathered.doubtful))
    needed = sorted({*keep, *objective.needed})
    reasons = {**gathered.refused, **gathered.doubtful}
    for label in needed:
        if label not in names:
            why = reasons.get(label, f"is none of {', '.join(names)}")
            raise UsageError(f"model {label!r}", f"is to be kept, but {why}", "leave it out")
    found: list[Priced] = []
    left_out = [f"{label}: {reason}" for label, reason in sorted(reasons.items())]
    if len(names) < 2:
        raise UsageError("models", f"{len(names)} can be merged: {'; '.join(left_out)}", _TWO)
    sizes = sizes_asked(size, len(names))
    possible = [size for size in sizes if max(2, len(needed)) <= size <= len(names)]
    if not possible:
        raise UsageError(
            "size of merges",
            f"is {', '.join(map(str, sizes))}, of {len(names)} models that can be used"
            f"{f' and {len(needed)} that are to be kept' if needed else ''}",
            f"give {max(2, len(needed))} to {len(names)}",
        )
    for size in possible:
        priced, said = _of_size(gathered, names, needed, size, seed)
        found += priced
        left_out += said
    if not found:
        raise UsageError("merges", "none can be made of these models", "; ".join(left_out))
    pool = Pool(tuple(names), found, tuple(left_out))
    hopes = [objective.utility(one.candidate.members, one.kept + one.sd) for one in found]
    return pool.best(np.array(hopes), most)


def sizes_asked(size: int | str | Sequence[int] | None, count: int) -> list[int]:
    """Numbers of members that are asked for; raises UsageError."""
    if size is None and count > 1:
        return [count]
    text = str(size) if isinstance(size, Integral | str) else ""
    if text == "any" and count > 1:
        return [*range(2, min(count, _MOST) + 1)]
    low, dots, high = text.partition("..")
    wanted: list[int] = []
    if low.isdecimal() and (high.isdecimal() if dots else True):
        wanted = [*range(int(low), int(high or low) + 1)]
    elif not text and size is not None and not isinstance(size, int | str):
        wanted = sorted({*size})
    if not wanted or min(wanted) < 2 or max(wanted) > count:
        few = _TWO if count < 2 else "leave it out: 2 models have one merge"
        remedy = few if count < 3 else f"give 2 to {count}, as 3, 2..{count} or any"
        raise UsageError("size", f"is {size!r}, of {count} models", remedy)
    return wanted


def _of_size(
    gathered: Gathered, names: list[str], needed: list[str], size: int, seed: int
) -> tuple[list[Priced], list[str]]:
    """Merges of one size, and what was left out of them."""
    made = gathered.made
    inside = made.rows["left"].isin(names) & made.rows["right"].isin(names)
    rows = made.rows[inside]
    methods = {str(one): Recipe.of(str(one)) for one in sorted(rows["method"].unique())}
    seeded = {name: replace(recipe, seed=recipe.seed or seed) for name, recipe in methods.items()}
    limits = {name: one.merging_method.max_members for name, one in methods.items()}
    able = [x for x, most in limits.items() if most is None or size <= most]
    said = [f"{x}: it merges {limits[x]} models at most" for x in methods if x not in able]
    if size == 2:
        return priced_pairs(rows[rows["method"].isin(able)], needed, seeded, made.level), said
    _check_count(names, needed, size)
    sets = _sets(names, needed, size)
    answered = "superposition" in gathered.gathering.evidence.kinds
    priced: list[Priced] = []
    alone: dict[str, Floats] = {}
    if answered:
        kept, alone, sets, more = _from_answers(gathered, rows, names, sets, size)
        said += more
    else:
        kept = _from_pairs(rows, sets, size)
    flat, fewer = [x for members in sets for x in members], FewSamples.of(made.metrics)
    for method in able:
        values = kept.get(method, np.full((len(sets), size), np.nan))
        model = made.forecaster.tiers[made.tier].get(method)
        known = np.asarray(~np.isnan(values).any(axis=1) & (model is not None))
        numbers = np.where(known[:, None], values, np.nan)
        sd = np.full_like(numbers, _UNKNOWN_SD)
        if model is not None and known.any():
            each = numbers.ravel()
            lone, few = alone.get(method, values).ravel(), fewer.variance(each, flat)
            lower, upper = interval_of_new(model, each, made.level, lone, size - 1, few)
            half = np.maximum(upper - each, each - lower).reshape(numbers.shape)
            told = half / ndtri((1 + made.level) / 2) * (1.0 if answered else _FROM_PAIRS)
            sd = np.where(np.isfinite(half), np.clip(told, 1e-3, _UNKNOWN_SD), _UNKNOWN_SD)
        numbers = np.where(known[:, None], numbers, _unknown(numbers, size))
        for row, members in enumerate(sets):
            merged = Candidate(members, seeded[method], method)
            priced.append(Priced(merged, numbers[row], sd[row], bool(known[row])))
    return priced, said


def priced_pairs(
    rows: pd.DataFrame, needed: Iterable[str], recipes: Mapping[str, Recipe], level: float
) -> list[Priced]:
    """Every pair of a forecast's rows by every method, with what is believed of it.

    Parameters
    ----------
    rows : DataFrame
        As of `Forecast.rows`.
    needed : iterable of str
        Models that every pair has.
    recipes : mapping of str to Recipe
        How pairs are merged, by the rows' `method`.
    level : float
        Of the rows' intervals, as `Forecast.level`.
    """
    needed = {*needed}
    rows = rows.assign(error=own_errors(rows, level))
    means = rows.groupby("method")["retention"].mean().to_dict()
    found = []
    for key, both in rows.groupby(["left", "right", "method"], sort=True):
        left, right, method = map(str, key)
        if not needed <= {left, right}:
            continue
        ordered = both.set_index("member").loc[[left, right]]
        kept, sd = (ordered[key].to_numpy(dtype="float64") for key in ("retention", "error"))
        known = not np.isnan(kept).any()
        if not known:
            mean = means[method] if np.isfinite(means[method]) else _UNKNOWN
            kept, sd = np.full(2, mean), np.full(2, _UNKNOWN_SD)
        candidate = Candidate((left, right), recipes[method], method)
        found.append(Priced(candidate, kept, np.clip(sd, 1e-3, _UNKNOWN_SD), known))
    return found


def _check_count(names: list[str], needed: list[str], size: int) -> None:
    """Raise UsageError where there are too many sets to look at."""
    count = comb(len(names) - len(needed), size - len(needed))
    if count > _SETS:
        raise UsageError(
            "size of merges",
            f"is {size}: {len(names)} models have {count:,} such sets",
            "name models to keep, or take smaller sets",
        )


def _sets(names: list[str], needed: list[str], size: int) -> list[tuple[str, ...]]:
    """All sets with the models that are needed, sorted."""
    others = [name for name in names if name not in needed]
    found = combinations(others, size - len(needed))
    return sorted(tuple(sorted((*needed, *more))) for more in found)


def _from_pairs(
    rows: pd.DataFrame, sets: Sequence[tuple[str, ...]], size: int
) -> dict[str, Floats]:
    """What members keep by the rule for sets of pairs, by method."""
    found: dict[str, Floats] = {}
    place = {members: row for row, members in enumerate(sets)}

    def keep(method: str, joined: list[str], _: object, each: Floats) -> Floats:
        chosen = [(place.get(tuple(split_members(x))), row) for row, x in enumerate(joined)]
        values = np.full((len(sets), size), np.nan)
        for at, row in chosen:
            if at is not None:
                values[at] = each[row]
        found[method] = values
        return each

    rank_all_sets(rows, size, keep)
    return found


def _from_answers(
    gathered: Gathered,
    rows: pd.DataFrame,
    names: list[str],
    sets: list[tuple[str, ...]],
    size: int,
) -> tuple[dict[str, Floats], dict[str, Floats], list[tuple[str, ...]], list[str]]:
    """What members keep by their superposed answers, by method, and without the others.

    Then the sets, those of the best pairs, and what was left out.
    """
    from mergecast.evidence.superposition.sets import collect_sets, most_sets

    session, made = gathered.gathering.asked.session, gathered.made
    said = []
    with replace(session, family=session.family.subset(names), keys=None) as narrow:
        most = most_sets(narrow, size)
        if len(sets) > most:
            by_pairs = np.nanmean(list(_from_pairs(rows, sets, size).values()), axis=(0, 2))
            best = np.argsort(-np.nan_to_num(by_pairs, nan=-np.inf), kind="stable")[:most]
            said.append(
                f"{most:,} of {len(sets):,} sets of {size} were priced, those of the best pairs"
            )
            sets = [sets[row] for row in sorted(best)]
        readings = collect_sets(narrow, sets)
    models = made.forecaster.tiers[made.tier]
    place = {members: row for row, members in enumerate(readings.members)}
    order = [place[members] for members in sets]
    kept = {
        method: at_most(models[method], values[order])
        for method, values in readings.kept.items()
        if method in models
    }
    return kept, {name: values[order] for name, values in readings.alone.items()}, sets, said


def _unknown(values: Floats, size: int) -> Floats:
    """What is believed of a set that nothing is forecast of: what others keep by the method."""
    mean = float(np.nanmean(values)) if np.isfinite(values).any() else _UNKNOWN
    return np.full(size, mean)
