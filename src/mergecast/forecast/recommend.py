"""Which method to merge by, or not to merge: the only place where that is decided.

Methods differ from each other by much the same in all pairs of a family; what forecasts say of the
differences of one pair beyond those is mostly error. So a method is chosen by what the forecasts of
the whole family say of it, and by a part of what those of the pair say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from mergecast.forecast.rows import MEASURED
from mergecast.tables.pairs import PAIR_KEYS

DO_NOT_MERGE = "do not merge"
MERGE = "merge"
NO_FORECAST = "no forecast"
NO_ADVICE = "no advice"

#: A member below nine tenths of its own score has lost what fine-tuning usually gains. What keeps
#: less is not advised; a search, which is asked for the best there is, says so (`search/worth.py`).
THRESHOLD = 0.9

ADVICE_COLUMNS = ["method", "retention", "lower", "worst_member", "worst_retention", "advice"]

#: How much of what the forecasts of one pair say of a method, beyond those of its family, counts in
#: its choice. Chosen on nine families, of 0, 0.3, 0.5 and 1: 0 to 0.5 lose much the same, 1 more.
OWN_SHARE = 0.3
#: What goes beyond so much of it counts whole: a method that spoils one pair, or alone spares it,
#: is no noise. Chosen on six suites, of 0.02 to 0.15: with less choices lose more on pictures, with
#: more in a family with one poor model (`benchmarks/tempered.py`).
CERTAIN = 0.05
# Methods whose means differ by less than this are equal for any purpose.
_TIE_DIGITS = 6
# Alternating means of rows and columns with gaps are near enough then.
_ROUNDS = 30


def recommend(
    rows: pd.DataFrame, threshold: float = THRESHOLD, keys: Sequence[str] = PAIR_KEYS
) -> pd.DataFrame:
    """The best method for each pair, and whether to merge at all.

    Best is the highest mean retention of the two members by `preference`; among equal ones (to
    1e-6) the higher `lower` of the worst member, then the name. A method whose forecast is missing
    takes no part.

    Parameters
    ----------
    rows : DataFrame
        Columns `keys`, `method`, `member`, `retention` and `lower`, one row a member, as
        `Forecast.rows`. Where `lower` is missing, the forecast itself stands in; where there is
        `basis`, pairs that were measured under a method count as they are.
    threshold : float
        Retention of the worst member below which the advice is not to merge.
    keys : sequence of str
        What a pair is told from others by.

    Returns
    -------
    DataFrame
        One row a pair, sorted by `keys`: `method`, its mean `retention`, the worst member's `lower`
        bound, `worst_member`, `worst_retention`, and `advice`: ``merge``; ``do not merge`` where
        even so the worst member is below the threshold; ``no forecast`` for a pair whose every
        method is missing, with NaN and an empty method.
    """
    keys, of_method = [*keys], [*keys, "method"]
    bound = rows["retention"] if "lower" not in rows else rows["lower"].fillna(rows["retention"])
    known = rows["basis"] == MEASURED if "basis" in rows else pd.Series(False, rows.index)
    rows = rows[[*of_method, "member", "retention"]].assign(lower=bound, known=known)
    retention = rows.groupby(of_method, sort=False)["retention"]
    rows = rows.assign(mean=retention.transform("mean"))
    complete = rows[retention.transform("count") == retention.transform("size")]
    worst = complete.sort_values("retention", kind="stable").drop_duplicates(of_method)
    worst = worst.assign(sought=preference(worst, keys))
    worst = worst.assign(tied=-worst["sought"].round(_TIE_DIGITS), below=-worst["lower"])
    ranked = worst.sort_values([*keys, "tied", "below", "method"], kind="stable")
    best = ranked.drop_duplicates(keys)
    best = best.rename(
        columns={"member": "worst_member", "retention": "worst_retention", "mean": "retention"}
    )
    refused = best["worst_retention"] < threshold
    best = best.assign(advice=np.where(refused, DO_NOT_MERGE, MERGE))
    pairs = rows[keys].drop_duplicates().sort_values(keys, kind="stable")
    advice = pairs.merge(best[[*keys, *ADVICE_COLUMNS]], on=keys, how="left")
    missing = {"method": "", "worst_member": "", "advice": NO_FORECAST}
    return advice.fillna(missing).reset_index(drop=True)


def preference(
    merges: pd.DataFrame, keys: Sequence[str] = PAIR_KEYS, certain: float = CERTAIN
) -> pd.Series[float]:
    """What merges are chosen by: a method's part in a family, and a share of the merge's own.

    Of the mean retention of a pair (or set) and method, less the mean of the pair and that of the
    method in the family, `OWN_SHARE` counts, and all but `certain` of what is larger; all of it
    where the merge was measured. Beside a merge of the same models that was measured, one that was
    not counts no more than its own forecast: what a method does to a family does not outweigh what
    was seen.

    Parameters
    ----------
    merges : DataFrame
        Columns `keys`, `method`, `mean` and, where some were measured, `known`; one row a pair and
        method. Rows of one `suite` are of one family; without that column all are.
    keys : sequence of str
        What a pair is told from others by.
    certain : float
        In retention.

    Returns
    -------
    Series
        On the rows' index.
    """
    sought = merges["mean"].copy()
    family = "suite" if "suite" in keys else None
    for _, rows in merges.groupby(family) if family else [("", merges)]:
        pair = rows.groupby([*keys], sort=False).ngroup()
        level = of_pair = pd.Series(0.0, rows.index)
        for _ in range(_ROUNDS):
            of_pair = (rows["mean"] - level).groupby(pair).transform("mean")
            level = (rows["mean"] - of_pair).groupby(rows["method"]).transform("mean")
        own = rows["mean"] - of_pair - level
        believed = np.sign(own) * np.maximum(OWN_SHARE * own.abs(), own.abs() - certain)
        if "known" in rows:
            believed = own.where(rows["known"], believed)
        sought[rows.index] = of_pair + level + believed
    if "known" in merges:
        beside = merges["known"].groupby([merges[key] for key in keys]).transform("any")
        capped = np.minimum(sought, merges["mean"])
        sought = sought.mask(beside & ~merges["known"], capped)
    return sought


def best_merges(sets: pd.DataFrame) -> pd.DataFrame:
    """The method for every set, by `preference`, and what the set keeps under it, best first.

    Parameters
    ----------
    sets : DataFrame
        As `Forecast.sets`, forecast from answers.

    Returns
    -------
    DataFrame
        Its columns, one row a set; sets without a forecast are left out.
    """
    defined = sets.dropna(subset="retention").reset_index(drop=True)
    merges = defined.assign(mean=defined["retention"], known=defined["basis"] == MEASURED)
    sought = preference(merges, ["members"])
    best = defined.assign(sought=sought).sort_values(["sought", "method"], ascending=[False, True])
    best = best.drop_duplicates("members").drop(columns="sought")
    order = ["retention", "members"]
    return best.sort_values(order, ascending=[False, True], ignore_index=True)


def without_advice(advice: pd.DataFrame, models: Collection[str]) -> pd.DataFrame:
    """The same, without advice for pairs with one of some models: ``no advice``, else missing."""
    touched = advice["left"].isin(models) | advice["right"].isin(models)
    nothing = {"method": "", "worst_member": "", "advice": NO_ADVICE}
    cleared = advice.copy()
    for column in ADVICE_COLUMNS:
        cleared.loc[touched, column] = nothing.get(column, np.nan)
    return cleared
