"""The report as one self-contained HTML page: no script, style, font or picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mergecast.forecast.recommend import MERGE
from mergecast.report import plots
from mergecast.report.beside_panels import beside_panels
from mergecast.report.depth_panels import DEPTH_IS, depth_panel, shown_pairs
from mergecast.report.model import FamilySummary, RunSummary, Summary
from mergecast.report.reasons import in_words
from mergecast.report.set_model import BestStrength, StrengthCurve
from mergecast.report.strengths import STRENGTHS_ARE
from mergecast.report.table import number, percent
from mergecast.report.verdicts import LEAST_GAIN
from mergecast.report.views import PairEntry, pair_entries
from mergecast.runtime.files import write_text

# Above this many tasks a heatmap's names would overlap; the tooltips still name each cell.
_MOST_LABELS = 24
#: The map of each pair's advised method.
BEST = "the best method of each pair"
_FRAME = ("width", "height", "left", "right", "top", "bottom")


def environment() -> Any:
    """Where templates are found, and what they may call; everything in them is escaped."""
    # Here, so that the command line starts without it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("mergecast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    signed = partial(number, signed=True)
    made.filters |= {"signed": signed, "fixed": number, "percent": percent, "wbr": wbr}
    made.filters["in_words"] = in_words
    return made


def render_html(summary: Summary) -> str:
    """A summary (`summarise_run`, `summarise_forecast`) as an HTML page.

    Everything in it is escaped: names of tasks and models are text, whatever they contain.
    """
    page = environment().get_template(f"{summary['kind']}.html.j2")
    pictures = _of_run(summary) if summary["kind"] == "run" else _of_forecast(summary)
    text: str = page.render(
        s=summary,
        most_labels=_MOST_LABELS,
        least_gain=LEAST_GAIN,
        entries=pair_entries(summary),
        side=plots.SIDE,
        margin=plots.MARGIN,
        **pictures,
    )
    return text + "\n"


def write_html(summary: Summary, path: str | Path) -> Path:
    """Write the page atomically; raises ResourceError."""
    return write_text(Path(path), render_html(summary))


def wbr(name: str) -> str:
    """A name that may be broken after its underscores, escaped."""
    from markupsafe import Markup

    return Markup("_<wbr>").join(name.split("_"))


def _of_run(summary: RunSummary) -> dict[str, Any]:
    """What the page of a run draws beside the summary itself."""
    entries, rows = pair_entries(summary), summary["rows"]
    methods = [entry["method"] for entry in summary["methods"]]
    # One domain for all methods: panels side by side can be compared by eye.
    members = plots.domain_of([v for row in rows for v in (row["predicted"], row["measured"])])
    pairs = plots.domain_of([v for e in entries for v in (e["predicted"], e["measured"])])
    scatters = [
        {"title": method, **plots.scatter([r for r in rows if r["method"] == method], members)}
        for method in methods
    ]
    return {
        "scatters": scatters,
        "heatmaps": [
            one for method in methods for one in _heatmaps(entries, method, pairs, method)
        ],
        "scale": plots.scale(pairs),
        "advice": summary["pairs"],
    }


def _of_forecast(summary: FamilySummary) -> dict[str, Any]:
    """What the page of a forecast draws: the best method of each pair before any one method."""
    entries = pair_entries(summary)
    domain = plots.domain_of([row["predicted"] for row in summary["rows"]])
    told = sorted({row["method"] for row in summary["rows"] if row["predicted"] is not None})
    best = [entry for entry in entries if entry["advised"]]
    maps = list(_heatmaps(best, BEST, domain)) if best else []
    for method in told or sorted({row["method"] for row in summary["rows"]}):
        maps += _heatmaps(entries, method, domain, method)
    ranked = sorted(
        summary["pairs"], key=lambda one: (one["advice"] != MERGE, -(one["predicted"] or 0.0))
    )
    best_of = {(e["method"], *e["members"]): e for e in summary.get("strengths", [])}
    drawn = summary.get("curves", [])
    up = plots.domain_of([value for one in drawn for value in (*one["kept"], *one["low"])])
    curves = [
        strength_panel(one, up, best_of.get((one["method"], *one["members"]))) for one in drawn
    ]
    drawn_layers = shown_pairs(summary)
    return {
        "heatmaps": maps,
        "curves": curves,
        "strengths_are": STRENGTHS_ARE,
        "scale": plots.scale(domain),
        "advice": ranked,
        **beside_panels(summary),
        "depth_pairs": drawn_layers,
        "depth": [depth_panel(one) for one in drawn_layers],
        "depth_is": DEPTH_IS,
        "names": sorted({name for one in entries for name in (one["left"], one["right"])}),
    }


def strength_panel(
    curve: StrengthCurve, up: plots.Domain, chosen: BestStrength | None
) -> dict[str, Any]:
    """A set's retention over strength: line, band, the best strength and the default one.

    Parameters
    ----------
    curve : StrengthCurve
        At one strength or more.
    up : Domain
        Of the axis upwards, the same for all panels.
    chosen : BestStrength or None
        The set's best strength, which lies between points of the curve, and the method's where
        nobody chooses, which is not drawn beyond the curve's end; None takes the best point.
    """
    strengths, kept = curve["strengths"], curve["kept"]
    frame = plots.Frame((0.0, max(strengths)), up, width=320.0, height=200.0)
    most = max(kept)
    strength, default = strengths[kept.index(most)], None
    if chosen is not None:
        strength, most, default = chosen["strength"], chosen["kept"], chosen["default"]
    there = frame.line(strengths, curve["high"])
    back = frame.line(strengths[::-1], curve["low"][::-1]).replace("M", "L", 1)
    return {
        "title": " + ".join(curve["members"]),
        "method": curve["method"],
        "said": f"{number(most, 2)} at {number(strength, 2)}",
        "line": frame.line(strengths, kept),
        "band": f"{there}{back}Z",
        "best": {"x": frame.x(strength), "y": frame.y(most)},
        "usual": frame.x(default) if default is not None and default <= max(strengths) else None,
        "ticks_x": frame.ticks_x,
        "ticks_y": frame.ticks_y,
        **{name: getattr(frame, name) for name in _FRAME},
    }


def _heatmaps(
    entries: list[PairEntry], title: str, domain: plots.Domain, method: str | None = None
) -> Iterator[dict[str, Any]]:
    """One map a suite, of one method's entries or of all."""
    entries = [one for one in entries if method in (None, one["method"])]
    suites = sorted({entry["suite"] for entry in entries})
    for suite in suites:
        cells = [entry for entry in entries if entry["suite"] == suite]
        names = sorted({name for entry in cells for name in (entry["left"], entry["right"])})
        named = title if len(suites) == 1 else f"{title}, {suite}"
        yield {"title": named, **plots.heatmap(cells, names, domain)}
