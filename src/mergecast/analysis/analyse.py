"""The paper's analyses on the user's own tables, joined: what explains these outcomes, and how?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mergecast.analysis.ablation import ablate
from mergecast.analysis.audit import AuditFinding, audit
from mergecast.analysis.comparison import Comparison, compare_suites
from mergecast.analysis.individual import individual_correlations
from mergecast.analysis.signatures import (
    fold_coefficients,
    mean_coefficients,
    seed_stability,
    sign_agreement,
    signature,
    top_overlap,
)
from mergecast.analysis.variance import metric_shares, outcome_shares, residual_correlations
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.training import TrainingRows, training_rows
from mergecast.runtime.progress import Progress, Silent
from mergecast.tables.outcomes import OutcomesLike, as_outcomes
from mergecast.tables.pairs import PairsLike, as_pairs

# Convex and deterministic, with coefficients: its signature belongs to the data alone.
SIGNED = "lasso"
# The published fit, whose signature moves with the seed.
SEEDED = "paper"


@dataclass(frozen=True)
class Analysis:
    """What the analyses found.

    Attributes
    ----------
    outcome_share, metric_share : dict[str, float]
        Additive shares, see `mergecast.analysis.variance`.
    residual_r : DataFrame
        Metrics × methods: correlation after taking the additive parts out.
    individual : DataFrame
        As `individual_correlations` returns it, with `suite`.
    signatures : dict[str, DataFrame]
        Method to coefficients (folds × metrics) of the Lasso, one task left out.
    stability : DataFrame
        `method, top_overlap, sign_agreement` between seeds of the paper's fit.
    ablation : DataFrame
        As `ablate` returns it, with the Lasso.
    comparisons : dict[tuple[str, str], list[Comparison]]
        Two suites to what they say of the same pairs; empty with one suite.
    findings : dict[str, list[AuditFinding]]
        Suite to its audit.
    """

    outcome_share: dict[str, float]
    metric_share: dict[str, float]
    residual_r: pd.DataFrame
    individual: pd.DataFrame
    signatures: dict[str, pd.DataFrame]
    stability: pd.DataFrame
    ablation: pd.DataFrame
    comparisons: dict[tuple[str, str], list[Comparison]]
    findings: dict[str, list[AuditFinding]]

    def agreement(self) -> tuple[float, float]:
        """Overlap of the strongest metrics and agreement of signs, between methods."""
        means = mean_coefficients(self.signatures)
        return top_overlap(means), sign_agreement(means)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; undefined values are None or NaN."""
        overlap, signs = self.agreement()
        return {
            "additive_share": {"outcomes": self.outcome_share, "metrics": self.metric_share},
            "residual_r": self.residual_r.to_dict(),
            "individual": self.individual.to_dict("records"),
            "signatures": {
                "predictor": SIGNED,
                "top5_overlap": overlap,
                "sign_agreement": signs,
                "metrics": {
                    method: signature(folds).rename_axis("metric").reset_index().to_dict("records")
                    for method, folds in self.signatures.items()
                },
            },
            "stability": self.stability.to_dict("records"),
            "ablation": self.ablation.to_dict("records"),
            "comparison": [
                {"first": a, "second": b, **asdict(row)}
                for (a, b), rows in self.comparisons.items()
                for row in rows
            ],
            "audit": [
                {"suite": suite, **asdict(finding)}
                for suite, findings in self.findings.items()
                for finding in findings
            ],
        }


def analyse(
    pairs: PairsLike,
    outcomes: OutcomesLike,
    methods: Sequence[str] | None = None,
    protocol: str = "loto",
    base_scores: Mapping[str, Mapping[str, float]] | None = None,
    *,
    seeds: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """Audit, additive shares, single metrics, signatures, ablation and comparison of suites.

    Parameters
    ----------
    pairs, outcomes : table or DataFrame
        Of one suite or several.
    methods : Sequence[str], optional
        Merging methods, by default all of the outcome table.
    protocol : str
        Of the ablation; signatures always leave one task out.
    base_scores : Mapping[str, Mapping[str, float]], optional
        Suite to task to the score of the base model, where known.
    seeds : int
        Of the paper's fit, for the stability of its signature.
    seed : int
        Of the permutations of models.
    progress : Progress, optional
        Told of every method and suite done.

    Raises
    ------
    TableError, UsageError
        As `mergecast.forecast.validation.evaluate.evaluate`.
    """
    pairs, outcomes = as_pairs(pairs), as_outcomes(outcomes)
    data = training_rows(pairs, outcomes, list(methods) if methods else None)
    outcomes = outcomes.keep(outcomes.frame["recipe"].isin(data))
    progress = progress or Silent()
    advance = progress.stage("analysing", len(data) + len(pairs.suites))
    signatures, stability = {}, []
    for method, rows in data.items():
        signatures[method] = fold_coefficients(rows, PREDICTORS.get(SIGNED).make())
        stability.append({"method": method, **_stability(rows, seeds)})
        advance(1)
    singles, findings = [], {}
    for suite in pairs.suites:
        tables = pairs.of_suite(suite), outcomes.of_suite(suite)
        single = individual_correlations(*tables, seed=seed)
        single.insert(0, "suite", suite)
        singles.append(single)
        findings[suite] = audit(*tables, (base_scores or {}).get(suite))
        advance(1)
    ablation = ablate(pairs, outcomes, SIGNED, protocol, list(data), progress)
    return Analysis(
        outcome_share=outcome_shares(outcomes),
        metric_share=metric_shares(pairs),
        residual_r=residual_correlations(pairs, outcomes),
        individual=pd.concat(singles, ignore_index=True),
        signatures=signatures,
        stability=pd.DataFrame(stability),
        ablation=ablation,
        comparisons=compare_suites(pairs, outcomes),
        findings=findings,
    )


def _stability(rows: TrainingRows, seeds: int) -> dict[str, float]:
    overlap, signs = seed_stability(rows, PREDICTORS.get(SEEDED).make(), range(seeds))
    return {"top_overlap": overlap, "sign_agreement": signs}
