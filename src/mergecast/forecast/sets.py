"""Sets of three and more models, forecast from their pairs or from their answers.

From pairs alone what a larger merge keeps is pieced together: from v(i | j), what member i keeps
beside partner j, by one of the rules in `RULES`. None of them knows what size alone does (an
average of five takes a fifth of each task vector, not a half), so they rank sets better than they
say how much is kept; `evaluate` shows both on merged sets. Where models answered samples, their
superposed shifts at a set's strengths take the rule's place (`Correction`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.errors import TableError, UsageError
from mergecast.tables.outcomes import OutcomesLike, as_outcomes
from mergecast.tables.sets import join_members, split_members
from mergecast.typing import Floats

Sets = npt.NDArray[np.intp]

Correction = Callable[[str, list[str], Sets, Floats], Floats]
"""From the method, the names of sets, their members as indices of sorted models (n, k), and what
each member keeps by the rule (n, k): what it keeps instead."""

PAIRS, SUPERPOSED, CHECKED = "pairs", "superposed", "checked"
"""What a set's forecast rests on: its pairs; its members' answers; a merge on those samples."""

MOST_VALUES = 20_000_000
"""Sets times squared size that are ranked at most: what fits half a gigabyte."""


def mean_of_pairs(beside: Floats) -> Floats:
    """The mean over partners, (..., k - 1) to (...): the paper's, blind to the number of them."""
    return np.asarray(beside.mean(axis=-1))


def compounded(beside: Floats) -> Floats:
    """c Π_j (v_j / c) with c = max v_j, (..., k - 1) to (...); negative values count as 0.

    c is the most the member keeps beside any partner of the set: what it loses whatever the
    partner counts once, and beyond it each partner costs a factor of its own.
    """
    values = np.maximum(beside, 0.0)
    most = values.max(axis=-1, keepdims=True)
    factors = np.divide(values, most, out=np.ones_like(values), where=most != 0)
    return np.asarray(most[..., 0] * factors.prod(axis=-1))


RULES: dict[str, Callable[[Floats], Floats]] = {"pair_mean": mean_of_pairs, "directed": compounded}
"""What a member keeps in a set of k, from what it keeps beside each partner of the set."""

RULE = "directed"
"""The rule that sets are ranked by."""


def set_forecasts(directed: pd.DataFrame, sets: OutcomesLike) -> pd.DataFrame:
    """Forecast merges of three and more models from forecasts of their pairs, by every rule.

    Parameters
    ----------
    directed : DataFrame
        Columns `suite, left, right, method, member, retention`: forecasts of member rows, as
        `Forecast.rows`; or measured ones.
    sets : OutcomeTable or DataFrame
        Its sets of three and more members are forecast.

    Returns
    -------
    DataFrame
        `suite, method, members, size`, one column a rule and `measured`, a set's retention being
        the mean over its members; a set with a pair without forecast gets NaN.

    Raises
    ------
    TableError
        The outcome table breaks its schema or has no set of three models.
    """
    table = as_outcomes(sets)
    larger = table.by_recipe[table.sizes > 2]
    if larger.empty:
        raise TableError(
            "outcomes table, column 'members'",
            "no set of three or more models",
            "evaluate merges of larger sets",
        )
    kept = {key: _kept(rows) for key, rows in directed.groupby(["suite", "method"], sort=False)}
    rows: list[dict[str, Any]] = []
    for (suite, method, members), outcomes in larger.groupby(
        ["suite", "method", "members"], sort=True
    ):
        models = split_members(str(members))
        beside = _beside(kept.get((suite, method), {}), models, np.arange(len(models))[None])
        rows.append(
            {
                "suite": suite,
                "method": method,
                "members": members,
                "size": len(models),
                **{name: float(rule(beside).mean()) for name, rule in RULES.items()},
                "measured": float(outcomes["retention"].mean(skipna=False)),
            }
        )
    return pd.DataFrame(rows)


def check_size(size: int, n_models: int) -> None:
    """Raise UsageError where sets of `size` of so many models do not exist or are too many."""
    if not 2 <= size <= n_models:
        remedy = f"give 2 to {n_models}" if n_models >= 2 else "give two models or more"
        raise UsageError("size of sets", f"is {size}, of {n_models} models", remedy)
    if comb(n_models, size) * size**2 > MOST_VALUES:
        raise UsageError(
            "size of sets",
            f"is {size}: {n_models} models have {comb(n_models, size):,} such sets",
            "rank fewer models or smaller sets",
        )


def rank_sets(
    directed: pd.DataFrame,
    suite: str,
    method: str,
    models: Iterable[str],
    size: int,
    correct: Correction | None = None,
) -> pd.DataFrame:
    """All sets of `size` of some models under one method, best forecast first.

    Parameters
    ----------
    directed : DataFrame
        As in `set_forecasts`.
    suite, method : str
        Which of its rows count.
    models : iterable of str
        Names of `suite`, each once.
    size : int
        Members of a set; with 2 the pairs themselves are ranked.
    correct : callable, optional
        Corrects what members keep, see `Correction`.

    Returns
    -------
    DataFrame
        `members`; `basis`, here ``pairs``; `retention` by `RULE`, the mean over members;
        `pair_mean`, the paper's rule; `worst_member` and `worst_retention`, the member forecast to
        keep least. Equal sets go by name; one with a pair without forecast is last, with NaN and
        an empty `worst_member`.

    Raises
    ------
    UsageError
        As `check_size`.
    """
    names = sorted(models)
    check_size(size, len(names))
    rows = directed[(directed["suite"] == suite) & (directed["method"] == method)]
    flat = np.fromiter(chain.from_iterable(combinations(range(len(names)), size)), dtype=np.intp)
    sets = flat.reshape(-1, size)
    beside = _beside(_kept(rows), names, sets)
    each = RULES[RULE](beside)
    joined = [join_members(names[i] for i in members) for members in sets]
    if correct is not None:
        each = correct(method, joined, sets, each)
    # argmin takes a missing member, if there is one, and the set has no worst one then.
    worst = each.argmin(axis=1)
    each_set = np.arange(len(sets))
    least = each[each_set, worst]
    lowest = [names[i] for i in sets[each_set, worst]]
    table = pd.DataFrame(
        {
            "members": joined,
            "basis": PAIRS,
            "retention": each.mean(axis=1),
            "pair_mean": mean_of_pairs(beside).mean(axis=1),
            "worst_member": np.where(np.isnan(least), "", lowest),
            "worst_retention": least,
        }
    )
    return table.sort_values(["retention", "members"], ascending=[False, True], ignore_index=True)


def rank_all_sets(rows: pd.DataFrame, size: int, correct: Correction | None = None) -> pd.DataFrame:
    """All sets of `size` of a forecast's models under each method: `rank_sets` with `method`.

    Parameters
    ----------
    rows : DataFrame
        Member rows of one suite, as `Forecast.rows`.
    size : int
        Members of a set.
    correct : callable, optional
        Corrects what members keep, see `Correction`.

    Raises
    ------
    UsageError
        As `check_size`.
    """
    [suite] = rows["suite"].unique()
    models = sorted({*rows["left"], *rows["right"]})
    tables = []
    for method in sorted(rows["method"].unique()):
        table = rank_sets(rows, str(suite), str(method), models, size, correct)
        table.insert(0, "method", str(method))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _kept(directed: pd.DataFrame) -> dict[tuple[str, str], float]:
    """(member, partner) to what the member keeps, of one suite and method."""
    partner = directed["right"].where(directed["member"] == directed["left"], directed["left"])
    names = zip(directed["member"].tolist(), partner.tolist(), strict=True)
    return dict(zip(names, directed["retention"].to_numpy(dtype="float64"), strict=True))


def _beside(kept: dict[tuple[str, str], float], names: list[str], sets: Sets) -> Floats:
    """v(i | j) for each set (rows of indices of `names`), member and partner: (n, k, k - 1)."""
    values = np.array([[kept.get((i, j), np.nan) for j in names] for i in names])
    size = sets.shape[1]
    others = np.array([[j for j in range(size) if j != i] for i in range(size)])
    return np.asarray(values[sets[:, :, None], sets[:, others]])
