"""Summaries as terminal tables: what the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mergecast.report.html import fixed, percent, signed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


#: Pairs shown at each end of the excerpt.
_EXCERPT = 4


def print_run(summary: dict[str, Any], console: Console, *, warnings: bool = True) -> None:
    """The end of a run: forecast beside measured, by method and by pair; verdict and warnings."""
    console.print(excerpt_table(summary), "")
    console.print(method_table(summary), "")
    for sentence in summary["verdict"]:
        console.print(sentence, highlight=False, markup=False)
    if warnings:
        for warning in summary["warnings"]:
            console.print(f"note: {warning}", highlight=False, markup=False)


def method_table(summary: dict[str, Any]) -> Table:
    """One row a method of a run: forecast, measured, and the error beside the baselines'."""
    # Fits 80 columns: without a terminal, rich takes that width.
    table = _plain_table("Retention of a pair, by method: forecast beside measured")
    table.add_column("method", no_wrap=True)
    for heading in ("forecast", "measured", "error", "constant", "r", "inside"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in summary["methods"]:
        scores = entry["protocols"][summary["protocol"]]
        forecast, constant = scores["forecast"] or {}, scores["constant"] or {}
        table.add_row(
            _safe(entry["method"]),
            _spread(entry["forecast"]),
            _spread(entry["measured"]),
            fixed(forecast.get("mae")),
            fixed(constant.get("mae")),
            fixed(forecast.get("pooled_r"), 2),
            percent(forecast.get("coverage")),
        )
    unseen = {"l2to": "both tasks", "loto": "one task", "suite": "the suite"}[summary["protocol"]]
    table.caption = (
        f"error: mean absolute error of the forecast, {unseen} unseen; constant: of always "
        f"predicting the mean; r: pooled over pairs; inside: measured values in their "
        f"{percent(summary['level'])} interval"
    )
    return table


def excerpt_table(summary: dict[str, Any]) -> Table:
    """The pairs with the lowest and the highest forecasts, each by its advised method."""
    known = [pair for pair in summary["pairs"] if pair["predicted"] is not None]
    known.sort(key=lambda pair: (pair["predicted"], pair["left"], pair["right"]))
    cut = len(known) > 2 * _EXCERPT
    chosen = [*known[:_EXCERPT], *known[-_EXCERPT:]] if cut else known
    table = _plain_table("Retention of a pair by the method advised for it")
    for heading in ("pair", "advice"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in ("forecast", "measured", "best"):
        table.add_column(heading, justify="right", no_wrap=True)
    for i, pair in enumerate(chosen):
        if cut and i == _EXCERPT:
            table.add_section()
        no = "" if pair["advice"] == "merge" else "no: at best "
        table.add_row(
            _safe(f"{pair['left']} + {pair['right']}"),
            no + _safe(pair["method"]),
            fixed(pair["predicted"], 2),
            fixed(pair["measured"], 2),
            fixed(pair["best_measured"], 2),
        )
    part = f"{len(chosen)} of {len(summary['pairs'])} pairs, lowest and highest forecasts; "
    table.caption = (
        f"{part if cut else ''}no: the weaker member is forecast below "
        f"{fixed(summary['threshold'], 2)}; best: measured, by the best method in hindsight"
    )
    return table


def _plain_table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def _spread(values: dict[str, Any]) -> str:
    return f"{fixed(values['mean'], 2)} ± {fixed(values['std'], 2)}"


def print_forecast(summary: dict[str, Any], console: Console) -> None:
    """Each pair: the advice, every method's forecast for both members, and what moved it."""
    from rich.text import Text

    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in summary["rows"]:
        rows.setdefault((row["left"], row["right"]), []).append(row)
    for advice in summary["pairs"]:
        members = rows[advice["left"], advice["right"]]
        title = f"{advice['left']} + {advice['right']}: {_advice(advice)}"
        console.print(Text(title, style="bold"))
        console.print(pair_table(advice, members))
        for line in _reasons(advice, members):
            console.print(line, highlight=False, markup=False)
        console.print()
    for sentence in summary["verdict"]:
        console.print(sentence, highlight=False, markup=False)


def pair_table(advice: dict[str, Any], rows: list[dict[str, Any]]) -> Table:
    """One pair of new models: a row a method, best first, both members with their intervals."""
    from rich.table import Table
    from rich.text import Text

    left, right = advice["left"], advice["right"]
    table = Table()
    table.add_column("method", no_wrap=True)
    table.add_column("pair", justify="right")
    for name in (left, right):
        table.add_column(Text(name), justify="right")
    found = []
    for method in sorted({row["method"] for row in rows}):
        by_member = {row["member"]: row for row in rows if row["method"] == method}
        values = [by_member[name]["predicted"] for name in (left, right)]
        mean = None if None in values else sum(values) / 2
        # The advised method first, as its mean may tie with another's; what is missing last.
        order = (method != advice["method"], mean is None, -(mean or 0.0), method)
        cells = [_interval(by_member[name]) for name in (left, right)]
        found.append((order, [_safe(method), fixed(mean), *cells]))
    for _, row in sorted(found, key=lambda item: item[0]):
        table.add_row(*row)
    return table


def _advice(advice: dict[str, Any]) -> str:
    if advice["predicted"] is None:
        return "no forecast"
    worst = f"{advice['worst_member']} keeps {fixed(advice['worst_predicted'])}"
    if advice["advice"] == "merge":
        return f"merge by {advice['method']} ({worst})"
    return f"do not merge ({worst} under the best method, {advice['method']})"


def _interval(row: dict[str, Any]) -> str:
    if row["predicted"] is None:
        return "–"
    upper = "∞" if row["upper"] is None else fixed(row["upper"], 2)
    text = f"{fixed(row['predicted'], 2)} [{fixed(row['lower'], 2)}, {upper}]"
    return _safe(text)


def _reasons(advice: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Why: the advised method's member with the lower forecast; and metrics out of range."""
    shown = [r for r in rows if not advice["method"] or r["method"] == advice["method"]]
    row = next((r for r in shown if r["member"] == advice["worst_member"]), shown[0])
    found = []
    if row["reasons"]:
        listing = ", ".join(
            f"{reason['metric']} {signed(reason['contribution'])}" for reason in row["reasons"]
        )
        found.append(f"moved most ({row['method']}, {row['member']}): {listing}")
    elif row["note"]:
        found.append(f"{row['method']}: {row['note']}")
    if row["out_of_range"]:
        found.append(f"out of the training range: {', '.join(row['out_of_range'])}")
    warm = dict.fromkeys(r["method"] for r in rows if r.get("basis") == "warm")
    if warm:
        found.append(f"known outcomes used: {', '.join(warm)}")
    notes = dict.fromkeys(
        f"{r['method']}: {r['note']}" for r in rows if r["predicted"] is None and r["note"]
    )
    return found + [f"no forecast: {note}" for note in notes]


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)
