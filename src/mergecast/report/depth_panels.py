"""Where in depth two task vectors lie apart, of the best pairs and the worst: pictures and tables.

It describes the weights and is no reason for a forecast: on models whose layers were merged one at
a time it did not tell the layer that a merge does harm in (`benchmarks/layers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pandas as pd

from mergecast.report.depth_model import LayerRow, PairLayers
from mergecast.report.model import FamilySummary, PairAdvice
from mergecast.report.table import Table, number, percent
from mergecast.tables.plain import records

DEPTH_IS = (
    "This describes the weights; no forecast is made of it. On two families whose layers were "
    "merged one at a time it did not tell which layer a merge does harm in."
)
#: Pairs drawn, at each end of how much is kept.
_BEST, _WORST = 3, 3
#: A picture's height for its layers, a row at most and at least, and from when on it is named.
_HEIGHT, _ROW, _LEAST_ROW, _NAMED_ROW = 300.0, 16.0, 4.0, 9.0
_WIDTH, _NAMES, _GAP, _TOP = 330.0, 96.0, 14.0, 16.0
_LETTERS = 17


def pair_layers(depth: pd.DataFrame) -> list[PairLayers]:
    """One entry a pair, of `Forecast.depth`."""
    return [
        {
            "left": str(left),
            "right": str(right),
            "layers": cast("list[LayerRow]", records(rows.drop(columns=["left", "right"]))),
        }
        for (left, right), rows in depth.groupby(["left", "right"], sort=False)
    ]


def shown_pairs(summary: FamilySummary) -> list[PairLayers]:
    """The pairs forecast to keep most, then those to keep least; without forecasts the first."""
    by_names = {(one["left"], one["right"]): one for one in summary.get("layers", [])}
    known = [one for one in summary["pairs"] if (one["left"], one["right"]) in by_names]
    ranked = sorted(known, key=_kept, reverse=True)
    if len(ranked) > _BEST + _WORST:
        told = [one for one in ranked if one["predicted"] is not None]
        ranked = [*told[:_BEST], *told[_BEST:][-_WORST:]] or ranked[:_BEST]
    return [by_names[one["left"], one["right"]] for one in ranked]


def depth_panel(pair: PairLayers) -> dict[str, Any]:
    """A row a layer: on the left its part of the distance, on the right the cosine.

    Parameters
    ----------
    pair : PairLayers
        Of one layer or more.
    """
    layers = pair["layers"]
    row = min(_ROW, max(_HEIGHT / len(layers), _LEAST_ROW))
    column = (_WIDTH - _NAMES - _GAP) / 2
    middle = _NAMES + column + _GAP + column / 2
    most = max((one["apart"] or 0.0 for one in layers), default=0.0) or 1.0
    widest = max(layers, key=lambda one: one["apart"] or 0.0)
    step = max(1, round(_NAMED_ROW / row))
    bars = []
    for i, one in enumerate(layers):
        apart, cosine = one["apart"] or 0.0, one["cosine"] or 0.0
        turn = cosine * column / 2
        bars.append(
            {
                "y": round(_TOP + i * row, 1),
                "apart": round(column * apart / most, 1),
                "x": round(middle + min(turn, 0.0), 1),
                "turn": round(abs(turn), 1),
                "against": cosine < 0,
                "name": _short(one["layer"]) if i % step == 0 else "",
                "label": f"{one['layer']}: {percent(one['apart'])} of the distance, cosine "
                f"{number(one['cosine'], 2)}",
            }
        )
    return {
        "title": f"{pair['left']} + {pair['right']}",
        "said": f"most in {widest['layer']}, {percent(widest['apart'])}",
        "bars": bars,
        "thick": round(row * 0.8, 1),
        "names": _NAMES,
        "most": percent(most),
        "ends": {"apart": _NAMES + column, "from": _NAMES + column + _GAP, "to": _WIDTH},
        "middle": middle,
        "top": _TOP,
        "width": _WIDTH,
        "height": round(_TOP + len(layers) * row + 18, 1),
    }


def depth_parts(
    summary: FamilySummary, pairs: Sequence[tuple[str, str]] = ()
) -> Iterator[Table | str]:
    """Layers as rows, of some pairs or of the best and the worst; nothing where none is known.

    Parameters
    ----------
    summary : FamilySummary
        Of new models.
    pairs : sequence of tuple
        The pairs' two models each, in the order of their names.
    """
    shown = [one for one in summary.get("layers", []) if (one["left"], one["right"]) in pairs]
    if not pairs:
        shown = shown_pairs(summary)
        shown = shown if len(shown) < 3 else [shown[0], shown[-1]]
    for pair in shown:
        rows = [
            [
                one["layer"],
                percent(one["apart"]),
                number(one["cosine"], 2),
                f"{percent(one['left_share'])} and {percent(one['right_share'])}",
            ]
            for one in pair["layers"]
        ]
        columns = ["layer", "apart", "cosine", "of the two task vectors"]
        yield Table(f"{pair['left']} + {pair['right']}: task vectors by layer", columns, rows)
    if shown:
        yield (
            "apart: the layer's part of the squared distance between the two task vectors; cosine: "
            f"their direction in the layer. {DEPTH_IS}"
        )


def _kept(advice: PairAdvice) -> tuple[bool, float]:
    return advice["predicted"] is not None, advice["predicted"] or 0.0


def _short(name: str) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= _LETTERS else f"…{name[-_LETTERS + 1 :]}"
