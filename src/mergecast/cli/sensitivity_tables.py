"""What `reproduce` prints where a setting's metrics were measured at several calibration sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mergecast.cli.tables import number, print_table

if TYPE_CHECKING:
    from rich.console import Console

# Metrics that agree so well between all sizes do not read samples: their values were not measured
# anew.
_SAME = 1 - 1e-9


def print_metric_sensitivity(console: Console, metrics: pd.DataFrame) -> None:
    """Correlation of each metric between sizes; `metrics` as `calibration_sensitivity` has them."""
    table = metrics.assign(between=[f"{a}/{b}" for a, b in metrics[["first", "second"]].to_numpy()])
    columns = list(dict.fromkeys(table["between"]))
    rows, same = [], 0
    for metric, mine in table.groupby("metric", sort=False):
        if (mine["r"] > _SAME).all():
            same += 1
            continue
        r = mine.set_index("between")["r"]
        rows.append([str(metric), *(number(r.get(name), 2) for name in columns)])
    print_table(
        console,
        "Metrics at two calibration sizes (samples a task): r over pairs",
        ["metric", *columns],
        rows,
        caption=f"{same} metrics read no samples and are the same at every size" if same else "",
    )


def print_fit_sensitivity(console: Console, fits: pd.DataFrame, what: str) -> None:
    """How scores move with the size; `fits` as `calibration_sensitivity` has them."""
    methods = list(dict.fromkeys(fits["method"]))
    moves = (fits["per_fold_r_seed_sd"] > 0).any()
    rows: list[list[str] | None] = []
    for predictor, own in fits.groupby("predictor", sort=False):
        if rows:
            rows.append(None)
        for i, (size, mine) in enumerate(own.groupby("size", sort=True)):
            values = mine.set_index("method").reindex(methods)
            means = values.mean(skipna=False, numeric_only=True)
            cells = [number(r) for r in values["per_fold_r"]]
            cells += [number(means["per_fold_r"]), number(means["pooled_r"])]
            cells.append(number(means["mae"], 4))
            if moves:
                cells.append(number(means["per_fold_r_seed_sd"]))
            rows.append([str(predictor) if i == 0 else "", str(size), *cells])
    print_table(
        console,
        f"Fits at each calibration size, {what}: mean r over folds",
        ["predictor", "size", *methods, "mean", "pooled", "MAE", *(["sd seeds"] if moves else [])],
        rows,
        keys=2,
        caption=f"{int(fits['n_pairs'].min())} pairs that have every metric at every size",
    )
