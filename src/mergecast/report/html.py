"""The report as one self-contained HTML page: no script, style, font or picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mergecast.report import plots
from mergecast.report.model import Summary
from mergecast.report.strengths import STRENGTHS_ARE
from mergecast.report.table import number, percent
from mergecast.report.verdicts import LEAST_GAIN
from mergecast.report.views import PairEntry, pair_entries
from mergecast.runtime.files import write_text

# Above this many tasks a heatmap's names would overlap; the tooltips still name each cell.
_MOST_LABELS = 24


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
    return made


def render_html(summary: Summary) -> str:
    """A summary (`summarise_run`, `summarise_forecast`) as an HTML page.

    Everything in it is escaped: names of tasks and models are text, whatever they contain.
    """
    page = environment().get_template("page.html.j2")
    text: str = page.render(s=summary, strengths_are=STRENGTHS_ARE, **_pictures(summary))
    return text + "\n"


def write_html(summary: Summary, path: str | Path) -> Path:
    """Write the page atomically; raises ResourceError."""
    return write_text(Path(path), render_html(summary))


def wbr(name: str) -> str:
    """A name that may be broken after its underscores, escaped."""
    from markupsafe import Markup

    return Markup("_<wbr>").join(name.split("_"))


def _pictures(summary: Summary) -> dict[str, Any]:
    """What the templates draw, beside the summary itself."""
    entries = pair_entries(summary)
    rows, methods = summary["rows"], [entry["method"] for entry in summary["methods"]]
    measured = summary["kind"] == "run"
    # One domain for all methods: panels side by side can be compared by eye.
    members = plots.domain_of([v for row in rows for v in (row["predicted"], row["measured"])])
    pairs = members
    if measured:
        pairs = plots.domain_of([v for e in entries for v in (e["predicted"], e["measured"])])
    scatters = [
        {"title": method, **plots.scatter([r for r in rows if r["method"] == method], members)}
        for method in methods
        if measured
    ]
    return {
        "entries": entries,
        "scatters": scatters,
        "heatmaps": list(_heatmaps(entries, methods, pairs)),
        "scale": plots.scale(pairs),
        "side": plots.SIDE,
        "margin": plots.MARGIN,
        "most_labels": _MOST_LABELS,
        "least_gain": LEAST_GAIN,
    }


def _heatmaps(
    entries: list[PairEntry], methods: list[str], domain: plots.Domain
) -> Iterator[dict[str, Any]]:
    """One map a suite and method."""
    suites = sorted({entry["suite"] for entry in entries})
    for suite in suites:
        pairs = [entry for entry in entries if entry["suite"] == suite]
        names = sorted({name for entry in pairs for name in (entry["left"], entry["right"])})
        for method in methods:
            cells = [entry for entry in pairs if entry["method"] == method]
            title = method if len(suites) == 1 else f"{method}, {suite}"
            yield {"title": title, **plots.heatmap(cells, names, domain)}
