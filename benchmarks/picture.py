"""The README's picture: every measured suite forecast from the suites of other kinds.

python benchmarks/picture.py [-o docs/forecast.svg]

A dot is a pair of models merged by one of six methods: what the two keep of their own scores on
average, forecast by a forecaster that never saw models of the kind, and measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import mergecast as mc
from mergecast.forecast.rows import ROW_KEYS, kin
from mergecast.forecast.shipped import measured_folders
from mergecast.report.plots import ticks
from mergecast.suites.merges import SIX

TITLES = {
    "digits-14": "small ViTs, digits",
    "text-15/minilm-l3/lora": "MiniLM-L3 by LoRA, texts",
    "text-15/minilm-l3": "MiniLM-L3, texts",
    "text-15/minilm-l6": "MiniLM-L6, texts",
    "image-11/dinov2-small": "DINOv2, pictures",
    "image-11/efficientnet-lite0": "EfficientNet, pictures",
}
SIDE, GAP, TOP, LEFT, BOTTOM = 200, 56, 46, 52, 46
IN_A_ROW = 3
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7a5c00")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/forecast.svg"))
    out = parser.parse_args().out
    pairs, outcomes = mc.load_run(*measured_folders())
    found = {}
    for suite in pairs.suites:
        others = [one for one in pairs.suites if kin(one) != kin(suite)]
        forecaster = mc.Forecaster.fit(
            pairs.keep(pairs.frame["suite"].isin(others)),
            outcomes.keep(outcomes.frame["suite"].isin(others)),
            warm=False,
        )
        told = forecaster.forecast(pairs.keep(pairs.frame["suite"] == suite)).rows
        truth = outcomes.keep(outcomes.frame["suite"] == suite).members()
        rows = told[told["method"].isin(SIX)].merge(
            truth.rename(columns={"retention": "measured"}), on=[*ROW_KEYS, "method"]
        )
        keys = ["left", "right", "method"]
        found[suite] = rows.groupby(keys)[["retention", "measured"]].mean().dropna().reset_index()
        error = (found[suite]["retention"] - found[suite]["measured"]).abs().mean()
        print(f"{suite}: {len(found[suite])} merges, error {error:.3f}")
    out.write_text(svg(found), encoding="utf-8")
    print(out)


def svg(found: dict[str, pd.DataFrame]) -> str:
    """Panels in rows, one a suite, on axes of their own."""
    n_rows = -(-len(found) // IN_A_ROW)
    width = LEFT + min(len(found), IN_A_ROW) * (SIDE + GAP)
    height = n_rows * (TOP + SIDE + BOTTOM) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>Forecast against measured retention of merges on {len(found)} suites that the "
        "forecaster never saw</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff" rx="8"/>',
    ]
    for place, (suite, table) in enumerate(found.items()):
        row, column = divmod(place, IN_A_ROW)
        at = (column * (SIDE + GAP), row * (TOP + SIDE + BOTTOM))
        parts += [f'<g transform="translate{at}">', *_panel(suite, table), "</g>"]
    x, y = LEFT, height - 10
    for colour, method in zip(COLOURS, SIX, strict=True):
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 8}" y="{y}" fill="#444">{method}</text>')
        x += 26 + 7 * len(method)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(suite: str, table: pd.DataFrame, left: float = LEFT) -> list[str]:
    values = table[["retention", "measured"]].to_numpy()
    low, high = np.floor(values.min() * 20) / 20, np.ceil(values.max() * 20) / 20

    def along(value: float) -> float:
        return round((value - low) / (high - low) * SIDE, 1)

    error = np.abs(values[:, 0] - values[:, 1]).mean()
    own = np.mean(
        [
            np.abs(one["measured"] - one["measured"].mean()).mean()
            for _, one in table.groupby("method")
        ]
    )
    title = next((text for key, text in TITLES.items() if suite.startswith(key)), suite)
    bottom = TOP + SIDE
    parts = [
        f'<text x="{left}" y="18" font-weight="600" fill="#1d2126">{title}</text>',
        f'<text x="{left}" y="35" fill="#555">error {error:.3f}; of its own mean {own:.3f}</text>',
        f'<rect x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="#fbfbfa" '
        'stroke="#d0d3d7"/>',
        f'<path d="M{left} {bottom}L{left + SIDE} {TOP}" stroke="#888" stroke-dasharray="4 4"/>',
    ]
    for value in ticks((float(low), float(high))):
        x, y = left + along(value), bottom - along(value)
        parts.append(
            f'<text x="{x}" y="{bottom + 15}" text-anchor="middle" fill="#555">{value:.2g}</text>'
        )
        parts.append(
            f'<text x="{left - 5}" y="{y + 4}" text-anchor="end" fill="#555">{value:.2g}</text>'
        )
    for colour, method in zip(COLOURS, SIX, strict=True):
        for one in table[table["method"] == method].itertuples():
            x, y = left + along(one.retention), bottom - along(one.measured)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}" fill-opacity=".65"/>'
            )
    middle = left + SIDE / 2
    parts.append(
        f'<text x="{middle}" y="{bottom + 32}" text-anchor="middle" fill="#1d2126">forecast</text>'
    )
    parts.append(
        f'<text transform="translate({left - 34} {TOP + SIDE / 2}) rotate(-90)" '
        f'text-anchor="middle" fill="#1d2126">measured</text>'
    )
    return parts


if __name__ == "__main__":
    main()
