"""The published tables of a setting, recomputed and corrected, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mergecast.analysis.analyse import Analysis, analyse
from mergecast.analysis.audit import WARNING, AuditFinding, ordered
from mergecast.analysis.signatures import mean_coefficients, sign_agreement, top_overlap
from mergecast.analysis.variance import metric_shares, outcome_shares
from mergecast.errors import MergecastError, UsageError
from mergecast.paper.audit import audit_setting
from mergecast.paper.fits import ReleasedFit, experiments, released_fits
from mergecast.paper.refits import mean_over_seeds, refit, seed_spread
from mergecast.paper.replay import NORMALIZED, Replay, replay
from mergecast.paper.results import PublishedSetting, read_setting, settings
from mergecast.paper.selection import Selection, select
from mergecast.paper.sensitivity import (
    PUBLISHED_SIZE,
    calibration_sensitivity,
    noisy_metrics,
    published_sizes,
)
from mergecast.runtime.progress import Progress
from mergecast.tables.pairs import PairTable
from mergecast.tables.plain import plain
from mergecast.typing import Names, listed

# A fit whose per-fold r moves by more than this between seeds is not a result of the data alone.
_STABLE = 0.05
# A predictor that agrees so well with partner mean, over all methods, has its information.
_FOLLOWS = 0.9


@dataclass(frozen=True)
class Reproduction:
    """What was published for a setting, and what the same tables give again.

    Attributes
    ----------
    setting : PublishedSetting
        The tables.
    selection : Selection
        What of them is analysed.
    others : list[PublishedSetting]
        The other settings of the folder that could be read.
    fits : dict[str, ReleasedFit]
        By method.
    replays : dict[str, Replay]
        Their coefficients applied again.
    runs : DataFrame
        Every refit, one row a seed, see `mergecast.paper.refits.refit`.
    findings : list[AuditFinding]
        The audit.
    experiments : dict[str, dict[str, ReleasedFit]]
        Every released experiment that could be read, by name, as `fits`.
    sizes : dict[int, PairTable]
        Calibration size to the analysed pairs measured with it; empty where the setting has no
        sensitivity folder.
    """

    setting: PublishedSetting
    selection: Selection
    others: list[PublishedSetting]
    fits: dict[str, ReleasedFit]
    replays: dict[str, Replay]
    runs: pd.DataFrame
    findings: list[AuditFinding]
    experiments: dict[str, dict[str, ReleasedFit]] = field(default_factory=dict)
    sizes: dict[int, PairTable] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined number is None."""
        selection, means = self.selection, self.released_means()
        missing = [{"pair": pair, "reason": reason} for pair, reason in selection.missing]
        content = {
            "setting": self.setting.name,
            "pairs": {
                "expected": selection.expected,
                "used": len(selection.pairs),
                "missing": missing,
            },
            "published": {
                "top5_overlap": top_overlap(means),
                "sign_agreement": sign_agreement(means),
                "per_fold_r": {method: fit.per_fold_r for method, fit in self.fits.items()},
            },
            "refit": mean_over_seeds(self.runs).to_dict("records"),
            "additive_share": {
                "outcomes": outcome_shares(selection.outcomes),
                "metrics": metric_shares(selection.pairs),
            },
            "audit": [vars(finding) for finding in self.findings],
        }
        return {key: plain(value) for key, value in content.items()}

    def analyse(self, progress: Progress | None = None) -> Analysis:
        """What drives the setting's outcomes, by the analyses for any tables; takes minutes."""
        used = self.selection
        return analyse(used.pairs, used.outcomes, used.methods, progress=progress)

    def fits_by_size(self, seeds: int = 1, progress: Progress | None = None) -> pd.DataFrame | None:
        """Fits at every calibration size, see `calibration_sensitivity`; None where there is one.

        Parameters
        ----------
        seeds : int
            Seeds, for the spread of predictors that draw numbers.
        progress : Progress, optional
            Told of every fit.
        """
        if not self.sizes:
            return None
        used = self.selection
        return calibration_sensitivity(
            self.sizes, used.outcomes, methods=used.methods, seeds=seeds, progress=progress
        ).fits

    def released_means(self) -> pd.DataFrame:
        """Released coefficients averaged over folds: one row a metric, one column a method."""
        return mean_coefficients({name: fit.coefficients for name, fit in self.fits.items()})


def reproduce(
    results: str | Path,
    setting: str | None = None,
    predictors: Names | None = None,
    seeds: int = 1,
    workers: int = 2,
    progress: Progress | None = None,
) -> Reproduction:
    """Recompute the published tables of a setting, and correct them.

    Parameters
    ----------
    results : str or Path
        The authors' results folder, see `mergecast.paper.results`.
    setting : str, optional
        For example ``ViT-B-16_AdamW``; needed where the folder holds several.
    predictors : str or sequence of str, optional
        Names in `PREDICTORS`; by default a set that takes some minutes.
    seeds : int
        Seeds, for the spread of predictors that draw numbers.
    workers : int
        Processes; the numbers do not depend on it.
    progress : Progress, optional
        Told of every fit.

    Raises
    ------
    UsageError
        No such folder, setting or predictor; no setting of several; fewer than one seed.
    TableError
        A file of this setting is damaged, or no pair is left.
    """
    if seeds < 1:
        raise UsageError("seeds", f"{seeds} is not a number of seeds", "use 1 or more")
    setting = setting or _only_setting(results)
    tables = read_setting(results, setting)
    fits = released_fits(results, setting)
    selection = select(tables, fits)
    findings: list[AuditFinding] = []
    others = []
    for name in settings(results):
        if name != setting:
            with _or_finding(findings, "unreadable_setting", f"{name} is not compared with: "):
                others.append(read_setting(results, name))
    replays: dict[str, Replay] = {}
    for method, fit in fits.items():
        with _or_finding(findings, "released_fit_not_reproduced"):
            replays[method] = replay(fit, selection.pairs, selection.outcomes)
    findings += audit_setting(tables, selection, others, fits, replays)
    released: dict[str, dict[str, ReleasedFit]] = {}
    for name in experiments(results, setting):
        with _or_finding(findings, "unreadable_experiment"):
            released[name] = released_fits(results, setting, name)
    sizes: dict[int, PairTable] = {}
    with _or_finding(findings, "unreadable_sensitivity"):
        sizes = published_sizes(results, setting, selection.pairs)
    if sizes:
        findings += noisy_metrics(calibration_sensitivity(sizes).metrics, PUBLISHED_SIZE)
    runs, failures = refit(selection, listed(predictors) or None, seeds, workers, progress)
    findings += [AuditFinding("not_fitted", WARNING, text) for text in failures]
    findings += _unstable(runs)
    findings += _identifying(runs)
    return Reproduction(
        tables, selection, others, fits, replays, runs, ordered(findings), released, sizes
    )


def _only_setting(results: str | Path) -> str:
    """The setting of a folder that has one; raises UsageError otherwise."""
    names = settings(results)
    if not names:
        problem = "no mergeability/<SETTING>/pairwise_metrics_N<n>.json in it"
        raise UsageError(results, problem, "copy the whole results folder")
    if len(names) != 1:
        raise UsageError("setting", "not given", f"choose one: {', '.join(names)}")
    return names[0]


@contextmanager
def _or_finding(findings: list[AuditFinding], code: str, text: str = "") -> Iterator[None]:
    """What cannot be read or done again is a finding, not the end of the setting."""
    try:
        yield
    except MergecastError as error:
        findings.append(AuditFinding(code, WARNING, f"{text}{error}"))


def _unstable(runs: pd.DataFrame) -> list[AuditFinding]:
    return [
        AuditFinding(
            "seed_sensitive",
            WARNING,
            f"{row['predictor']}, {row['target']} target, {row['method']}: per-fold r runs from "
            f"{row['low']:.3f} to {row['high']:.3f} over {row['n_seeds']} seeds (standard "
            f"deviation {row['std']:.3f}) on the same data",
        )
        for row in seed_spread(runs).to_dict("records")
        if row["high"] - row["low"] > _STABLE
    ]


def _identifying(runs: pd.DataFrame) -> list[AuditFinding]:
    """Predictors that are cold by name and follow the partner's known outcomes all the same."""
    cold = runs[(runs["protocol"] == "loto") & (runs["target"] == NORMALIZED) & ~runs["warm"]]
    follows = cold.groupby("predictor", sort=False)["partner_r"].mean()
    return [
        AuditFinding(
            "predictor_identifies_partner",
            WARNING,
            f"{name}: with one task unseen its predictions follow partner mean with r {r:.2f}: "
            "metrics tell which known model the partner is, and the fit has learnt that model's "
            "outcomes; read it as a predictor that knows them, and judge it with both tasks unseen",
        )
        for name, r in follows.items()
        if r > _FOLLOWS
    ]
