"""Ranked sets of models as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator

from mergecast.report.set_model import SetSummary
from mergecast.report.table import Table, number, wrapped

#: Ranked sets in all, and of a method at least; the page and the JSON hold more.
_SETS, _LEAST_SETS = 10, 3
#: A set of three in two lines leaves room for its numbers on 80 columns.
_SET_WIDTH = 26


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
    title = f"{_best_of(sets)}, by method"
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
    title = f"{_best_of(sets)}, each by its method"
    columns = ["set", "method", "retention", "weakest"]
    return Table(title, columns, rows, keys=2)


def _best_of(sets: SetSummary) -> str:
    if sets["n_sets"] == 1:
        return f"The one set of {sets['size']}"
    return f"Best of {sets['n_sets']} sets of {sets['size']}"
