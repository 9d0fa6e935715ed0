"""Tables and sentences as Markdown, for an issue, a pull request or a model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby

from mergecast.report.depth_panels import depth_parts
from mergecast.report.family_terminal import forecast_parts
from mergecast.report.model import Summary
from mergecast.report.run_terminal import run_parts
from mergecast.report.table import Table

_SPECIAL = "\\`*_[]<>|#"


def render_markdown(summary: Summary) -> str:
    """A summary (`summarise_run`, `summarise_forecast`) as Markdown: what the terminal shows."""
    if summary["kind"] == "run":
        return as_markdown("Forecast, and what the merges did", run_parts(summary))
    parts = chain(forecast_parts(summary), depth_parts(summary))
    return as_markdown(summary["headline"], parts)


def as_markdown(title: str, parts: Iterable[Table | str]) -> str:
    """Tables and sentences in their order, under a heading.

    Names stand as text, whatever is in them.

    Examples
    --------
    >>> print(as_markdown("Kept", [Table("by model", ["model", "kept"], [["a_b", "0.9"]])]))
    # Kept
    <BLANKLINE>
    **by model**
    <BLANKLINE>
    | model | kept |
    |:---|---:|
    | a\\_b | 0.9 |
    <BLANKLINE>
    """
    lines = [f"# {escaped(title)}", ""]
    for is_table, some in groupby(parts, key=lambda part: isinstance(part, Table)):
        for part in some:
            if isinstance(part, Table):
                lines += [*_table(part), ""]
            elif part:
                lines.append(f"- {escaped(part)}")
        lines += [] if is_table else [""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in text).replace("\n", " ")


def _table(table: Table) -> Iterator[str]:
    rows = [row for row in table.rows if row is not None]
    if not rows:
        return
    yield f"**{escaped(table.title)}**"
    yield ""
    yield _row(table.headings)
    sides = [":---" if i < table.keys else "---:" for i in range(len(table.headings))]
    yield f"|{'|'.join(sides)}|"
    yield from map(_row, rows)
    for line in table.caption.splitlines():
        yield ""
        yield escaped(line)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"
