"""The pictures of `science.py`, by matplotlib (`mergecast[plot]`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#56b4e9", "#d55e00", "#c8ccd1")
TITLES = {
    "digits-14": "digits-14\nsmall ViTs",
    "image-11/dinov2-small": "image-11\nDINOv2-small",
    "image-11/efficientnet-lite0": "image-11\nEfficientNet-lite0",
    "text-15/minilm-l3": "text-15\nMiniLM-L3",
    "text-15/minilm-l3/lora": "text-15\nMiniLM-L3, LoRA",
    "text-15/minilm-l6": "text-15\nMiniLM-L6",
}


def draw_shares(shares: dict[str, pd.DataFrame], parts: Sequence[str], path: Path) -> None:
    """Stacked bars, one a recipe, a panel a suite."""
    figure, axes = figure_of(len(shares), width=11.0, height=3.6)
    for axis, (name, table) in zip(axes, shares.items(), strict=True):
        left = np.zeros(len(table))
        for part, colour in zip(parts, COLOURS, strict=True):
            values = table[part].to_numpy(dtype=float)
            axis.barh(range(len(table)), values, left=left, color=colour, height=0.8, label=part)
            left += values
        axis.set_title(TITLES.get(name, name), fontsize=9)
        axis.set_xlim(0, 1)
        axis.set_xticks([0, 0.5, 1], ["0", "50%", "100%"], fontsize=8)
        axis.set_yticks(range(len(table)), list(table.index), fontsize=8)
    axes[0].invert_yaxis()  # of all: they share it
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save(figure, path, "Shares of the variance of what a member keeps, by recipe and suite")


def draw_metrics(
    found: dict[str, pd.DataFrame],
    limits: dict[str, float],
    groups: Sequence[Sequence[str]],
    path: Path,
) -> None:
    """A row a metric, a panel a suite: mean r, its range over methods, the ceiling."""
    keys = [key for group in groups for key in group]
    figure, axes = figure_of(len(found), width=11.0, height=0.19 * len(keys) + 1.2)
    for axis, (name, table) in zip(axes, found.items(), strict=True):
        limit = limits[name]
        axis.axvspan(-limit, limit, color="#f1f4f7", zorder=0)
        axis.axvline(0, color="#888", linewidth=0.8)
        for place, key in enumerate(keys):
            if key not in table.index:
                continue
            row = table.loc[key]
            strong = row.significant > row.methods / 2
            colour = ("#d55e00" if row.r < 0 else "#0072b2") if strong else "#9aa3ad"
            axis.plot([row.low, row.high], [place] * 2, color=colour, linewidth=1.2, alpha=0.6)
            axis.plot([row.r], [place], "o", color=colour, markersize=4)
        axis.set_title(TITLES.get(name, name), fontsize=9)
        axis.set_xlim(-1, 1)
        axis.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "", "0", "", "1"], fontsize=8)
        axis.set_yticks(range(len(keys)), keys, fontsize=7)
        axis.set_ylim(len(keys) - 0.5, -0.5)
        axis.axhline(len(groups[0]) - 0.5, color="#c8ccd1", linewidth=0.8)
    save(figure, path, "Correlation of metrics with the retention of pairs, by suite")


def figure_of(n: int, width: float, height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    every = figure.subplots(rows, -(-n // rows), sharey=True, squeeze=False).ravel()
    axes = list(every[:n])
    for spare in every[n:]:
        spare.set_axis_off()
    for axis in axes:
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    return figure, axes


def save(figure: Figure, path: Path, title: str) -> None:
    """The same bytes for the same figures, text as text."""
    with mpl.rc_context({"svg.hashsalt": "mergecast", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None, "Title": title})
    print(f"\n{path}")
