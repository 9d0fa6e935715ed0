"""What `mergecast reproduce` prints: published values beside recomputed ones, then corrected."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mergecast.analysis.comparison import OUTCOME, compare_settings
from mergecast.analysis.individual import individual_correlations
from mergecast.analysis.signatures import sign_agreement, top_overlap
from mergecast.analysis.variance import metric_shares, outcome_shares, residual_correlations
from mergecast.cli.analysis_tables import (
    print_agreement,
    print_comparison,
    print_individual,
    print_shares,
    print_signatures,
)
from mergecast.cli.tables import number, print_table, say
from mergecast.paper.fits import experiments, released_fits
from mergecast.paper.refits import NUMBERS, mean_over_seeds, seed_spread
from mergecast.paper.replay import NORMALIZED, RAW
from mergecast.paper.reproduce import Reproduction

if TYPE_CHECKING:
    from rich.console import Console

_TITLES = {
    (RAW, "loto"): "Refit to raw accuracy, one task unseen",
    (NORMALIZED, "loto"): "Corrected: normalized accuracy, one task unseen",
    (NORMALIZED, "l2to"): "Corrected: normalized accuracy, both tasks unseen",
}


def print_reproduction(console: Console, found: Reproduction, results: Path) -> None:
    """Print every table of a setting but the audit, which ends the page."""
    chosen = found.selection
    say(
        console,
        f"{found.setting.name}: {len(found.setting.tasks)} tasks, {len(chosen.pairs)} of "
        f"{chosen.expected} pairs used, {len(chosen.metrics)} metrics",
    )
    for pair, reason in chosen.missing:
        say(console, f"  not used: {pair}: {_shortened(reason)}")
    if found.fits:
        console.print()
        means = found.released_means()
        agreement = top_overlap(means), sign_agreement(means)
        print_agreement(console, "Released coefficients", *agreement)
        _published(console, found)
        _experiments(console, found, results)
        fits = {method: fit.coefficients for method, fit in found.fits.items()}
        print_signatures(console, "Published signatures: strongest mean coefficients", fits)
    _corrected(console, found)
    print_shares(
        console,
        outcome_shares(chosen.outcomes),
        residual_correlations(chosen.pairs, chosen.outcomes),
        metric_shares(chosen.pairs),
    )
    print_individual(console, individual_correlations(chosen.pairs, chosen.outcomes))
    for other in found.others:
        rows = compare_settings(found.setting, other)
        if any(row.kind == OUTCOME for row in rows):
            print_comparison(console, other.name, rows)


def _published(console: Console, found: Reproduction) -> None:
    refits = mean_over_seeds(found.runs)
    spread = seed_spread(found.runs)
    rows = []
    for method, fit in found.fits.items():
        again = found.replays.get(method)
        mine = _of(refits, predictor="paper", target=RAW, protocol="loto", method=method)
        moves = _of(spread, predictor="paper", target=RAW, protocol="loto", method=method)
        cells = [
            number(fit.per_fold_r),
            number(again.per_fold_r[RAW] if again else None),
            number(mine["per_fold_r"].iloc[0] if len(mine) else None),
        ]
        if len(spread):
            columns = ("low", "high", "std")
            cells += [number(moves[key].iloc[0] if len(moves) else None) for key in columns]
        cells += [
            number(fit.pooled_r),
            number(again.pooled_r[RAW] if again else None),
            number(again.per_fold_r[NORMALIZED] if again else None),
        ]
        rows.append([method, *cells])
    seeds = ["lowest", "highest", "sd"] if len(spread) else []
    caption = (
        "published r: mean over folds as released; again: the released coefficients applied anew\n"
        "refit: the paper's solver run anew; normal.: the released coefficients on normalized "
        "accuracy"
    )
    if seeds:
        caption += "\nlowest, highest, sd: of the refit, over seeds"
    print_table(
        console,
        "The paper's fits to raw accuracy, leave one task out",
        ["method", "publ. r", "again", "refit", *seeds, "pooled publ.", "pooled again", "normal."],
        rows,
        caption=caption,
    )


def _experiments(console: Console, found: Reproduction, results: Path) -> None:
    methods = list(found.fits)
    rows = []
    for name in experiments(results, found.setting.name):
        fits = released_fits(results, found.setting.name, name)
        values = [fits[method].per_fold_r if method in fits else None for method in methods]
        rows.append([name, *map(number, values), number(_mean(values))])
    print_table(
        console,
        "Published experiments (raw accuracy): mean r over folds",
        ["experiment", *methods, "mean"],
        rows,
    )


def _corrected(console: Console, found: Reproduction) -> None:
    """Methods as rows, predictors as columns, and the means over the paper's methods below."""
    refits = mean_over_seeds(found.runs)
    common = found.selection.methods
    over = f"means are over {', '.join(common)}" if found.selection.others else ""
    for (target, protocol), title in _TITLES.items():
        part = _of(refits, target=target, protocol=protocol)
        # A predictor that does not apply here has no number at all.
        known = part[part[NUMBERS].notna().any(axis=1)]
        predictors = list(dict.fromkeys(known["predictor"]))
        by_fold = protocol == "loto"
        main, word = ("per_fold_r", "mean r over folds") if by_fold else ("pooled_r", "r")
        values = {
            key: part.pivot_table(index="method", columns="predictor", values=key, dropna=False)
            for key in NUMBERS
        }
        methods = [*common, *found.selection.others]
        rows: list[list[str] | None] = [
            [method, *(number(values[main][name].get(method)) for name in predictors)]
            for method in methods
            if method in set(part["method"])
        ]
        rows.append(None)
        tails = [("mean", main, 3), ("mean MAE", "mae", 4)]
        if by_fold:
            tails.insert(1, ("mean pooled r", "pooled_r", 3))
        for label, key, digits in tails:
            means = [_mean(values[key][name].reindex(common)) for name in predictors]
            rows.append([label, *(number(mean, digits) for mean in means)])
        print_table(console, f"{title}: {word}", ["method", *predictors], rows, caption=over)


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
