"""What `mergecast reproduce` prints: published values beside recomputed ones, then corrected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mergecast.analysis.comparison import OUTCOME, compare_settings
from mergecast.analysis.individual import individual_correlations
from mergecast.analysis.refits import mean_over_seeds, seed_spread
from mergecast.analysis.replay import NORMALIZED, RAW
from mergecast.analysis.reproduce import Reproduction
from mergecast.analysis.signatures import sign_agreement, signature, top_overlap
from mergecast.analysis.variance import metric_shares, outcome_shares, residual_correlations
from mergecast.tables.published_fits import experiments, released_fits

if TYPE_CHECKING:
    from rich.console import Console

_SIGNIFICANT = 0.05


def print_reproduction(found: Reproduction, results: Path) -> None:
    """Print every table of a setting to stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    chosen = found.selection
    console.print(
        f"{found.setting.name}: {len(found.setting.tasks)} tasks, {len(chosen.pairs)} of "
        f"{chosen.expected} pairs used, {len(chosen.metrics)} metrics"
    )
    for pair, reason in chosen.missing:
        console.print(f"  not used: {pair}: {_shortened(reason)}", soft_wrap=True)
    if found.fits:
        _published(console, found)
        _experiments(console, found, results)
        _signatures(console, found)
    _corrected(console, found)
    _shares(console, found)
    _individual(console, found)
    _others(console, found)
    console.print("\nAudit")
    for finding in found.findings:
        console.print(f"  {finding.severity:<7} {finding.code}: {finding.message}", soft_wrap=True)


def _published(console: Console, found: Reproduction) -> None:
    means = found.released_means()
    console.print(
        f"\nReleased coefficients: the five strongest metrics of two methods overlap by "
        f"{_percent(top_overlap(means))}, their signs agree for {_percent(sign_agreement(means))}"
    )
    refits = mean_over_seeds(found.runs)
    spread = seed_spread(found.runs)
    headings = [
        "published r",
        "coefficients again",
        "refit",
        "over seeds (± sd)",
        "pooled, published",
        "again",
        "r, normalized",
    ]
    rows = []
    for method, fit in found.fits.items():
        again = found.replays.get(method)
        mine = _of(refits, predictor="paper", target=RAW, protocol="loto", method=method)
        moves = _of(spread, predictor="paper", target=RAW, protocol="loto", method=method)
        interval = "-"
        if len(moves):
            one = moves.iloc[0]
            interval = f"{one['low']:.3f}-{one['high']:.3f} (± {one['std']:.3f})"
        rows.append(
            [
                method,
                _number(fit.per_fold_r),
                _number(again.per_fold_r[RAW] if again else None),
                _number(mine["per_fold_r"].iloc[0] if len(mine) else None),
                interval,
                _number(fit.pooled_r),
                _number(again.pooled_r[RAW] if again else None),
                _number(again.per_fold_r[NORMALIZED] if again else None),
            ]
        )
    _table(
        console,
        "The paper's fits to raw accuracy, leave one task out: mean r over folds",
        ["method", *headings],
        rows,
    )


def _experiments(console: Console, found: Reproduction, results: Path) -> None:
    methods = list(found.fits)
    rows = []
    for name in experiments(results, found.setting.name):
        fits = released_fits(results, found.setting.name, name)
        values = [fits[method].per_fold_r if method in fits else None for method in methods]
        rows.append([name, *map(_number, values), _number(_mean(values))])
    _table(
        console,
        "Published experiments (raw accuracy): mean r over folds",
        ["experiment", *methods, "mean"],
        rows,
    )


def _signatures(console: Console, found: Reproduction) -> None:
    rows = []
    for method, fit in found.fits.items():
        strongest = signature(fit.coefficients).head(3)
        text = ", ".join(
            f"{row['metric']} ({row['mean']:+.3f}, in {_percent(row['frequency'])} of folds)"
            for row in strongest.rename_axis("metric").reset_index().to_dict("records")
        )
        rows.append([method, text])
    _table(console, "Published signatures", ["method", "strongest mean coefficients"], rows)


def _corrected(console: Console, found: Reproduction) -> None:
    refits = mean_over_seeds(found.runs)
    methods = [*found.selection.methods, *found.selection.others]
    common = found.selection.methods
    titles = {
        (RAW, "loto"): "Refit to raw accuracy, one task unseen",
        (NORMALIZED, "loto"): "Corrected: normalized accuracy, one task unseen",
        (NORMALIZED, "l2to"): "Corrected: normalized accuracy, both tasks unseen",
    }
    for (target, protocol), title in titles.items():
        part = _of(refits, target=target, protocol=protocol)
        column, word = ("per_fold_r", "r by fold") if protocol == "loto" else ("pooled_r", "r")
        rows: list[list[str]] = []
        for predictor, mine in part.groupby("predictor", sort=False):
            values = mine.set_index("method")
            if values[["per_fold_r", "pooled_r", "mae"]].isna().all(axis=None):
                continue
            each = [values[column].get(method) for method in methods]
            means = values.reindex(common)
            tail = [_mean(means["pooled_r"])] if protocol == "loto" else []
            rows.append(
                [
                    str(predictor),
                    *map(_number, each),
                    _number(_mean(means[column])),
                    *map(_number, tail),
                    _number(_mean(means["mae"]), 4),
                ]
            )
        heads = ["mean", "pooled", "MAE"] if protocol == "loto" else ["mean", "MAE"]
        _table(console, f"{title}: {word}", ["predictor", *methods, *heads], rows)
    if found.selection.others:
        console.print(f"means are over {', '.join(common)}", soft_wrap=True)


def _shares(console: Console, found: Reproduction) -> None:
    chosen = found.selection
    left = residual_correlations(chosen.pairs, chosen.outcomes)
    rows = []
    for method, share in outcome_shares(chosen.outcomes).items():
        best = left[method].dropna()
        best = best.reindex(best.abs().sort_values(ascending=False, kind="stable").index).head(2)
        text = ", ".join(f"{key} ({r:+.2f})" for key, r in best.items())
        rows.append([method, _number(share), text])
    _table(
        console,
        "Additive share of outcomes (y = μ + a_i + a_j)",
        ["method", "share", "strongest r with what is left"],
        rows,
    )
    shares = sorted(metric_shares(chosen.pairs).items(), key=lambda item: -_nan_last(item[1]))
    _table(
        console,
        "Additive share of metrics",
        ["metric", "share"],
        [[key, _number(share)] for key, share in shares],
    )


def _individual(console: Console, found: Reproduction) -> None:
    table = individual_correlations(found.selection.pairs, found.selection.outcomes)
    rows = []
    for method, mine in table.groupby("method", sort=True):
        known = mine[mine["r"].notna()]
        if known.empty:
            rows.append([str(method), "-", "-", "-", "-", "-"])
            continue
        best = known.iloc[int(known["r"].abs().argmax())]
        rows.append(
            [
                str(method),
                f"{best['metric']} ({best['r']:+.2f})",
                f"{best['p']:.1g}",
                f"{best['p_mantel']:.3f}",
                f"{(known['p'] < _SIGNIFICANT).sum()} of {len(known)}",
                f"{(known['q_mantel'] < _SIGNIFICANT).sum()} of {len(known)}",
            ]
        )
    heads = ["p if pairs were independent", "p, permuted models"]
    counts = ["significant: naive", "permuted, corrected (FDR)"]
    _table(
        console,
        "Single metrics against normalized accuracy",
        ["method", "strongest (r)", *heads, *counts],
        rows,
    )


def _others(console: Console, found: Reproduction) -> None:
    rows = []
    for other in found.others:
        for row in compare_settings(found.setting, other):
            if row.kind == OUTCOME:
                same = f"{row.n_identical} of {row.n_pairs}"
                rows.append([other.name, row.name, _number(row.r), same])
    if rows:
        heads = ["setting", "method", "r of outcomes", "identical pairs"]
        _table(console, "Beside other settings", heads, rows)


def _table(
    console: Console, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _shortened(reason: str) -> str:
    """A reason that names at most two metrics; `--json` has them all."""
    names, colon, why = reason.partition(": ")
    words = names.split(", ")
    if not colon or len(words) <= 2:
        return reason
    return f"{words[0]} and {len(words) - 1} more metrics: {why}"


def _of(table: pd.DataFrame, **where: str) -> pd.DataFrame:
    for key, value in where.items():
        table = table[table[key] == value]
    return table


def _mean(values: Iterable[float | None]) -> float:
    """The mean of all values; NaN if one of them is missing: no mean over fewer methods."""
    return float(pd.Series(list(values), dtype=float).mean(skipna=False))


def _nan_last(value: float) -> float:
    return value if value == value else float("-inf")


def _number(value: float | None, digits: int = 3) -> str:
    # NaN alone is unequal to itself; an undefined number is shown as a dash, never as 0.
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.1f} %"
