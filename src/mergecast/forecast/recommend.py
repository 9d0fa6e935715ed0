"""Which method to merge a pair by, or not to merge: the only place where that is decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from mergecast.tables.pairs import PAIR_KEYS

DO_NOT_MERGE = "do not merge"
MERGE = "merge"
NO_FORECAST = "no forecast"
NO_ADVICE = "no advice"

#: A member below nine tenths of its own score has lost what fine-tuning usually gains.
THRESHOLD = 0.9

ADVICE_COLUMNS = ["method", "retention", "lower", "worst_member", "worst_retention", "advice"]

# Methods whose means differ by less than this are equal for any purpose.
_TIE_DIGITS = 6


def recommend(
    rows: pd.DataFrame, threshold: float = THRESHOLD, keys: Sequence[str] = PAIR_KEYS
) -> pd.DataFrame:
    """The best method for each pair, and whether to merge at all.

    Best is the highest mean retention of the two members; among equal means (to 1e-6) the higher
    `lower` of the worst member, then the name. A method whose forecast is missing takes no part.

    Parameters
    ----------
    rows : DataFrame
        Columns `keys`, `method`, `member`, `retention` and `lower`, one row a member, as
        `Forecast.rows`. Where `lower` is missing, the forecast itself stands in.
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
    rows = rows[[*of_method, "member", "retention"]].assign(lower=bound)
    retention = rows.groupby(of_method, sort=False)["retention"]
    rows = rows.assign(mean=retention.transform("mean"))
    complete = rows[retention.transform("count") == retention.transform("size")]
    worst = complete.sort_values("retention", kind="stable").drop_duplicates(of_method)
    worst = worst.assign(tied=-worst["mean"].round(_TIE_DIGITS), below=-worst["lower"])
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


def without_advice(advice: pd.DataFrame, models: Collection[str]) -> pd.DataFrame:
    """The same, without advice for pairs with one of some models: ``no advice``, else missing."""
    touched = advice["left"].isin(models) | advice["right"].isin(models)
    nothing = {"method": "", "worst_member": "", "advice": NO_ADVICE}
    cleared = advice.copy()
    for column in ADVICE_COLUMNS:
        cleared.loc[touched, column] = nothing.get(column, np.nan)
    return cleared
