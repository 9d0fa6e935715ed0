"""What a validation found, as tables: scores, out-of-fold predictions, notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from mergecast.forecast.validation.decisions import Choices
from mergecast.forecast.validation.scoring import fold_scores
from mergecast.tables.plain import records
from mergecast.tables.show import as_html, as_text

SCORES = ["per_fold_r", "per_fold_rho", "pooled_r", "mae", "r2", "coverage"]
CEILING = "r_ceiling"
COUNTS = ["n_pairs", "n_folds", "n_undefined_folds"]
#: Against the constant; `task` is text.
GAINS = ["gain", "ratio", "ratio_without", "task"]
RESULT_COLUMNS = [
    *("protocol", "method", "predictor", "warm"),
    *SCORES,
    CEILING,
    *GAINS,
    *COUNTS,
    "note",
]
# Predictors on one screen.
_SHOWN = 16


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a validation found.

    Attributes
    ----------
    protocol : {"loto", "l2to", "suite"}
        What was held out.
    results : DataFrame
        One row a (method, predictor): `per_fold_r` and `per_fold_rho`, the means of Pearson's r and
        Spearman's ρ over the folds where they are defined; `pooled_r` over all folds' predictions
        together; `mae`, the mean absolute error; `r2`, the share of squared deviations from the
        mean outcome that is explained; all on *pairs*, in retention; `r_ceiling`, the highest r
        that outcomes as noisy as these allow (`ceilings`; NaN where their errors are not known);
        `coverage`, the share of member rows inside their nominal 90 % interval (``l2to`` only);
        `gain`, `ratio`, `ratio_without` and `task`, the error beside the constant's
        (`beside_constant`); counts of pairs, of folds and of folds whose r is undefined (fewer than
        three pairs, or a constant side). What does not apply or is undefined is NaN, with a `note`.
        What was asked for stands in further columns: see `bootstrap_interval`, `permutation_null`,
        `seed_spread`; with a bootstrap `gain_low` and `gain_high`, too.
    predictions : DataFrame
        One row a (method, predictor, fold, member): `predicted`, `measured`, and under ``l2to``
        `lower`, `upper`.
    notes : list of str
        Pairs and metrics that were left out, with reasons.
    decisions : Choices or None
        What choosing methods, partners and sets by the predictions would have cost; None where
        nobody asked, see `mergecast.forecast.validation.choices`.
    """

    protocol: str
    results: pd.DataFrame
    predictions: pd.DataFrame
    notes: list[str]
    decisions: Choices | None = None

    def __repr__(self) -> str:
        return as_text(self._lines(), self._overview(), rows=_SHOWN)

    def _repr_html_(self) -> str:
        return as_html(self._lines(), self._overview(), rows=_SHOWN)

    def _lines(self) -> list[str]:
        """Protocol and counts, and what the numbers are."""
        results = self.results
        head = (
            f"Evaluation under {self.protocol}: {results['method'].nunique()} merging methods, "
            f"{results['predictor'].nunique()} predictors, {int(results['n_pairs'].max())} pairs"
        )
        notes = f"; notes: {len(self.notes)}" if self.notes else ""
        return [head + notes, "means over methods, errors in retention; each by itself in .results"]

    def _overview(self) -> pd.DataFrame:
        """One row a predictor: its scores, averaged over merging methods."""
        means = self.results.groupby("predictor", sort=False)[SCORES].mean()
        return means.dropna(axis=1, how="all").reset_index()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: protocol, results, folds, notes, decisions; undefined is None."""
        decisions = {} if self.decisions is None else {"decisions": self.decisions.to_dict()}
        return {
            "protocol": self.protocol,
            "results": records(self.results),
            "folds": records(self.folds()),
            "notes": self.notes,
            **decisions,
        }

    def folds(self) -> pd.DataFrame:
        """Scores of every fold: DataFrame[method, predictor, fold, n_pairs, r, rho, mae]."""
        tables = []
        for (method, predictor), table in self.predictions.groupby(
            ["method", "predictor"], sort=False
        ):
            scores = fold_scores(table)
            scores.insert(0, "method", str(method))
            scores.insert(1, "predictor", str(predictor))
            tables.append(scores)
        return pd.concat(tables, ignore_index=True)
