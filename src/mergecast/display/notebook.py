"""Tables and sentences as HTML that a notebook shows: the reader's own fonts and colours."""

from __future__ import annotations

from html import escape

from mergecast.display.table import Parts, Row, Table

#: No name is read as a formula: notebooks look for those between dollars.
_OPEN = '<div class="mergecast tex2jax_ignore mathjax_ignore">'
#: Between groups of rows.
_RULE = ' style="border-top: 1px solid"'


def as_html(parts: Parts) -> str:
    """What is shown of a result, in order, as one piece of HTML.

    It holds no script, style sheet, picture or link, sets no colour, and so reads on light and dark
    pages alike. Whatever is in a name or number is text.

    Parameters
    ----------
    parts : iterable of Table or str
        A sentence becomes a paragraph, a table without rows nothing.

    Returns
    -------
    str
        A ``div``.
    """
    return f"{_OPEN}{''.join(map(_part, parts))}</div>"


def _part(part: Table | str) -> str:
    if isinstance(part, Table):
        return _table(part)
    return f"<p>{_text(part)}</p>" if part.strip() else ""


def _table(table: Table) -> str:
    """The table; a line between groups of rows begins a body of its own."""
    if not any(row is not None for row in table.rows):
        return ""
    title = f"<p><b>{_text(table.title)}</b></p>" if table.title else ""
    head = ""
    if any(table.headings):
        head = f"<thead>{_row(table.headings, table.keys, heads=len(table.headings))}</thead>"
    bodies = [""]
    for row in table.rows:
        if row is None:
            bodies.append("")
        else:
            bodies[-1] += _row(row, table.keys)
    body = "".join(f"<tbody{'' if n == 0 else _RULE}>{one}</tbody>" for n, one in enumerate(bodies))
    caption = f"<p><small>{_text(table.caption)}</small></p>" if table.caption else ""
    return f"{title}<table>{head}{body}</table>{caption}"


def _row(row: Row, keys: int, heads: int = 1) -> str:
    """A row: its first `heads` cells are headings, the first `keys` stand on the left."""
    cells = []
    for column, cell in enumerate(row or ()):
        name = "th" if column < heads else "td"
        side = "left" if column < keys else "right"
        look = f"text-align: {side}; vertical-align: top"
        cells.append(f'<{name} style="{look}">{_text(cell)}</{name}>')
    return f"<tr>{''.join(cells)}</tr>"


def _text(text: str) -> str:
    return escape(text).replace("\n", "<br>")
