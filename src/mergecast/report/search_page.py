"""The page about a search: what was found, how it was found, what was never tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergecast.report import plots
from mergecast.report.html import environment
from mergecast.runtime.files import write_text

_WIDTH, _HEIGHT = 560.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 12.0, 30.0


def render_search_page(found: Mapping[str, Any]) -> str:
    """A search, as `SearchResult.to_dict` gives it, as one self-contained HTML page."""
    page = environment().get_template("search.html.j2")
    tried = [one for one in found["tried"] if one["forecast"] is not None]
    values = [one[key] for one in tried for key in ("forecast", "measured")]
    domain = plots.domain_of(values)
    rows: list[Any] = [
        {
            "member": one["recipe"],
            "left": one["members"],
            "right": f"{one['samples']} samples",
            "predicted": one["forecast"],
            "measured": one["measured"],
            "lower": None,
            "upper": None,
            "inside": None,
        }
        for one in tried
    ]
    text: str = page.render(
        s=found,
        curve=path_curve(found["path"]),
        scatter={"title": "merges that were measured", **plots.scatter(rows, domain)},
        side=plots.SIDE,
        margin=plots.MARGIN,
        width=_WIDTH,
        height=_HEIGHT,
    )
    return text + "\n"


def write_search_page(found: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page atomically; raises ResourceError."""
    return write_text(Path(path), render_search_page(found))


def path_curve(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best merge so far over measurements, and what each of these gave.

    Parameters
    ----------
    steps : sequence of mapping
        Rows of `SearchResult.path`.

    Returns
    -------
    dict
        `line`, the SVG path of the objective of the merge then thought best; `dots` (x, y, label)
        of what was measured; `ticks_x`, `ticks_y` (at, text).
    """
    count = max(len(steps), 1)
    values = [one["value"] for one in steps]
    measured = [one["measured"] for one in steps]
    # What a first look at a bad merge gave would flatten the rest.
    low, high = plots.domain_of([*values, *(v for v in measured if v >= min(values) - 0.1)])

    def x(look: float) -> float:
        span = max(count - 1, 1)
        return round(_LEFT + (look - 1) / span * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    line = "".join(
        f"{'L' if place else 'M'}{x(one['look'])} {y(one['value'])}"
        for place, one in enumerate(steps)
    )
    dots = [
        {
            "x": x(one["look"]),
            "y": y(one["measured"]),
            "label": f"{one['look']}: {one['members']} by {one['recipe']}, "
            f"{one['measured']:.3f} on {one['samples']} samples",
        }
        for one in steps
    ]
    every = max(count // 6, 1)
    return {
        "line": line,
        "dots": dots,
        "ticks_x": [{"at": x(look), "text": str(look)} for look in range(1, count + 1, every)],
        "ticks_y": [{"at": y(v), "text": f"{v:.3g}"} for v in plots.ticks((low, high))],
    }
