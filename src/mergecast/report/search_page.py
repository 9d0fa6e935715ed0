"""The page about a search: what was found, how it was found, what was never tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergecast.display.kept import kept_table, own_of
from mergecast.report import plots
from mergecast.report.html import environment
from mergecast.runtime.files import write_text


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
            "right": f"{one['samples']} samples" if found["samples"] else "by the scorer",
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
        kept=kept_table(found),
        own=own_of(found),
        by=(found["verified"] or {}).get("scorer"),
        curve=path_curve(found["path"], sampled=bool(found["samples"])),
        scatter={"title": "merges that were measured", **plots.scatter(rows, domain)},
        side=plots.SIDE,
        margin=plots.MARGIN,
    )
    return text + "\n"


def write_search_page(found: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page atomically; raises ResourceError."""
    return write_text(Path(path), render_search_page(found))


def path_curve(steps: Sequence[Mapping[str, Any]], *, sampled: bool = True) -> dict[str, Any]:
    """The best merge so far over measurements, and what each of these gave.

    Parameters
    ----------
    steps : sequence of mapping
        Rows of `SearchResult.path`.
    sampled : bool
        Whether samples were measured; not by a scorer.

    Returns
    -------
    dict
        `line`, the SVG path of the objective of the merge then thought best; `dots` (x, y, label)
        of what was measured; `ticks_x`, `ticks_y` (at, text); `width` and `height`.
    """
    count = max(len(steps), 1)
    values = [one["value"] for one in steps]
    measured = [one["measured"] for one in steps]
    # What a first look at a bad merge gave would flatten the rest.
    up = plots.domain_of([*values, *(v for v in measured if v >= min(values) - 0.1)])
    frame = plots.Frame((1.0, max(count, 2)), up)
    dots = [
        {
            "x": frame.x(one["look"]),
            "y": frame.y(one["measured"]),
            "label": f"{one['look']}: {one['members']} by {one['recipe']}, "
            f"{one['measured']:.3f}" + (f" on {one['samples']} samples" if sampled else ""),
        }
        for one in steps
    ]
    looks = range(1, count + 1, max(count // 6, 1))
    return {
        "line": frame.line([one["look"] for one in steps], values),
        "dots": dots,
        "ticks_x": [{"at": frame.x(look), "text": str(look)} for look in looks],
        "ticks_y": frame.ticks_y,
        "width": frame.width,
        "height": frame.height,
    }
