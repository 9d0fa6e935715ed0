"""Geometry of the page's pictures: numbers to SVG coordinates, no markup.

Inline SVG and not Plotly: its library alone is 4.5 MB a page, and a page of pictures that need no
interaction should open at once, print, and be read by a screen reader.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

from mergecast.report.model import MemberRow, Number
from mergecast.report.views import PairEntry

#: Retention at the two ends of an axis or of the colour scale; values beyond it are cut.
Domain: TypeAlias = tuple[float, float]

SIDE = 260.0
MARGIN = 40.0
_CELL_BOX = 240.0
#: The size of a map's numbers that are still read, and how much of a cell four digits take.
_SMALLEST, _OF_A_CELL = 6.0, 0.3

# Viridis at eight even steps: ordered in lightness, safe for the colour-blind (van der Walt and
# Smith, 2015, CC0).
_VIRIDIS = [
    (68, 1, 84),
    (70, 50, 126),
    (54, 92, 141),
    (39, 127, 142),
    (31, 161, 135),
    (74, 193, 109),
    (160, 218, 57),
    (253, 231, 37),
]


def scatter(rows: list[MemberRow], domain: Domain, *, by_method: bool = False) -> dict[str, Any]:
    """Members: forecast on x, measured on y, the interval upright at x.

    Parameters
    ----------
    rows : list[MemberRow]
        Of a summary; those without forecast or outcome are counted in `n_left_out`.
    domain : Domain
        Of both axes.
    by_method : bool
        Labels say the method.

    Returns
    -------
    dict[str, Any]
        `points` (x, y, inside, label), `intervals` (one SVG path), `ticks` (position on x, on y,
        text), `n_inside`, `n_intervals`, `n_left_out`.
    """
    points, segments = [], []
    for row in rows:
        if row["predicted"] is None or row["measured"] is None:
            continue
        x = _along(row["predicted"], domain)
        by = f" by {row['method']}" if by_method else ""
        points.append(
            {
                "x": _short(x),
                "y": _short(_up(row["measured"], domain)),
                "inside": row["inside"],
                "label": f"{row['member']} in {row['left']} + {row['right']}{by}: "
                f"forecast {row['predicted']:.3f}, measured {row['measured']:.3f}",
            }
        )
        if row["lower"] is not None and row["inside"] is not None:
            upper = domain[1] if row["upper"] is None else row["upper"]
            low, high = _up(row["lower"], domain), _up(upper, domain)
            segments.append(f"M{_short(x)} {_short(low)}V{_short(high)}")
    judged = [point for point in points if point["inside"] is not None]
    return {
        "points": points,
        "intervals": "".join(segments),
        "ticks": [
            {
                "x": _short(_along(value, domain)),
                "y": _short(_up(value, domain)),
                "text": f"{value:.3g}",
            }
            for value in ticks(domain)
        ],
        "n_inside": sum(point["inside"] for point in judged),
        "n_intervals": len(judged),
        "n_left_out": len(rows) - len(points),
    }


def heatmap(entries: list[PairEntry], names: list[str], domain: Domain) -> dict[str, Any]:
    """One method's pairs as a square of coloured cells.

    Where anything was measured: measured below the diagonal, forecast above it. Otherwise the cell
    holds what the row's model is forecast to keep when merged with the column's.

    Parameters
    ----------
    entries : list[PairEntry]
        Of one suite and method.
    names : list[str]
        Tasks in the order of rows and columns.
    domain : Domain
        Of the colour scale.

    Returns
    -------
    dict[str, Any]
        `cells` (x, y, fill, label; text and ink where there is room), `labels` (text, at), `size`
        of a cell and of its `letters`, `box` of the square.
    """
    place = {name: i for i, name in enumerate(names)}
    size = _CELL_BOX / max(len(names), 1)
    letters = min(size * _OF_A_CELL, 11.0)
    measured = any(entry["measured"] is not None for entry in entries)
    cells = []
    for entry in entries:
        left, right = entry["left"], entry["right"]
        low, high = sorted((left, right), key=place.__getitem__)
        if measured:
            shown = [
                (high, low, entry["measured"], "measured"),
                (low, high, entry["predicted"], "forecast"),
            ]
        else:
            shown = [
                (m["member"], right if m["member"] == left else left, m["predicted"], m["member"])
                for m in entry["members"]
            ]
        for row, column, value, word in shown:
            text = "no value" if value is None else f"{value:.3f}"
            cell = {
                "x": round(place[column] * size, 1),
                "y": round(place[row] * size, 1),
                "fill": None if value is None else colour(value, domain),
                "label": f"{left} + {right}, {word}: {text}",
            }
            if value is not None and letters >= _SMALLEST:
                cell |= {"text": f"{value:.2f}", "ink": ink(value, domain)}
            cells.append(cell)
    labels = [{"text": name, "at": _short((i + 0.5) * size)} for i, name in enumerate(names)]
    return {
        "cells": cells,
        "labels": labels,
        "size": round(size, 1),
        "box": _CELL_BOX,
        "letters": _short(letters),
    }


@dataclass(frozen=True)
class Frame:
    """The axes of a curve: values to SVG coordinates.

    Attributes
    ----------
    across, up : Domain
        Values at the ends of the axes; what lies beyond is cut.
    width, height : float
        Of the whole picture.
    """

    across: Domain
    up: Domain
    width: float = 560.0
    height: float = 240.0
    left = 46.0
    top = 12.0

    @property
    def right(self) -> float:
        """Where the axis across ends."""
        return self.width - 12.0

    @property
    def bottom(self) -> float:
        """Where the axis upwards begins."""
        return self.height - 30.0

    def x(self, value: float) -> float:
        """Place across."""
        return round(self.left + _share(value, self.across) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Place upwards."""
        return round(self.bottom - _share(value, self.up) * (self.bottom - self.top), 1)

    def line(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """The SVG path through points."""
        places = [f"{self.x(x)} {self.y(y)}" for x, y in zip(xs, ys, strict=True)]
        return f"M{'L'.join(places)}" if places else ""

    @property
    def ticks_y(self) -> list[dict[str, Any]]:
        """Round values upwards: where they are, and their text."""
        return [{"at": self.y(v), "text": f"{v:.3g}"} for v in ticks(self.up)]

    @property
    def ticks_x(self) -> list[dict[str, Any]]:
        """Round values across."""
        return [{"at": self.x(v), "text": f"{v:.3g}"} for v in ticks(self.across)]


def domain_of(values: list[Number]) -> Domain:
    """Tenths of retention that hold all values and 1, at least 0.2 wide."""
    held = [value for value in values if value is not None] + [1.0]
    low = math.floor(round(min(held) * 10, 6)) / 10
    high = math.ceil(round(max(held) * 10, 6)) / 10
    return (min(low, high - 0.2), high)


def ticks(domain: Domain) -> list[float]:
    """Three to seven round values within the domain."""
    span = domain[1] - domain[0]
    steps = (digit * 10.0**power for power in count(-2) for digit in (1, 2, 5))
    step = next(step for step in steps if span / step <= 6 + 1e-9)
    first = math.ceil(round(domain[0] / step, 6))
    last = math.floor(round(domain[1] / step, 6))
    return [round(i * step, 6) for i in range(first, last + 1)]


def colour(value: float, domain: Domain) -> str:
    """Viridis at `value`, as ``#rrggbb``; values beyond the domain take its end's colour."""
    place = _share(value, domain) * (len(_VIRIDIS) - 1)
    i = min(int(place), len(_VIRIDIS) - 2)
    mixed = (
        round(a + (place - i) * (b - a)) for a, b in zip(_VIRIDIS[i], _VIRIDIS[i + 1], strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def ink(value: float, domain: Domain) -> str:
    """Black or white, whichever is read better on the colour of a value."""
    fill = colour(value, domain)
    parts = [int(fill[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    # Relative luminance of WCAG 2; at 0.179 black and white contrast alike.
    luminance = sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000" if luminance > 0.179 else "#fff"


def scale(domain: Domain) -> list[dict[str, Any]]:
    """The colour scale's legend: nine steps of value and colour."""
    steps = [domain[0] + i * (domain[1] - domain[0]) / 8 for i in range(9)]
    return [{"text": f"{value:.2f}", "fill": colour(value, domain)} for value in steps]


def _share(value: float, domain: Domain) -> float:
    return min(max((value - domain[0]) / (domain[1] - domain[0]), 0.0), 1.0)


def _along(value: float, domain: Domain) -> float:
    return MARGIN + _share(value, domain) * (SIDE - MARGIN - 8)


def _up(value: float, domain: Domain) -> float:
    return SIDE - _along(value, domain)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
