"""Two settings side by side: is the second one evidence of its own?

Two architectures or optimisers should agree somewhat and never exactly. What is equal to the last
digit was computed once and copied.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mergecast.analysis.variance import metric_values
from mergecast.forecast.evaluation import pearson
from mergecast.tables.outcomes import pair_outcomes
from mergecast.tables.pairs import PAIR_KEYS
from mergecast.tables.published import PublishedSetting

OUTCOME, METRIC = "outcome", "metric"


def compare_settings(first: PublishedSetting, second: PublishedSetting) -> pd.DataFrame:
    """What two settings say of the same pairs of tasks.

    Returns
    -------
    Frame, one row an outcome (of a merging method) or metric that both have: `kind`, `name`,
    `n_pairs` in common, `r` between the settings, `n_identical` (equal bit by bit; for an
    outcome, the scores of both members).
    """
    rows = [*_outcome_rows(first, second), *_metric_rows(first, second)]
    return pd.DataFrame(rows, columns=["kind", "name", "n_pairs", "r", "n_identical"])


def _outcome_rows(a: PublishedSetting, b: PublishedSetting) -> Iterator[dict[str, object]]:
    means = [pair_outcomes(x.outcomes).drop(columns="suite") for x in (a, b)]
    joined = means[0].merge(means[1], on=["method", "left", "right"]).dropna()
    scores = [x.outcomes[["method", "members", "task", "score"]] for x in (a, b)]
    same = scores[0].merge(scores[1], on=["method", "members", "task"])
    same = same.assign(equal=same["score_x"] == same["score_y"])
    equal = same.groupby(["method", "members"])["equal"].all()
    for method, pairs in joined.groupby("method", sort=True):
        members = pairs["left"] + "+" + pairs["right"]
        yield {
            "kind": OUTCOME,
            "name": method,
            "n_pairs": len(pairs),
            "r": pearson(pairs["retention_x"].to_numpy(), pairs["retention_y"].to_numpy()),
            "n_identical": int(equal.loc[method].reindex(members).sum()),
        }


def _metric_rows(a: PublishedSetting, b: PublishedSetting) -> Iterator[dict[str, object]]:
    values = [
        pd.concat([x.pairs[PAIR_KEYS], metric_values(x.pairs)], axis=1).drop(columns="suite")
        for x in (a, b)
    ]
    keys = [key for key in values[0] if key in values[1] and key not in PAIR_KEYS]
    joined = values[0].merge(values[1], on=["left", "right"])
    for key in keys:
        both = joined[[f"{key}_x", f"{key}_y"]].dropna()
        if both.empty:
            continue
        x, y = (both[column].to_numpy() for column in both)
        r, identical = pearson(x, y), int((x == y).sum())
        yield {"kind": METRIC, "name": key, "n_pairs": len(both), "r": r, "n_identical": identical}
