"""Geometry of the page's pictures: numbers to SVG coordinates, no markup.

Inline SVG and not Plotly: its library alone is 4.5 MB a page, and a page of pictures that need no
interaction should open at once, print, and be read by a screen reader.
"""

from __future__ import annotations

import math
from itertools import count
from typing import Any, TypeAlias

from mergecast.report.model import MemberRow, Number
from mergecast.report.views import PairEntry

#: Retention at the two ends of an axis or of the colour scale; values beyond it are cut.
Domain: TypeAlias = tuple[float, float]

SIDE = 260.0
MARGIN = 34.0
_CELL_BOX = 240.0

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


def scatter(rows: list[MemberRow], domain: Domain) -> dict[str, Any]:
    """One method's members: forecast on x, measured on y, the interval upright at x.

    Parameters
    ----------
    rows : list[MemberRow]
        Of a summary; those without forecast or outcome are counted in `n_left_out`.
    domain : Domain
        Of both axes.

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
        points.append(
            {
                "x": _short(x),
                "y": _short(_up(row["measured"], domain)),
                "inside": row["inside"],
                "label": f"{row['member']} in {row['left']} + {row['right']}: "
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
                "text": f"{value:.2g}",
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
        `cells` (x, y, fill, label), `labels` (text, at), `size` of a cell, `box` of the square.
    """
    place = {name: i for i, name in enumerate(names)}
    size = _CELL_BOX / max(len(names), 1)
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
            cells.append(
                {
                    "x": _short(place[column] * size),
                    "y": _short(place[row] * size),
                    "fill": None if value is None else colour(value, domain),
                    "label": f"{left} + {right}, {word}: {text}",
                }
            )
    labels = [{"text": name, "at": _short((i + 0.5) * size)} for i, name in enumerate(names)]
    return {"cells": cells, "labels": labels, "size": _short(size), "box": _CELL_BOX}


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
    share = min(max((value - domain[0]) / (domain[1] - domain[0]), 0.0), 1.0)
    place = share * (len(_VIRIDIS) - 1)
    i = min(int(place), len(_VIRIDIS) - 2)
    mixed = (
        round(a + (place - i) * (b - a)) for a, b in zip(_VIRIDIS[i], _VIRIDIS[i + 1], strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def scale(domain: Domain) -> list[dict[str, Any]]:
    """The colour scale's legend: nine steps of value and colour."""
    steps = [domain[0] + i * (domain[1] - domain[0]) / 8 for i in range(9)]
    return [{"text": f"{value:.2f}", "fill": colour(value, domain)} for value in steps]


def _along(value: float, domain: Domain) -> float:
    share = min(max((value - domain[0]) / (domain[1] - domain[0]), 0.0), 1.0)
    return MARGIN + share * (SIDE - MARGIN - 8)


def _up(value: float, domain: Domain) -> float:
    return SIDE - _along(value, domain)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
