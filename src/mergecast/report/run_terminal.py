"""The end of a run as tables and sentences: what the commands print."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from mergecast.report.model import PairAdvice, RunSummary, Spread
from mergecast.report.table import Table, number, percent, wrapped

#: Pairs shown at each end of the excerpt.
_EXCERPT = 4
_UNSEEN = {"l2to": "both tasks", "loto": "one task", "suite": "the suite"}


def run_parts(summary: RunSummary) -> Iterator[Table | str]:
    """The end of a run: forecast beside measured, by pair and by method; verdict and warnings."""
    yield _excerpt_table(summary)
    yield _method_table(summary)
    yield ""
    yield from summary["verdict"]
    yield from (f"note: {warning}" for warning in summary["warnings"])


def _method_table(summary: RunSummary) -> Table:
    """One row a method of a run: forecast, measured, and the error beside the baselines'."""
    rows = []
    for entry in summary["methods"]:
        scores = entry["protocols"][summary["protocol"]]
        forecast, constant = scores["forecast"], scores["constant"]
        spreads = [_spread(entry["forecast"]), _spread(entry["measured"])]
        errors = [number(s and s["mae"]) for s in (forecast, constant)]
        r, inside = forecast and forecast["pooled_r"], forecast and forecast.get("coverage")
        rows.append([entry["method"], *spreads, *errors, number(r, 2), percent(inside)])
    return Table(
        "Retention of a pair, by method: forecast beside measured",
        ["method", "forecast", "measured", "error", "constant", "r", "inside"],
        rows,
        caption="error: mean absolute error of the forecast, "
        f"{_UNSEEN[summary['protocol']]} unseen; constant: of always predicting the mean\n"
        f"r: pooled over pairs; inside: measured values in their {percent(summary['level'])} "
        "interval",
    )


def _excerpt_table(summary: RunSummary) -> Table:
    """The pairs with the lowest and the highest forecasts, each by its advised method."""
    pairs = [pair for pair in summary["pairs"] if pair["predicted"] is not None]
    pairs.sort(key=itemgetter("predicted", "left", "right"))
    cut = len(pairs) > 2 * _EXCERPT
    lowest, highest = (pairs[:_EXCERPT], pairs[-_EXCERPT:]) if cut else (pairs, [])
    rows: list[list[str] | None] = [_excerpt(pair) for pair in lowest]
    rows += [None, *map(_excerpt, highest)] if cut else []
    part = f"{2 * _EXCERPT} of {len(summary['pairs'])} pairs, lowest and highest forecasts; "
    return Table(
        "Retention of a pair by the method advised for it",
        ["pair", "advice", "forecast", "measured", "best"],
        rows,
        keys=2,
        caption=f"{part if cut else ''}no: the weaker member is forecast below "
        f"{number(summary['threshold'], 2)}\n"
        "best: measured, by the best method in hindsight",
    )


def _excerpt(pair: PairAdvice) -> list[str]:
    no = "" if pair["advice"] == "merge" else "no: at best "
    values = (pair["predicted"], pair["measured"], pair["best_measured"])
    names = wrapped(f"{pair['left']} + {pair['right']}")
    return [names, no + pair["method"], *(number(value, 2) for value in values)]


def _spread(values: Spread) -> str:
    return f"{number(values['mean'], 2)} ± {number(values['std'], 2)}"
