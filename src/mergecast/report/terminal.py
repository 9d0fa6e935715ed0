"""Summaries as tables and sentences: what the commands print."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from mergecast.report.model import (
    FamilySummary,
    MemberRow,
    PairAdvice,
    RunSummary,
    Spread,
)
from mergecast.report.set_model import SetSummary
from mergecast.report.strengths import strength_parts
from mergecast.report.table import MISSING, Table, number, percent, wrapped

#: Pairs shown at each end of the excerpt.
_EXCERPT = 4
#: Ranked sets in all, and of a method at least; the page and the JSON hold more.
_SETS, _LEAST_SETS = 10, 3
#: A set of three in two lines leaves room for its numbers on 80 columns.
_SET_WIDTH = 26
_UNSEEN = {"l2to": "both tasks", "loto": "one task", "suite": "the suite"}


def run_parts(summary: RunSummary, *, warnings: bool = True) -> Iterator[Table | str]:
    """The end of a run: forecast beside measured, by pair and by method; verdict and warnings."""
    yield _excerpt_table(summary)
    yield _method_table(summary)
    yield ""
    yield from summary["verdict"]
    if warnings:
        yield from (f"note: {warning}" for warning in summary["warnings"])


def forecast_parts(summary: FamilySummary) -> Iterator[Table | str]:
    """Each pair: the advice, every method's forecast for both members, and what moved it."""
    pair_of = itemgetter("left", "right")
    groups = groupby(sorted(summary["rows"], key=pair_of), key=pair_of)
    rows = {pair: list(members) for pair, members in groups}
    for advice in summary["pairs"]:
        members = rows[advice["left"], advice["right"]]
        said = [row.get("note") for row in members if row.get("basis") == "abstained"]
        if said and all(row["predicted"] is None for row in members):
            yield f"{advice['left']} + {advice['right']}: no forecast, {said[0]}"
            continue
        yield _pair_table(advice, members)
        yield from _reasons(advice, members)
    yield ""
    yield from summary["verdict"]
    if "sets" in summary:
        yield from set_parts(summary["sets"])
    if "strengths" in summary:
        yield from strength_parts(summary["strengths"])


def set_parts(sets: SetSummary) -> Iterator[Table | str]:
    """The best sets, or those of highest forecast under each method, and what that rests on."""
    if sets["best"]:
        yield _best_sets(sets)
        yield sets["rule"]
        return
    shown = max(_LEAST_SETS, _SETS // len(sets["methods"]))
    rows: list[list[str] | None] = []
    for entry in sets["methods"]:
        rows += [None] if rows else []
        for i, ranked in enumerate(entry["ranking"][:shown]):
            names = wrapped(" + ".join(ranked["members"]), _SET_WIDTH)
            numbers = [number(ranked["predicted"]), number(ranked["pair_mean"])]
            weakest = f"{ranked['worst_member']} {number(ranked['worst_predicted'], 2)}"
            rows.append(["" if i else entry["method"], names, *numbers, weakest])
    title = f"Best of {sets['n_sets']} sets of {sets['size']}, by method"
    yield Table(title, ["method", "set", "retention", "pair mean", "weakest"], rows, keys=2)
    yield sets["rule"]
    for entry in sets["methods"]:
        if entry["n_without"]:
            text = f"{entry['n_without']} sets hold a pair without a forecast and are not ranked"
            yield f"{entry['method']}: {text}"


def _best_sets(sets: SetSummary) -> Table:
    """The best sets, each under its method, with an interval."""
    rows: list[list[str] | None] = []
    for best in sets["best"][:_SETS]:
        low, high = number(best["lower"], 2), number(best["upper"], 2)
        weakest = f"{best['worst_member']} {number(best['worst_predicted'], 2)}"
        names = wrapped(" + ".join(best["members"]), _SET_WIDTH)
        kept = f"{number(best['predicted'], 2)} [{low}, {high}]"
        rows.append([names, best["method"], kept, weakest])
    title = f"Best of {sets['n_sets']} sets of {sets['size']}, each by its method"
    columns = ["set", "method", "retention", "weakest"]
    return Table(title, columns, rows, keys=2)


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


def _pair_table(advice: PairAdvice, rows: list[MemberRow]) -> Table:
    """One pair of new models: a row a method, best first, both members with their intervals."""
    left, right = advice["left"], advice["right"]
    ordered = []
    for method in sorted({row["method"] for row in rows}):
        by_member = {row["member"]: row for row in rows if row["method"] == method}
        members = [by_member[name] for name in (left, right)]
        values = [row["predicted"] for row in members if row["predicted"] is not None]
        mean = sum(values) / 2 if len(values) == 2 else None
        # The advised method first, as its mean may tie with another's; what is missing last.
        order = (method != advice["method"], mean is None, -(mean or 0.0), method)
        ordered.append((order, [method, number(mean), *map(_interval, members)]))
    cells = [row for _, row in sorted(ordered)]
    return Table(f"{left} + {right}: {_advice(advice)}", ["method", "pair", left, right], cells)


def _advice(advice: PairAdvice) -> str:
    if advice["predicted"] is None:
        return advice["advice"]
    worst = f"{advice['worst_member']} keeps {number(advice['worst_predicted'])}"
    if advice["advice"] == "merge":
        return f"merge by {advice['method']} ({worst})"
    return f"do not merge ({worst} under the best method, {advice['method']})"


def _interval(row: MemberRow) -> str:
    if row["predicted"] is None:
        return MISSING
    upper = "∞" if row["upper"] is None else number(row["upper"], 2)
    return f"{number(row['predicted'], 2)} [{number(row['lower'], 2)}, {upper}]"


def _reasons(advice: PairAdvice, rows: list[MemberRow]) -> Iterator[str]:
    """Why: the advised method's member with the lower forecast; and metrics out of range."""
    shown = [row for row in rows if not advice["method"] or row["method"] == advice["method"]]
    row = next((row for row in shown if row["member"] == advice["worst_member"]), shown[0])
    if row["reasons"]:
        moved = [f"{r['metric']} {number(r['contribution'], signed=True)}" for r in row["reasons"]]
        yield f"moved most ({row['method']}, {row['member']}): {', '.join(moved)}"
    elif row["note"]:
        yield f"{row['method']}: {row['note']}"
    if row["out_of_range"]:
        yield f"out of the training range: {', '.join(row['out_of_range'])}"
    warm = dict.fromkeys(row["method"] for row in rows if row.get("basis") == "warm")
    if warm:
        yield f"known outcomes used: {', '.join(warm)}"
    measured = dict.fromkeys(row["method"] for row in rows if row.get("basis") == "measured")
    if measured:
        yield f"measured: {', '.join(measured)}"
    absent: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["predicted"] is None and row["note"]:
            absent.setdefault(row["note"], {})[row["method"]] = None
    yield from (f"no forecast: {', '.join(methods)}: {note}" for note, methods in absent.items())
