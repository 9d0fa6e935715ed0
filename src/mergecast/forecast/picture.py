"""A forecast as a figure of matplotlib, which is imported here alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mergecast.errors import ResourceError, UsageError
from mergecast.runtime.outputs import check_file
from mergecast.tables.pairs import PAIR_KEYS
from mergecast.tables.sets import split_members
from mergecast.typing import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mergecast.forecast.figure import ShownFigure

#: Kinds of files that are written.
SUFFIXES = (".png", ".svg", ".pdf")
#: More models than this: no numbers in the cells.
_MOST_NUMBERS = 14
#: Curves in one picture, their lines being told apart by the legend.
_MOST_CURVES = 6
#: Layers of a pair that are named.
_MOST_LAYERS = 24
#: Inches of a panel.
_WIDTH, _HEIGHT = 5.6, 5.0
#: A cell this far up the colour scale is light: its number is black.
_LIGHT = 0.5


def draw(
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    curves: pd.DataFrame | None = None,
    beside: pd.DataFrame | None = None,
    depth: pd.DataFrame | None = None,
) -> Figure:
    """Every pair by its best method as a map; beside it what else there is, a panel each.

    Curves over strength; measured members beside forecasts that did not know them; by layer, how
    far the task vectors of the best pair lie apart.

    Parameters
    ----------
    rows, pairs, curves, beside, depth : DataFrame
        As those of `Forecast`.

    Raises
    ------
    UsageError
        matplotlib is not installed, or no pair has a forecast.
    """
    shown = _shown_figure()
    keys = [*PAIR_KEYS, "method"]
    best = rows.merge(pairs[keys], on=keys).dropna(subset="retention")
    if best.empty:
        raise UsageError("plot", "no pair has a forecast", "see why: print the forecast")
    panels: list[Callable[[Any], None]] = [partial(_map, best=best)]
    if curves is not None:
        panels.append(partial(_curves, curves=curves))
    if beside is not None and beside["before"].notna().any():
        panels.append(partial(_beside, beside=beside))
    if depth is not None and not depth.empty:
        panels.append(partial(_depth, depth=_of_best(depth, pairs)))
    figure = shown(figsize=(_WIDTH * len(panels), _HEIGHT), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes)
    return figure


def check_picture(path: str | Path) -> None:
    """Raise UsageError, before a forecast is made, where a picture of it could not be written."""
    _check_suffix(Path(path))
    _shown_figure()
    check_file(path)


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise UsageError("plot", f"is {path.name!r}", f"end it in {', '.join(SUFFIXES)}")


def _shown_figure() -> type[ShownFigure]:
    try:
        from mergecast.forecast.figure import ShownFigure
    except ImportError as error:
        raise UsageError(
            "plot", "needs matplotlib", "install mergecast[plot], or look at --report"
        ) from error
    return ShownFigure


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure; raises UsageError for another suffix, and ResourceError."""
    path = Path(path)
    _check_suffix(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    except OSError as error:
        raise ResourceError(str(path), f"cannot be written: {error}", "name another") from error
    return path


def _map(axes: Any, best: pd.DataFrame) -> None:
    """What the row's model keeps beside the column's."""
    names = sorted({*best["left"], *best["right"]})
    place = {name: i for i, name in enumerate(names)}
    values: Floats = np.full((len(names), len(names)), np.nan)
    for one in best.to_dict("records"):
        other = one["right"] if one["member"] == one["left"] else one["left"]
        values[place[one["member"]], place[other]] = one["retention"]
    low = min(float(np.nanmin(values)), 0.8)
    image = axes.imshow(values, cmap="viridis", vmin=low, vmax=max(1.0, float(np.nanmax(values))))
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    for row, column in np.argwhere(np.isfinite(values)) if len(names) <= _MOST_NUMBERS else ():
        ink = "black" if image.norm(values[row, column]) > _LIGHT else "white"
        text = f"{values[row, column]:.2f}"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="retention")
    axes.set_title("what the row keeps beside the column,\nby the best method of each pair")


def _curves(axes: Any, curves: pd.DataFrame) -> None:
    """What sets keep over strength, with their intervals."""
    groups = list(curves.groupby(["method", "members"], sort=False))[:_MOST_CURVES]
    for (_, members), rows in groups:
        label = " + ".join(split_members(str(members)))
        [line] = axes.plot(rows["strength"], rows["kept"], label=label)
        axes.fill_between(
            rows["strength"], rows["low"], rows["high"], color=line.get_color(), alpha=0.08
        )
    axes.set_xlabel(f"strength of {curves['method'].iloc[0]}")
    axes.set_ylabel("kept in the mean")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("what is kept over strength, with 90 % intervals")


def _beside(axes: Any, beside: pd.DataFrame) -> None:
    """Measured members over what was forecast before any of them was measured."""
    for method, rows in beside.dropna(subset="before").groupby("method", sort=True):
        axes.scatter(rows["before"], rows["measured"], s=18, alpha=0.7, label=str(method))
    ends = [*axes.get_xlim(), *axes.get_ylim()]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], "--", color="#888", linewidth=1)
    axes.set_xlabel("forecast before it was measured")
    axes.set_ylabel("measured")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("what members keep: measured beside forecast")


def _of_best(depth: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The layers of the pair that is forecast to keep most."""
    known = pairs.dropna(subset="retention").sort_values("retention", ascending=False)
    best = known.iloc[0]
    rows = depth[(depth["left"] == best["left"]) & (depth["right"] == best["right"])]
    return rows if len(rows) else depth[: depth["layer"].nunique()]


def _depth(axes: Any, depth: pd.DataFrame) -> None:
    """Parts of the squared distance between two task vectors, from the input down."""
    layers, place = depth["layer"].tolist(), np.arange(len(depth))
    axes.barh(place, depth["apart"], color="#0072b2")
    step = -(-len(layers) // _MOST_LAYERS)
    axes.set_yticks(place[::step], layers[::step], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("part of the squared distance between the task vectors")
    axes.grid(axis="x", alpha=0.3)
    first = depth.iloc[0]
    axes.set_title(f"where {first['left']} and {first['right']} lie apart, by layer")
