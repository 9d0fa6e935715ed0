"""Category ablation: validate again with each group of metrics left out, or with it alone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mergecast.analysis.groups import groups_of
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.rows import without_identity
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import scores
from mergecast.runtime.progress import Progress, Silent
from mergecast.tables.outcomes import OutcomesLike
from mergecast.tables.pairs import PairsLike, as_pairs

ALL = "all"


def ablate(
    pairs: PairsLike,
    outcomes: OutcomesLike,
    predictor: str = "ridge",
    protocol: str = "loto",
    methods: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Scores of one predictor with groups of metrics taken away.

    Parameters
    ----------
    pairs, outcomes : table or DataFrame
    predictor, protocol, methods
        As in `mergecast.forecast.validation.evaluate.evaluate`.
    progress : Progress, optional
        Told of every group of metrics done.

    Returns
    -------
    DataFrame
        One row a (metrics, method): `metrics` is ``all``, ``without <group>`` or ``only <group>``;
        `n_metrics`, `per_fold_r`, `pooled_r`, `mae`. A variant that would leave no metric is not
        there.
    """
    pairs = as_pairs(pairs)
    features = pairs.features()
    keys = list(features)
    groups = groups_of(keys)
    variants = {ALL: keys}
    # One group of all metrics: leaving it out leaves nothing, having it alone is `all`.
    if len(groups) > 1:
        variants |= {f"without {g}": [k for k in keys if k not in ks] for g, ks in groups.items()}
        variants |= {f"only {group}": members for group, members in groups.items()}
    tested, scheme = PREDICTORS.get(predictor), PROTOCOLS.get(protocol)
    table: list[dict[str, object]] = []
    advance = (progress or Silent()).stage("groups of metrics", len(variants))
    for name, kept in variants.items():
        columns = dict.fromkeys(column for key in kept for column in features[key])
        data = training_rows(pairs.only(columns), outcomes, list(methods) if methods else None)
        for method, rows in data.items():
            numbers = scores(out_of_fold(rows, tested, scheme))
            n_metrics = len(without_identity(rows.X).columns)
            row = {"metrics": name, "n_metrics": n_metrics, "method": method}
            table.append(row | {key: numbers[key] for key in ("per_fold_r", "pooled_r", "mae")})
        advance(1)
    return pd.DataFrame(table)
