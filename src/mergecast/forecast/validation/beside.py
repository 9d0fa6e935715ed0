"""What stands beside a forecaster on a suite that it never saw: forecasts of one number or none.

What there is to fit is fitted on the other suites and applied as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mergecast.forecast.estimators.retention_linear import LABELLED, NORM_SHARE, UNLABELLED
from mergecast.forecast.rows import ROW_KEYS, member_rows
from mergecast.tables.pairs import PairTable

#: As the metric is, nothing fitted: the first that is there.
AS_THEY_ARE: Mapping[str, tuple[str, ...]] = {
    "superposition": ("superposed_expected_unlabelled",),
    "superposition, matched": ("superposed_matched_unlabelled",),
    "superposition, overlap": ("superposed_overlap_unlabelled",),
    "superposition, labelled": ("superposed_expected_labelled",),
    "the base alone": ("base_expected_unlabelled",),
    "retention alone": (*LABELLED, *UNLABELLED),
}
CONSTANT = "constant of the others"
NORM = "delta norm"
#: It knows other merges of both models, which no forecast of new models does: no fair rival.
PARTNER = "partner mean (warm)"
_DISTANCE, _DOT = "task_vector_l2_distance", "task_vector_dot_product"


def delta_norms(pairs: PairTable) -> pd.Series:
    """The norm of each member's own task vector, ‖τᵢ‖, by `ROW_KEYS`.

    A pair table has a member's share s of the two norms, ‖τᵢ - τⱼ‖ and ⟨τᵢ, τⱼ⟩, which together
    say it: ‖τᵢ‖² + ‖τⱼ‖² = ‖τᵢ - τⱼ‖² + 2 ⟨τᵢ, τⱼ⟩ is s² + (1 - s)² of (‖τᵢ‖ + ‖τⱼ‖)².

    Parameters
    ----------
    pairs : PairTable
        Of any suites.

    Returns
    -------
    Series
        Empty where the table lacks one of the three.

    Examples
    --------
    >>> two = pd.DataFrame({"suite": "s", "left": ["a"], "right": ["b"],
    ...     "task_vector_l2_distance": 5.0, "task_vector_dot_product": 0.0,
    ...     "task_vector_norm_share:left<-right": 3 / 7,
    ...     "task_vector_norm_share:right<-left": 4 / 7})
    >>> delta_norms(PairTable(two)).round(6).to_list()
    [3.0, 4.0]
    """
    features = pairs.features()
    metrics = (NORM_SHARE, _DISTANCE, _DOT)
    if not features.keys() >= set(metrics):
        return pd.Series(dtype="float64")
    columns = dict.fromkeys(column for metric in metrics for column in features[metric])
    rows = member_rows(pairs.only(list(columns)), "").set_index(ROW_KEYS)
    share = rows[NORM_SHARE]
    squares = (rows[_DISTANCE] ** 2 + 2 * rows[_DOT]).clip(lower=0)
    norms: pd.Series = share * np.sqrt(squares / (share**2 + (1 - share) ** 2))
    return norms


def on_a_line(x: pd.Series, y: pd.Series, at: pd.Series) -> pd.Series:
    """The values `at` of the least-squares line of y on x; their mean where x does not vary."""
    both = pd.DataFrame({"x": x, "y": y}).dropna()
    centre, level = both["x"].mean(), both["y"].mean()
    spread = float(((both["x"] - centre) ** 2).sum())
    moved = float(((both["x"] - centre) * (both["y"] - level)).sum())
    values: pd.Series = level + (at - centre) * (moved / spread if spread > 0 else 0.0)
    return values


def partner_means(rows: pd.DataFrame) -> pd.Series:
    """What a member is said to keep by other merges of both models, its own pair left out.

    As the predictor `partner_mean` fitted without the pair: the mean of what the member kept beside
    others, and of what others kept beside the partner.

    Parameters
    ----------
    rows : DataFrame
        Member rows of one suite and method: `left, right, member, measured`.

    Returns
    -------
    Series
        By the index of `rows`; NaN where neither model has another merge.
    """
    measured = rows["measured"]
    partner = rows["right"].where(rows["member"] == rows["left"], rows["left"])
    means = []
    for model in (rows["member"], partner):
        totals = measured.groupby(model).transform("sum") - measured.fillna(0)
        counts = measured.groupby(model).transform("count") - measured.notna()
        means.append(totals / counts.where(counts > 0))
    said: pd.Series = pd.concat(means, axis=1).mean(axis=1)
    return said
