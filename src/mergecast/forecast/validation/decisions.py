"""What following a forecast would have cost: methods and partners chosen by it.

Regret is measured in retention: what the best choice in hindsight (the *oracle*) kept, less what
the chosen one kept. A forecast is of use where its regret is below that of the choice that needs no
forecast: one fixed method for every pair, or a partner at random.

Predictions are those of `Evaluation.predictions`, so each was made without what its fold holds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mergecast.forecast.result import THRESHOLD
from mergecast.forecast.validation.scoring import spearman
from mergecast.tables.pairs import PAIR_KEYS

_SIDES = ("predicted", "measured")
METHOD_COLUMNS = [
    "predictor",
    "n_pairs",
    "regret",
    "fixed_regret",
    "fixed_method",
    "chosen_best",
    "refused",
    "refused_rightly",
    "bad_merges",
]
PARTNER_COLUMNS = ["method", "predictor", "n_folds", "regret", "random_regret", "rho"]


@dataclass(frozen=True)
class Choices:
    """What following each predictor would have cost.

    Attributes
    ----------
    methods : as `method_regret` returns; empty with one merging method.
    partners : as `partner_regret` returns; empty unless the protocol is ``loto``.
    sets : as `set_scores` returns, with `predictor`; the predictor ``measured pairs`` shows the
        rules on known pair outcomes. Empty without a merge of three models.
    threshold : retention of the worst member below which a pair is not merged.
    """

    methods: pd.DataFrame
    partners: pd.DataFrame
    sets: pd.DataFrame
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; undefined values are None."""
        tables = {"methods": self.methods, "partners": self.partners, "sets": self.sets}
        return {"threshold": self.threshold} | {
            name: table.astype(object).where(table.notna(), None).to_dict("records")
            for name, table in tables.items()
        }


def method_regret(predictions: pd.DataFrame, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Choose a merging method for each pair, or not to merge, by each predictor.

    The method of highest predicted mean retention is chosen; "do not merge" is said where the worst
    member's prediction under it is below `threshold`. Regret counts every pair, refused or not, so
    that refusing cannot improve it. Pairs without an outcome under one of the methods stay out.

    Returns
    -------
    One row a predictor: `regret` of its choices and `fixed_regret` of the best fixed method (the
    one of highest mean retention in hindsight over these pairs: a hard rival), in retention, means
    over folds and pairs; `chosen_best`, the share of pairs where the choice is the oracle's;
    `refused`, the share of pairs it would not merge; `refused_rightly`, the share of these whose
    worst member indeed fell below the threshold under the chosen method; `bad_merges`, the share of
    pairs it would merge whose worst member fell below. A share of nothing is NaN.
    """
    keys = ["fold", *PAIR_KEYS]
    found = []
    for predictor, table in predictions.groupby("predictor", sort=False):
        forecast, outcome = (_by_method(table, keys, side, "mean") for side in _SIDES)
        complete = forecast.notna().all(axis=1) & outcome.notna().all(axis=1)
        forecast, outcome = forecast[complete], outcome[complete]
        if forecast.empty:
            continue
        methods = forecast.columns.to_numpy(dtype=str)
        rows, chosen = np.arange(len(forecast)), forecast.to_numpy().argmax(axis=1)
        kept = outcome.to_numpy()
        fixed = int(kept.mean(axis=0).argmax())
        refused, bad = (
            _by_method(table, keys, side, "min")[complete].to_numpy()[rows, chosen] < threshold
            for side in _SIDES
        )
        found.append(
            {
                "predictor": predictor,
                "n_pairs": len(forecast.reset_index()[PAIR_KEYS].drop_duplicates()),
                "regret": float((kept.max(axis=1) - kept[rows, chosen]).mean()),
                "fixed_regret": float((kept.max(axis=1) - kept[:, fixed]).mean()),
                "fixed_method": methods[fixed],
                "chosen_best": float((kept[rows, chosen] == kept.max(axis=1)).mean()),
                "refused": float(refused.mean()),
                "refused_rightly": _share(bad[refused]),
                "bad_merges": _share(bad[~refused]),
            }
        )
    return pd.DataFrame(found, columns=METHOD_COLUMNS)


def partner_regret(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rank the partners of each held-out task; predictions under ``loto``.

    Returns
    -------
    One row a (method, predictor): `regret` of the partner ranked first against the best partner,
    `random_regret` of a partner at random, both in mean retention of the pair; `rho`, Spearman's
    rank correlation; means over tasks with two partners at least.
    """
    found = []
    pairs = predictions.groupby(["method", "predictor", "fold", *PAIR_KEYS], sort=False)
    means = pairs[["predicted", "measured"]].mean().reset_index()
    for (method, predictor), table in means.groupby(["method", "predictor"], sort=False):
        losses, chances, ranks = [], [], []
        for _, fold in table.groupby("fold", sort=False):
            if len(fold) < 2:
                continue
            kept, forecast = fold["measured"].to_numpy(), fold["predicted"].to_numpy()
            # Among equal forecasts none is first: the mean of all of them counts.
            first = kept[forecast == forecast.max()].mean()
            losses.append(kept.max() - first)
            chances.append(kept.max() - kept.mean())
            ranks.append(spearman(forecast, kept))
        defined = [rho for rho in ranks if not np.isnan(rho)]
        found.append(
            {
                "method": method,
                "predictor": predictor,
                "n_folds": len(losses),
                "regret": float(np.mean(losses)) if losses else np.nan,
                "random_regret": float(np.mean(chances)) if chances else np.nan,
                "rho": float(np.mean(defined)) if defined else np.nan,
            }
        )
    return pd.DataFrame(found, columns=PARTNER_COLUMNS)


def _by_method(
    table: pd.DataFrame, keys: list[str], side: str, how: Literal["mean", "min"]
) -> pd.DataFrame:
    """Pairs (rows) by methods (columns): mean or minimum over the members of a pair."""
    return table.pivot_table(index=keys, columns="method", values=side, aggfunc=how)


def _share(flags: Any) -> float:
    return float(np.mean(flags)) if len(flags) else np.nan
