"""Curves of regret and their intervals over searches, as tables and a picture: for `search.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.typing import Floats
from science_pictures import TITLES, figure_of, save

SHARES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
#: Measurements of the other ways; the search has made a tenth of them.
MEASUREMENTS = (10, 20, 50, 100, 200)
TENTH = 10
Z90 = 1.645
SEARCH = "path"
OTHERS = ("random", "tpe", "cma-es")
NAMES = {
    SEARCH: "mergecast search",
    "random": "random search",
    "tpe": "Optuna's TPE",
    "cma-es": "CMA-ES",
}
COLOURS = {SEARCH: "#0072b2", "random": "#9aa3ad", "tpe": "#d55e00", "cma-es": "#009e73"}
#: Regrets that are drawn, at how many places of the curves, and panels beside each other.
LOW, HIGH, POINTS, ACROSS = -0.04, 0.25, 80, 4


def regrets(rows: pd.DataFrame, by: str, most: float) -> pd.Series:
    """Regret of every search, by seed, once it has spent `most`; a search that has ended keeps its
    last choice, and one that had measured nothing by then is left out.
    """
    return rows[rows[by] <= most].groupby("seed")["regret"].last()


def interval(values: pd.Series) -> tuple[float, float]:
    """Mean over searches, and half the width of its 90% interval."""
    return float(values.mean()), float(Z90 * values.sem())


def show_curves(table: pd.DataFrame) -> None:
    """Regret after shares of the samples of trying everything, and after measurements."""
    ways = {way: table[table["way"] == way] for way in (SEARCH, *OTHERS)}
    print("regret after a share of the exhaustive search's samples, ± 90% (searches)")
    shares = {
        way: [_cell(regrets(rows, "share", share)) for share in SHARES]
        for way, rows in ways.items()
    }
    print(pd.DataFrame(shares, index=SHARES).to_string())
    print("regret of the search after N/10 measurements, of the others after N, ± 90% (searches)")
    found = {
        way: [regrets(rows, "looks", n / TENTH if way == SEARCH else n) for n in MEASUREMENTS]
        for way, rows in ways.items()
    }
    print(_by_measurements({way: map(_cell, one) for way, one in found.items()}))
    print("the same, the search less the other way, over the searches that both made")
    less = {
        way: [_cell((a - b).dropna()) for a, b in zip(found[SEARCH], found[way], strict=True)]
        for way in OTHERS
    }
    print(_by_measurements(less))


def _by_measurements(columns: Mapping[str, object]) -> str:
    shown = pd.DataFrame({way: list(one) for way, one in columns.items()}, index=MEASUREMENTS)
    return str(shown.rename(columns={SEARCH: "search, N/10"}).to_string())


def _cell(values: pd.Series) -> str:
    if not len(values):
        return "–"
    mean, half = interval(values)
    spread = "" if np.isnan(half) else f" ± {half:.4f}"
    return f"{mean:.4f}{spread} ({len(values)})"


def draw_curves(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """A panel a table, a curve and its band a way, from where every search has measured."""
    n = len(tables)
    rows = -(-n // ACROSS)
    across = -(-n // rows)
    figure, axes = figure_of(n, width=max(2.75 * across, 5.0), height=0.6 + 2.6 * rows, rows=rows)
    shares = np.geomspace(SHARES[0], 1, POINTS)
    for axis, (name, table) in zip(axes, tables.items(), strict=True):
        axis.axhline(0, color="#888", linewidth=0.8)
        for way, label in NAMES.items():
            rows = table[table["way"] == way]
            if rows.empty:
                continue
            some, mean, half = _curve(rows, shares)
            colour, front = COLOURS[way], 3 if way == SEARCH else 2
            axis.plot(some, mean, color=colour, linewidth=1.5, label=label, zorder=front)
            band = (mean - half, mean + half)
            axis.fill_between(some, *band, color=colour, alpha=0.2, linewidth=0, zorder=front)
        axis.set_title(_title(name), fontsize=9)
        axis.set_xscale("log")
        axis.set_xlim(SHARES[0], 1)
        axis.set_xticks([0.001, 0.01, 0.1, 1], ["0.1%", "1%", "10%", "100%"], fontsize=8)
        axis.set_ylim(LOW, HIGH)
        axis.tick_params(axis="y", labelsize=8)
        axis.grid(axis="y", color="#e4e8ec", linewidth=0.6)
        axis.set_axisbelow(True)
    for axis in axes[::across]:
        axis.set_ylabel("regret", fontsize=8)
    figure.supxlabel("share of the samples that trying every merge takes", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    save(figure, path, "Regret by share of the samples of trying every merge, by way and suite")


def _curve(rows: pd.DataFrame, shares: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares by which every search has measured, the mean regret and half its interval there."""
    searches = rows["seed"].nunique()
    found = [(share, regrets(rows, "share", share)) for share in shares]
    known = [(share, *interval(one)) for share, one in found if len(one) == searches]
    places, means, halves = np.array(known).reshape(-1, 3).T
    return places, means, np.nan_to_num(halves)


def _title(name: str) -> str:
    """The title of a suite, by the name of its folder."""
    return {key.replace("/", "-"): title for key, title in TITLES.items()}.get(name, name)
