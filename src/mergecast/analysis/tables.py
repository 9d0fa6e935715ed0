"""Analyses as tables, for published settings and for the user's own runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from mergecast.analysis.ablation import ALL
from mergecast.analysis.analyse import SIGNED, Analysis
from mergecast.analysis.audit import AuditFinding
from mergecast.analysis.comparison import METRIC, OUTCOME, Comparison
from mergecast.analysis.signatures import TOP_K, signature
from mergecast.report.table import (
    MISSING,
    Column,
    Table,
    frame_table,
    number,
    percent,
)

_SIGNIFICANT = 0.05
_STRONGEST = 3


def analysis_parts(analysis: Analysis) -> Iterator[Table | str]:
    """Everything that `analyse` says, the audit last."""
    yield from share_tables(analysis.outcome_share, analysis.residual_r, analysis.metric_share)
    for suite, table in analysis.individual.groupby("suite", sort=False):
        yield individual_table(table, str(suite))
    yield from fit_parts(analysis)
    for (first, second), rows in analysis.comparisons.items():
        yield comparison_table(f"{first} and {second}", rows)
    for suite, findings in analysis.findings.items():
        yield from audit_lines(findings, suite)


def fit_parts(analysis: Analysis) -> Iterator[Table | str]:
    """What fits to the data lean on: signatures, how steady they are, groups of metrics."""
    title = f"Signatures of {SIGNED}: strongest mean coefficients"
    yield signature_table(title, analysis.signatures)
    yield agreement_sentence(SIGNED, *analysis.agreement())
    yield frame_table(
        "Signature of one method between seeds (the paper's fit)",
        analysis.stability,
        [
            Column("method", "method"),
            Column("top_overlap", f"top-{TOP_K} overlap", _share),
            Column("sign_agreement", "sign agreement", _share),
        ],
        caption="no higher than between methods: the signature tells the seed, not the method",
    )
    yield ablation_table(analysis.ablation, SIGNED)


def signature_table(title: str, fits: Mapping[str, pd.DataFrame]) -> Table:
    """The strongest mean coefficients of each method; `fits`: method to (folds × metrics)."""
    rows = []
    for method, coefficients in fits.items():
        strongest = signature(coefficients).head(_STRONGEST)
        for i, (metric, row) in enumerate(strongest.iterrows()):
            shares = [percent(row["frequency"]), percent(row["sign_frequency"])]
            names = ["" if i else method, str(metric)]
            rows.append([*names, number(row["mean"], signed=True), *shares])
    return Table(title, ["method", "metric", "mean", "in folds", "same sign"], rows, keys=2)


def agreement_sentence(of: str, overlap: float, signs: float) -> str:
    """How far the signatures of the methods are one."""
    return (
        f"{of}: the {TOP_K} strongest metrics of two methods overlap by {_share(overlap)}, "
        f"their signs agree for {_share(signs)}"
    )


def share_tables(
    outcomes: Mapping[str, float], residuals: pd.DataFrame, metrics: Mapping[str, float]
) -> Iterator[Table]:
    """Additive shares of outcomes and metrics; `residuals` as `residual_correlations` has them."""
    rows = []
    for method, share in outcomes.items():
        left = residuals[method].dropna() if method in residuals else pd.Series(dtype=float)
        best = left.sort_values(key=lambda r: -r.abs(), kind="stable").head(2)
        named = [(str(key), number(r, 2, signed=True)) for key, r in best.items()]
        for i, (key, r) in enumerate(named or [(MISSING, MISSING)]):
            rows.append(["", key, r, ""] if i else [method, key, r, number(share)])
    yield Table(
        "Additive share of outcomes (y = μ + a_i + a_j)",
        ["method", "metric that follows what is left", "r", "share"],
        rows,
        keys=2,
    )
    shares = pd.Series(metrics, dtype=float).sort_values(ascending=False, kind="stable")
    cells = [[str(key), number(share)] for key, share in shares.items()]
    yield Table("Additive share of metrics", ["metric", "share"], cells)


def individual_table(table: pd.DataFrame, suite: str = "") -> Table:
    """Single metrics; `table` as `individual_correlations` returns it."""
    rows = []
    for method, metrics in table.groupby("method", sort=True):
        defined = metrics[metrics["r"].notna()]
        if defined.empty:
            rows.append([str(method), *[MISSING] * 6])
            continue
        best = defined.iloc[int(defined["r"].abs().argmax())]
        numbers = [number(best["r"], 2, signed=True), f"{best['p']:.0e}", number(best["p_mantel"])]
        counts = [str((defined[p] < _SIGNIFICANT).sum()) for p in ("p", "q_mantel")]
        rows.append([str(method), str(best["metric"]), *numbers, *counts])
    return Table(
        "Single metrics against " + (f"retention, {suite}" if suite else "normalized accuracy"),
        ["method", "strongest metric", "r", "p", "p perm.", "sig.", "sig. perm."],
        rows,
        keys=2,
        caption="p: as if pairs were independent; p perm.: permuted models (Mantel)\n"
        f"sig.: of {table['metric'].nunique()} metrics, significant at {_SIGNIFICANT:g}, naive; "
        "sig. perm.: permuted, corrected (FDR)",
    )


def ablation_table(table: pd.DataFrame, predictor: str) -> Table:
    """Groups of metrics left out, or alone; `table` as `ablate` returns it."""
    # Under l2to a fold is one pair: there is no r within it.
    by_fold = table["per_fold_r"].notna().any()
    column, word = ("per_fold_r", "mean r over folds") if by_fold else ("pooled_r", "pooled r")
    methods = list(dict.fromkeys(table["method"]))
    rows: list[list[str] | None] = []
    kind = ALL
    for name, scores in table.groupby("metrics", sort=False):
        values = scores.set_index("method").reindex(methods)
        before, kind = kind, str(name).split()[0]
        rows += [None] if rows and kind != before else []
        means = values[[column, "mae"]].mean(skipna=False)
        cells = [*values[column].map(number), number(means[column]), number(means["mae"], 4)]
        rows.append([str(name), str(int(scores["n_metrics"].iloc[0])), *cells])
    return Table(
        f"Groups of metrics: {predictor}: {word}",
        ["metrics", "n", *methods, "mean", "MAE"],
        rows,
        caption=f"{ALL}: every metric; n: number of metrics",
    )


def comparison_table(name: str, rows: Iterable[Comparison]) -> Table:
    """What two settings or suites say of the same pairs: every outcome, and the metrics' median."""
    table = pd.DataFrame([vars(row) for row in rows])
    r = table.loc[table["kind"] == METRIC, "r"].dropna()
    low, median, high = (number(value) for value in (r.min(), r.median(), r.max()))
    return frame_table(
        f"Beside other settings: {name}",
        table[table["kind"] == OUTCOME],
        [
            Column("name", "method"),
            Column("n_pairs", "pairs"),
            Column("r", "r of outcomes", number),
            Column("n_identical", "identical"),
        ],
        caption=f"r of {len(r)} metrics: median {median}, from {low} to {high}" if len(r) else "",
    )


def audit_lines(findings: Iterable[AuditFinding], suite: str = "") -> Iterator[str]:
    """The audit, one line a finding."""
    yield "\nAudit" + (f" of {suite}" if suite else "")
    for finding in findings:
        yield f"  {finding.severity:<7} {finding.code}: {finding.message}"


def _share(value: float) -> str:
    return percent(value, 1)
