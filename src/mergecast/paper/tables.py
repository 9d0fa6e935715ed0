"""A reproduction as tables: published values beside recomputed ones, then corrected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from mergecast.analysis.comparison import OUTCOME, compare_settings
from mergecast.analysis.individual import individual_correlations
from mergecast.analysis.signatures import sign_agreement, top_overlap
from mergecast.analysis.tables import (
    agreement_sentence,
    audit_lines,
    comparison_table,
    individual_table,
    share_tables,
    signature_table,
)
from mergecast.analysis.variance import metric_shares, outcome_shares, residual_correlations
from mergecast.paper.refits import NUMBERS, mean_over_seeds, seed_spread
from mergecast.paper.replay import NORMALIZED, RAW
from mergecast.paper.reproduce import Reproduction
from mergecast.paper.sensitivity import calibration_sensitivity
from mergecast.report.table import Table, number

_TITLES = {
    (RAW, "loto"): "Refit to raw accuracy, one task unseen",
    (NORMALIZED, "loto"): "Corrected: normalized accuracy, one task unseen",
    (NORMALIZED, "l2to"): "Corrected: normalized accuracy, both tasks unseen",
}
# Metrics that agree so well between all sizes do not read samples: their values were not measured
# anew.
_SAME = 1 - 1e-9


def reproduction_parts(reproduction: Reproduction) -> Iterator[Table | str]:
    """Every table of a setting; the audit ends the page."""
    setting, selection = reproduction.setting, reproduction.selection
    yield (
        f"{setting.name}: {len(setting.tasks)} tasks, {len(selection.pairs)} of "
        f"{selection.expected} pairs used, {len(selection.metrics)} metrics"
    )
    yield from (f"  not used: {p}: {_shortened(why)}" for p, why in selection.missing)
    if reproduction.fits:
        means = reproduction.released_means()
        agreement = top_overlap(means), sign_agreement(means)
        yield "\n" + agreement_sentence("Released coefficients", *agreement)
        yield _published(reproduction)
        yield _experiments(reproduction)
        fits = {method: fit.coefficients for method, fit in reproduction.fits.items()}
        yield signature_table("Published signatures: strongest mean coefficients", fits)
    yield from _corrected(reproduction)
    yield from share_tables(
        outcome_shares(selection.outcomes),
        residual_correlations(selection.pairs, selection.outcomes),
        metric_shares(selection.pairs),
    )
    yield individual_table(individual_correlations(selection.pairs, selection.outcomes))
    for other in reproduction.others:
        rows = compare_settings(setting, other)
        if any(row.kind == OUTCOME for row in rows):
            yield comparison_table(other.name, rows)
    if reproduction.sizes:
        yield _metric_sensitivity(calibration_sensitivity(reproduction.sizes).metrics)
    yield from audit_lines(reproduction.findings)


def _metric_sensitivity(metrics: pd.DataFrame) -> Table:
    """Correlation of each metric between sizes; `metrics` as `calibration_sensitivity` has them."""
    between = metrics["first"].astype(str) + "/" + metrics["second"].astype(str)
    r = metrics.assign(between=between).pivot_table(
        index="metric", columns="between", values="r", sort=False, dropna=False
    )
    same = (r > _SAME).all(axis=1)
    rows = [[str(key), *(number(value, 2) for value in row)] for key, *row in r[~same].itertuples()]
    read = f"{same.sum()} metrics read no samples and are the same at every size"
    return Table(
        "Metrics at two calibration sizes (samples a task): r over pairs",
        ["metric", *map(str, r.columns)],
        rows,
        caption=read if same.any() else "",
    )


def fit_sensitivity_table(fits: pd.DataFrame, what: str) -> Table:
    """How scores move with the size; `fits` as `calibration_sensitivity` has them."""
    methods = list(dict.fromkeys(fits["method"]))
    tails = [("per_fold_r", "mean", 3), ("pooled_r", "pooled", 3), ("mae", "MAE", 4)]
    if (fits["per_fold_r_seed_sd"] > 0).any():
        tails.append(("per_fold_r_seed_sd", "sd seeds", 3))
    rows: list[list[str] | None] = []
    for predictor, sizes in fits.groupby("predictor", sort=False):
        rows += [None] if rows else []
        for i, (size, scores) in enumerate(sizes.groupby("size", sort=True)):
            values = scores.set_index("method").reindex(methods)
            means = [number(_mean(values[key]), digits) for key, _, digits in tails]
            cells = [*values["per_fold_r"].map(number), *means]
            rows.append(["" if i else str(predictor), str(size), *cells])
    return Table(
        f"Fits at each calibration size, {what}: mean r over folds",
        ["predictor", "size", *methods, *(heading for _, heading, _ in tails)],
        rows,
        keys=2,
        caption=f"{int(fits['n_pairs'].min())} pairs that have every metric at every size",
    )


def _published(reproduction: Reproduction) -> Table:
    """The released r beside that of the released coefficients and of a refit."""
    runs = reproduction.runs
    paper = runs[(runs["predictor"] == "paper") & (runs["target"] == RAW)]
    refits, spread = (f(paper).set_index("method") for f in (mean_over_seeds, seed_spread))
    columns = {"low": "lowest", "high": "highest", "std": "sd"} if len(spread) else {}
    rows = []
    for method, fit in reproduction.fits.items():
        again = reproduction.replays.get(method)
        r = again.per_fold_r if again else {}
        values = [fit.per_fold_r, r.get(RAW), refits["per_fold_r"].get(method)]
        values += [spread[column].get(method) for column in columns]
        values += [fit.pooled_r, again.pooled_r[RAW] if again else None, r.get(NORMALIZED)]
        rows.append([method, *(number(value) for value in values)])
    heads = ["method", "publ. r", "again", "refit", *columns.values()]
    return Table(
        "The paper's fits to raw accuracy, leave one task out",
        [*heads, "pooled publ.", "pooled again", "normal."],
        rows,
        caption="published r: mean over folds as released; again: the released coefficients "
        "applied anew\nrefit: the paper's solver run anew; normal.: the released coefficients on "
        "normalized accuracy"
        + ("\nlowest, highest, sd: of the refit, over seeds" if columns else ""),
    )


def _experiments(reproduction: Reproduction) -> Table:
    methods = list(reproduction.fits)
    rows = []
    for name, fits in reproduction.experiments.items():
        values = [fits[method].per_fold_r if method in fits else None for method in methods]
        rows.append([name, *map(number, [*values, _mean(values)])])
    title = "Published experiments (raw accuracy): mean r over folds"
    return Table(title, ["experiment", *methods, "mean"], rows)


def _corrected(reproduction: Reproduction) -> Iterator[Table]:
    """Methods as rows, predictors as columns, and the means over the paper's methods below."""
    refits = mean_over_seeds(reproduction.runs)
    common, others = reproduction.selection.methods, reproduction.selection.others
    caption = f"means are over {', '.join(common)}" if others else ""
    for (target, protocol), title in _TITLES.items():
        part = refits[(refits["target"] == target) & (refits["protocol"] == protocol)]
        # A predictor that does not apply here has no number at all.
        defined = part[part[NUMBERS].notna().any(axis=1)]
        predictors = list(dict.fromkeys(defined["predictor"]))
        values = part.pivot_table(index="method", columns="predictor", values=NUMBERS, dropna=False)
        main, word = (
            ("per_fold_r", "mean r over folds") if protocol == "loto" else ("pooled_r", "r")
        )
        rows: list[list[str] | None] = [
            [method, *(number(values.loc[method, (main, name)]) for name in predictors)]
            for method in [*common, *others]
            if method in values.index
        ]
        tails = [("mean", main, 3), ("mean pooled r", "pooled_r", 3), ("mean MAE", "mae", 4)]
        for label, key, digits in tails if protocol == "loto" else [tails[0], tails[2]]:
            means = [_mean(values[key, name].reindex(common)) for name in predictors]
            rows += [None] if label == "mean" else []
            rows.append([label, *(number(mean, digits) for mean in means)])
        yield Table(f"{title}: {word}", ["method", *predictors], rows, caption=caption)


def _shortened(reason: str) -> str:
    """A reason that names at most two metrics; `--json` has them all."""
    names, colon, why = reason.partition(": ")
    words = names.split(", ")
    if not colon or len(words) <= 2:
        return reason
    return f"{words[0]} and {len(words) - 1} more metrics: {why}"


def _mean(values: Iterable[float | None]) -> float:
    """The mean of all values; NaN if one of them is missing: no mean over fewer methods."""
    return float(pd.Series(list(values), dtype=float).mean(skipna=False))
