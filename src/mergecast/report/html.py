"""The report as one self-contained HTML page: no script, style, font or picture from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mergecast.report import plots
from mergecast.report.scores import LEAST_GAIN
from mergecast.report.views import pair_entries
from mergecast.runtime.files import write_text

MISSING = "–"
# Above this many tasks a heatmap's names would overlap; the tooltips still name each cell.
_MOST_LABELS = 24


def render_html(summary: dict[str, Any]) -> str:
    """A summary (`summarise_run`, `summarise_forecast`) as an HTML page.

    Everything in it is escaped: names of tasks and models are text, whatever they contain.
    """
    # Here, so that the command line starts without it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mergecast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "signed": signed, "percent": percent, "wbr": wbr}
    page = environment.get_template("page.html.j2")
    return page.render(s=summary, **_pictures(summary)) + "\n"


def write_html(summary: dict[str, Any], path: str | Path) -> Path:
    """Write the page atomically; raises ResourceError."""
    return write_text(Path(path), render_html(summary))


def wbr(name: str) -> str:
    """A name that may be broken after its underscores, escaped."""
    from markupsafe import Markup

    return Markup("_<wbr>").join(name.split("_"))


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with `digits` decimals, a dash where it is missing; minus as a minus sign."""
    if value is None:
        return MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """As `fixed`, with its sign."""
    if value is None:
        return MISSING
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share in whole percent."""
    return MISSING if value is None else f"{value:.0%}".replace("-", "−")


def _pictures(summary: dict[str, Any]) -> dict[str, Any]:
    entries = pair_entries(summary)
    measured = summary["kind"] == "run"
    # One domain for all methods: panels side by side can be compared by eye.
    members = plots.domain_of(
        [row[k] for row in summary["rows"] for k in ("predicted", "measured")]
    )
    pairs = members
    if measured:
        pairs = plots.domain_of([entry[k] for entry in entries for k in ("predicted", "measured")])
    methods = [entry["method"] for entry in summary["methods"]]
    by_method = {
        method: [r for r in summary["rows"] if r["method"] == method] for method in methods
    }
    suites = sorted({entry["suite"] for entry in entries})
    maps = []
    for suite in suites:
        mine = [entry for entry in entries if entry["suite"] == suite]
        names = sorted({name for entry in mine for name in (entry["left"], entry["right"])})
        for method in methods:
            chosen = [entry for entry in mine if entry["method"] == method]
            title = method if len(suites) == 1 else f"{method}, {suite}"
            maps.append({"title": title, **plots.heatmap(chosen, names, pairs)})
    scatters = [{"title": m, **plots.scatter(by_method[m], members)} for m in methods]
    return {
        "entries": entries,
        "scatters": scatters if measured else [],
        "heatmaps": maps,
        "scale": plots.scale(pairs),
        "side": plots.SIDE,
        "margin": plots.MARGIN,
        "most_labels": _MOST_LABELS,
        "least_gain": LEAST_GAIN,
    }
