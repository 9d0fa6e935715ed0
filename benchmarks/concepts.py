"""The pictures of docs/concepts.md: three drawings, and strengths as they were measured.

python benchmarks/concepts.py [-o docs]

concepts-strength.svg is from the tables that come with the package: what pairs kept in the mean by
`task_arithmetic` at 0.3, 0.7 and 1, and by `weight_avg`, which is the same at a half.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mergecast as mc
from mergecast.forecast.shipped import measured_folders

BASE, FIRST, SECOND, MERGED, DIM = "#1d2126", "#0072b2", "#009e73", "#d55e00", "#626a73"
STRENGTHS = {
    "task_arithmetic": 0.3,
    "weight_avg": 0.5,
    "task_arithmetic(scaling=0.7)": 0.7,
    "task_arithmetic(scaling=1)": 1.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("docs"))
    out = parser.parse_args().out
    for name, draw, size, title in (
        ("vectors", vectors, (5.2, 3.2), "Task vectors and a merge"),
        ("shifts", shifts, (5.2, 3.2), "Shifts of an answer add up"),
        ("interval", interval, (5.2, 2.2), "A forecast with its interval, and what was measured"),
        ("strength", strength, (5.2, 3.2), "What pairs keep over the strength of the merge"),
    ):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        with mpl.rc_context({"svg.hashsalt": "mergecast", "svg.fonttype": "none"}):
            figure.savefig(out / f"concepts-{name}.svg", metadata={"Date": None, "Title": title})
        print(out / f"concepts-{name}.svg")


def vectors(axis: Axes) -> None:
    """Base and two models in the plane of their task vectors, and the merges on the way."""
    first, second = np.array([3.0, 0.6]), np.array([0.8, 2.6])
    half = (first + second) / 2
    for end, colour, text in ((first, FIRST, "τ of A"), (second, SECOND, "τ of B")):
        _arrow(axis, (0, 0), end, colour)
        axis.annotate(text, end / 2, (6, -12), textcoords="offset points", color=colour)
    axis.plot(*zip((0, 0), half * 1.5, strict=True), ":", color=MERGED, linewidth=1.2)
    _point(axis, (0, 0), BASE, "base", (-10, -14))
    _point(axis, first, FIRST, "model A", (6, -4))
    _point(axis, second, SECOND, "model B", (-4, 8))
    _point(axis, half, MERGED, "average: strength 0.5 of each", (8, -4))
    _point(axis, half * 0.6, MERGED, "0.3", (8, -6))
    _point(axis, half * 1.4, MERGED, "0.7", (8, -4))
    _bare(axis, (-0.6, 4.6), (-0.5, 3.2))


def shifts(axis: Axes) -> None:
    """What a merge answers to one sample of A: the base's answer and two shifts."""
    own, other = np.array([2.2, 1.2]), np.array([0.9, -0.8])
    _arrow(axis, (0, 0), own, FIRST)
    _arrow(axis, own, own + other, SECOND)
    axis.annotate("shift of A", own / 2, (-58, 6), textcoords="offset points", color=FIRST)
    middle = own + other / 2
    axis.annotate("shift of B", middle, (6, 4), textcoords="offset points", color=SECOND)
    _point(axis, (0, 0), BASE, "answer of the base", (-8, -16))
    _point(axis, own + other, MERGED, "the sum: forecast", (8, -4))
    _point(axis, own + other + (-0.12, -0.42), "none", "what the merge answers", (8, -6), MERGED)
    _bare(axis, (-0.4, 5.4), (-0.6, 1.7))


def interval(axis: Axes) -> None:
    """Retention from 0.7 to 1.05: forecast, interval, threshold, measured."""
    axis.axvline(0.9, color=DIM, linestyle="--", linewidth=1)
    axis.annotate("0.9: below it, “do not merge”", (0.9, 1.62), (-4, 0),
                  textcoords="offset points", ha="right", color=DIM)  # fmt: skip
    for y, told, half, measured, name in ((1, 0.96, 0.05, 0.94, "A"), (0, 0.83, 0.08, 0.86, "B")):
        axis.plot([told - half, told + half], [y, y], color=FIRST, linewidth=5, alpha=0.3)
        axis.plot([told], [y], "o", color=FIRST, markersize=7)
        axis.plot([measured], [y], "D", color=MERGED, markersize=6)
        axis.annotate(f"{name} keeps {told:.2f}", (told, y), (0, 8), textcoords="offset points",
                      ha="center", color=FIRST)  # fmt: skip
    axis.annotate("measured", (0.86, 0), (0, -16), textcoords="offset points", ha="center",
                  color=MERGED)  # fmt: skip
    axis.set_yticks([])
    axis.set_ylim(-0.6, 1.9)
    axis.set_xlim(0.7, 1.05)
    axis.set_xlabel("retention: score in the merge over score alone")
    axis.spines[["top", "right", "left"]].set_visible(False)


def strength(axis: Axes) -> None:
    """As it was measured, a line a suite."""
    _, outcomes = mc.load_run(*measured_folders())
    pairs = outcomes.pairs()
    means = pairs.groupby(["suite", "method"])["retention"].mean()
    colours = (FIRST, MERGED, SECOND, "#cc79a7", "#e69f00", "#7a5c00")
    for colour, suite in zip(colours, sorted(pairs["suite"].unique()), strict=True):
        kept = [means[suite, method] for method in STRENGTHS]
        axis.plot(list(STRENGTHS.values()), kept, "o-", color=colour, label=suite, markersize=4)
        print(f"{suite}: " + ", ".join(f"{value:.3f}" for value in kept))
    axis.set_xlabel("strength of each task vector")
    axis.set_ylabel("mean retention of pairs")
    axis.legend(frameon=False, fontsize=8, ncol=2, loc="lower left", bbox_to_anchor=(0, 1))
    axis.spines[["top", "right"]].set_visible(False)


def _arrow(axis: Axes, start: object, end: object, colour: str) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2})


def _point(
    axis: Axes, at: object, colour: str, text: str, offset: tuple[int, int], edge: str = ""
) -> None:
    axis.plot([at[0]], [at[1]], "o", color=edge or colour, markerfacecolor=colour, markersize=7)
    axis.annotate(text, at, offset, textcoords="offset points", color=edge or colour)


def _bare(axis: Axes, across: tuple[float, float], up: tuple[float, float]) -> None:
    axis.set_xlim(*across)
    axis.set_ylim(*up)
    axis.axis("off")


if __name__ == "__main__":
    main()
