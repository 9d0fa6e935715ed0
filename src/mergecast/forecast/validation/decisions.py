"""What following a forecast would have cost: methods and partners chosen by it.

Regret is measured in retention: what the best choice in hindsight (the *oracle*) kept, less what
the chosen one kept. A forecast is of use where its regret is below that of the choice that needs no
forecast: one fixed method for every pair, or a partner at random.

Predictions are those of `Evaluation.predictions`, so each was made without what its fold holds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mergecast.forecast.recommend import DO_NOT_MERGE, THRESHOLD, recommend
from mergecast.forecast.validation.scoring import mean_defined, spearman
from mergecast.tables.pairs import PAIR_KEYS
from mergecast.tables.plain import records

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

# Retentions that differ by less are one and the same choice.
_EQUAL = 1e-9


@dataclass(frozen=True)
class Choices:
    """What following each predictor would have cost.

    Attributes
    ----------
    methods : DataFrame
        As `method_regret` returns; empty with one merging method.
    partners : DataFrame
        As `partner_regret` returns; empty unless the protocol is ``loto``.
    sets : DataFrame
        As `set_scores` returns, with `predictor`; the predictor ``measured pairs`` shows the
        rules on known pair outcomes. Empty without a merge of three models.
    threshold : float
        Retention of the worst member below which a pair is not merged.
    """

    methods: pd.DataFrame
    partners: pd.DataFrame
    sets: pd.DataFrame
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; undefined values are None."""
        tables = {"methods": self.methods, "partners": self.partners, "sets": self.sets}
        rows = {name: records(table) for name, table in tables.items()}
        return {"threshold": self.threshold, **rows}


def with_hindsight(
    advice: pd.DataFrame, rows: pd.DataFrame, keys: Sequence[str] = PAIR_KEYS
) -> pd.DataFrame:
    """Advice beside what the merges did, and the regret of following it.

    Parameters
    ----------
    advice : DataFrame
        As `recommend` returns, with the same `keys`.
    rows : DataFrame
        Columns `keys`, `method` and `measured`, one row a member.
    keys : sequence of str
        What a pair is told from others by.

    Returns
    -------
    DataFrame
        The advice with `measured` and `worst_measured`, the mean and the least that the members
        kept under the method advised; `best_method` (empty without an outcome) and its
        `best_measured`; `regret`, best less advised. A pair with an undefined member has no
        outcome: NaN.
    """
    mean, least = (_by_method(rows, keys, "measured", how) for how in ("mean", "min"))
    index = pd.MultiIndex.from_frame(advice[[*keys]])
    mean, least = mean.reindex(index), least.reindex(index)
    best = np.full(len(advice), "", dtype=object)
    judged = mean.notna().any(axis=1).to_numpy()
    best[judged] = mean[judged].idxmax(axis=1)
    measured = _chosen(mean, advice["method"])
    best_measured = mean.max(axis=1).to_numpy()
    return advice.assign(
        measured=measured,
        worst_measured=_chosen(least, advice["method"]),
        best_method=best,
        best_measured=best_measured,
        regret=best_measured - measured,
    )


def advice_scores(advice: pd.DataFrame, baseline: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """How good advice was, beside that of the constant forecast.

    Parameters
    ----------
    advice, baseline : DataFrame
        As `with_hindsight` returns.
    threshold : float
        What the worst member was to keep.

    Returns
    -------
    dict
        Under `forecast` and `constant` mean and largest regret, and `share_best`, the share of
        pairs without any (None without an outcome); `threshold`; and the counts of merge and
        do-not-merge advice that was right: the advised method's worst member really kept at least
        the threshold, or really did not.
    """
    judged = advice[advice["worst_measured"].notna()]
    refused = judged["advice"] == DO_NOT_MERGE
    bad = judged["worst_measured"] < threshold
    return {
        "forecast": _summary(advice["regret"].dropna()),
        "constant": _summary(baseline["regret"].dropna()),
        "threshold": threshold,
        "n_merge": int((~refused).sum()),
        "n_merge_right": int((~refused & ~bad).sum()),
        "n_leave": int(refused.sum()),
        "n_leave_right": int((refused & bad).sum()),
    }


def method_regret(predictions: pd.DataFrame, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Choose a merging method for each pair, or not to merge, by each predictor.

    As `recommend` does. Regret counts every pair, refused or not, so that refusing cannot improve
    it. Pairs without a forecast or an outcome under one of the methods stay out.

    Parameters
    ----------
    predictions : DataFrame
        As `Evaluation.predictions`.
    threshold : float
        Retention of the worst member below which a pair is not merged.

    Returns
    -------
    DataFrame
        One row a predictor: `regret` of its choices and `fixed_regret` of the best fixed method
        (the one of highest mean retention in hindsight over these pairs: a hard rival), in
        retention, means over folds and pairs; `chosen_best`, the share of pairs where the choice is
        the oracle's; `refused`, the share of pairs it would not merge; `refused_rightly`, the share
        of these whose worst member indeed fell below the threshold under the chosen method;
        `bad_merges`, the share of pairs it would merge whose worst member fell below. A share of
        nothing is NaN.
    """
    keys = ["fold", *PAIR_KEYS]
    scores = []
    for predictor, table in predictions.groupby("predictor", sort=False):
        judged, kept = method_choices(table, keys, threshold)
        if kept.empty:
            continue
        refused = judged["advice"] == DO_NOT_MERGE
        bad = judged["worst_measured"] < threshold
        fixed = kept.mean(axis=0).idxmax()
        scores.append(
            {
                "predictor": predictor,
                "n_pairs": len(judged.reset_index()[PAIR_KEYS].drop_duplicates()),
                "regret": float(judged["regret"].mean()),
                "fixed_regret": float((kept.max(axis=1) - kept[fixed]).mean()),
                "fixed_method": fixed,
                "chosen_best": float((judged["regret"] == 0).mean()),
                "refused": float(refused.mean()),
                "refused_rightly": float(bad[refused].mean()),
                "bad_merges": float(bad[~refused].mean()),
            }
        )
    return pd.DataFrame(scores, columns=METHOD_COLUMNS)


def method_choices(
    table: pd.DataFrame, keys: Sequence[str], threshold: float = THRESHOLD
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was chosen for each pair, and what every method kept of it.

    Parameters
    ----------
    table : DataFrame
        Member rows of one predictor: `keys`, `method`, `member`, `predicted`, `measured`.
    keys : sequence of str
        What a pair is told from others by.
    threshold : float
        Retention of the worst member below which a pair is not merged.

    Returns
    -------
    judged : DataFrame
        As `with_hindsight`, by `keys`, of pairs with a forecast and an outcome under every method.
    kept : DataFrame
        The same pairs' measured mean retention, a column a method.
    """
    keys = [*keys]
    kept = _by_method(table, keys, "measured", "mean")
    complete = kept.notna() & _by_method(table, keys, "predicted", "mean").notna()
    kept = kept[complete.all(axis=1)]
    rows = table.rename(columns={"predicted": "retention"})
    judged = with_hindsight(recommend(rows, threshold, keys), rows, keys)
    return judged.set_index(keys).loc[kept.index], kept


def partner_regret(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rank the partners of each held-out task.

    Parameters
    ----------
    predictions : DataFrame
        As `Evaluation.predictions`, under ``loto``.

    Returns
    -------
    DataFrame
        One row a (method, predictor): `regret` of the partner ranked first against the best
        partner, `random_regret` of a partner at random, both in mean retention of the pair; `rho`,
        Spearman's rank correlation; means over tasks with two partners at least.
    """
    scores = []
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
        scores.append(
            {
                "method": method,
                "predictor": predictor,
                "n_folds": len(losses),
                "regret": mean_defined(losses),
                "random_regret": mean_defined(chances),
                "rho": mean_defined(ranks),
            }
        )
    return pd.DataFrame(scores, columns=PARTNER_COLUMNS)


def _by_method(rows: pd.DataFrame, keys: Sequence[str], column: str, how: str) -> pd.DataFrame:
    """Pairs (rows) by methods (columns): mean or least over members, NaN where one is missing."""
    members = rows.groupby([*keys, "method"], sort=True)[column]
    defined = members.count() == members.size()
    table = members.agg(how).where(defined).reset_index()
    return table.pivot_table(index=[*keys], columns="method", values=column)


def _chosen(values: pd.DataFrame, methods: pd.Series) -> Any:
    """The value of each row under its method; NaN where it has none."""
    columns = values.columns.get_indexer(pd.Index(methods))
    picked = values.to_numpy()[np.arange(len(values)), columns]
    return np.where(columns >= 0, picked, np.nan)


def _summary(regret: pd.Series) -> dict[str, Any] | None:
    if regret.empty:
        return None
    return {
        "n_pairs": len(regret),
        "mean": float(regret.mean()),
        "max": float(regret.max()),
        "share_best": float((regret <= _EQUAL).mean()),
    }
