"""The tables of an analysis, for published settings and for the user's own runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from mergecast.analysis.ablation import ALL
from mergecast.analysis.analyse import SIGNED, Analysis
from mergecast.analysis.audit import AuditFinding
from mergecast.analysis.comparison import METRIC, OUTCOME, Comparison
from mergecast.analysis.signatures import TOP_K, signature
from mergecast.cli.tables import number, percent, print_table, say

if TYPE_CHECKING:
    from rich.console import Console

_SIGNIFICANT = 0.05
_STRONGEST = 3


def print_analysis(console: Console, found: Analysis) -> None:
    """Everything that `analyse` found, the audit last."""
    print_shares(console, found.outcome_share, found.residual_r, found.metric_share)
    for suite, table in found.individual.groupby("suite", sort=False):
        print_individual(console, table, str(suite))
    print_fits(console, found)
    for (first, second), rows in found.comparisons.items():
        print_comparison(console, f"{first} and {second}", rows)
    for suite, findings in found.findings.items():
        print_findings(console, findings, suite)


def print_fits(console: Console, found: Analysis) -> None:
    """What fits to the data lean on: signatures, how steady they are, groups of metrics."""
    overlap, signs = found.agreement()
    title = f"Signatures of {SIGNED}: strongest mean coefficients"
    print_signatures(console, title, found.signatures)
    print_agreement(console, SIGNED, overlap, signs)
    print_stability(console, found.stability)
    print_ablation(console, found.ablation, SIGNED)


def print_signatures(
    console: Console, title: str, fits: Mapping[str, pd.DataFrame], caption: str = ""
) -> None:
    """The strongest mean coefficients of each method; `fits`: method to (folds × metrics)."""
    rows: list[list[str] | None] = []
    for method, coefficients in fits.items():
        strongest = signature(coefficients).head(_STRONGEST).rename_axis("metric").reset_index()
        for i, row in enumerate(strongest.to_dict("records")):
            shares = [percent(row[key], 0) for key in ("frequency", "sign_frequency")]
            cells = [number(row["mean"], signed=True), *shares]
            rows.append([method if i == 0 else "", str(row["metric"]), *cells])
    heads = ["method", "metric", "mean", "in folds", "same sign"]
    print_table(console, title, heads, rows, keys=2, caption=caption)


def print_agreement(console: Console, of: str, overlap: float, signs: float) -> None:
    """How far the signatures of the methods are one."""
    say(
        console,
        f"{of}: the {TOP_K} strongest metrics of two methods overlap by {percent(overlap)}, "
        f"their signs agree for {percent(signs)}",
    )


def print_stability(console: Console, stability: pd.DataFrame) -> None:
    """Between seeds, what stands beside the same numbers between methods."""
    rows = [
        [str(row["method"]), percent(row["top_overlap"]), percent(row["sign_agreement"])]
        for row in stability.to_dict("records")
    ]
    heads = ["method", f"top-{TOP_K} overlap", "sign agreement"]
    print_table(
        console,
        "Signature of one method between seeds (the paper's fit)",
        heads,
        rows,
        caption="no higher than between methods: the signature tells the seed, not the method",
    )


def print_shares(
    console: Console,
    outcomes: Mapping[str, float],
    residuals: pd.DataFrame,
    metrics: Mapping[str, float],
) -> None:
    """Additive shares of outcomes and metrics; `residuals` as `residual_correlations` has them."""
    rows: list[list[str] | None] = []
    for method, share in outcomes.items():
        left = residuals[method].dropna() if method in residuals else pd.Series(dtype=float)
        best = left.reindex(left.abs().sort_values(ascending=False, kind="stable").index).head(2)
        found = [(str(key), number(r, 2, signed=True)) for key, r in best.items()] or [("–", "–")]
        for i, (key, r) in enumerate(found):
            first = i == 0
            rows.append([method if first else "", key, r, number(share) if first else ""])
    print_table(
        console,
        "Additive share of outcomes (y = μ + a_i + a_j)",
        ["method", "metric that follows what is left", "r", "share"],
        rows,
        keys=2,
    )
    shares = sorted(metrics.items(), key=lambda item: -_nan_last(item[1]))
    print_table(
        console,
        "Additive share of metrics",
        ["metric", "share"],
        [[key, number(share)] for key, share in shares],
    )


def print_individual(console: Console, table: pd.DataFrame, suite: str = "") -> None:
    """Single metrics; `table` as `individual_correlations` returns it."""
    rows: list[list[str]] = []
    for method, mine in table.groupby("method", sort=True):
        known = mine[mine["r"].notna()]
        if known.empty:
            rows.append([str(method), *["–"] * 6])
            continue
        best = known.iloc[int(known["r"].abs().argmax())]
        rows.append(
            [
                str(method),
                str(best["metric"]),
                number(best["r"], 2, signed=True),
                f"{best['p']:.0e}",
                number(best["p_mantel"]),
                str(int((known["p"] < _SIGNIFICANT).sum())),
                str(int((known["q_mantel"] < _SIGNIFICANT).sum())),
            ]
        )
    n = table["metric"].nunique()
    print_table(
        console,
        "Single metrics against " + (f"retention, {suite}" if suite else "normalized accuracy"),
        ["method", "strongest metric", "r", "p", "p perm.", "sig.", "sig. perm."],
        rows,
        keys=2,
        caption="p: as if pairs were independent; p perm.: permuted models (Mantel)\n"
        f"sig.: of {n} metrics, significant at {_SIGNIFICANT:g}, naive; "
        "sig. perm.: permuted, corrected (FDR)",
    )


def print_ablation(console: Console, table: pd.DataFrame, what: str) -> None:
    """Groups of metrics left out, or alone; `table` as `ablate` returns it."""
    # Under l2to a fold is one pair: there is no r within it.
    column = "per_fold_r" if table["per_fold_r"].notna().any() else "pooled_r"
    methods = list(dict.fromkeys(table["method"]))
    rows: list[list[str] | None] = []
    for name, mine in table.groupby("metrics", sort=False):
        values = mine.set_index("method").reindex(methods)
        kind = str(name).split()[0]
        if rows and rows[-1] is not None and kind != rows[-1][0].split()[0]:
            rows.append(None)
        cells = [number(value) for value in values[column]]
        means = [
            number(values[column].mean(skipna=False)),
            number(values["mae"].mean(skipna=False), 4),
        ]
        rows.append([str(name), str(int(mine["n_metrics"].iloc[0])), *cells, *means])
    word = "mean r over folds" if column == "per_fold_r" else "pooled r"
    print_table(
        console,
        f"Groups of metrics: {what}: {word}",
        ["metrics", "n", *methods, "mean", "MAE"],
        rows,
        caption=f"{ALL}: every metric; n: number of metrics",
    )


def print_comparison(console: Console, name: str, rows: Iterable[Comparison]) -> None:
    """What two settings or suites say of the same pairs: every outcome, and the metrics' median."""
    found = list(rows)
    cells = [
        [row.name, str(row.n_pairs), number(row.r), str(row.n_identical)]
        for row in found
        if row.kind == OUTCOME
    ]
    metrics = pd.Series([row.r for row in found if row.kind == METRIC], dtype=float).dropna()
    caption = ""
    if len(metrics):
        caption = (
            f"r of {len(metrics)} metrics: median {number(metrics.median())}, "
            f"from {number(metrics.min())} to {number(metrics.max())}"
        )
    print_table(
        console,
        f"Beside other settings: {name}",
        ["method", "pairs", "r of outcomes", "identical"],
        cells,
        caption=caption,
    )


def print_findings(console: Console, findings: Iterable[AuditFinding], suite: str = "") -> None:
    """The audit, one line a finding."""
    console.print("\nAudit" + (f" of {suite}" if suite else ""))
    for finding in findings:
        say(console, f"  {finding.severity:<7} {finding.code}: {finding.message}")


def _nan_last(value: float) -> float:
    return value if value == value else float("-inf")
