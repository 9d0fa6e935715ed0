"""A forecast as tables and sentences: one line a pair, and all of one where it is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from mergecast.errors import UsageError
from mergecast.forecast.recommend import DO_NOT_MERGE, MERGE, NO_ADVICE, NO_FORECAST
from mergecast.forecast.rows import ABSTAINED
from mergecast.report.depth_panels import depth_parts
from mergecast.report.measured_summary import measured_parts
from mergecast.report.model import FamilySummary, MemberRow, PairAdvice
from mergecast.report.reasons import in_words
from mergecast.report.set_terminal import set_parts
from mergecast.report.strengths import strength_parts
from mergecast.report.table import MISSING, Table, number, wrapped

#: Pairs that are shown one by one, and of more the first and the last.
_MOST, _FIRST, _LAST = 40, 20, 10
#: Names of a pair and its method leave room for its numbers on 80 columns.
_PAIR_WIDTH, _METHOD_WIDTH = 26, 28

#: What a row is marked with that rests on more than metrics.
_BASIS = {"measured": " (measured)", "warm": " (known)"}

_Pair = tuple[str, str]


def forecast_parts(
    summary: FamilySummary, *, pairs: Sequence[str] = (), verbose: bool = False
) -> Iterator[Table | str]:
    """What to do, in the order of how much is kept.

    Parameters
    ----------
    summary : FamilySummary
        Of new models.
    pairs : sequence of str
        Pairs, as ``a+b``, whose every method is shown, with the reasons.
    verbose : bool
        Show that of all pairs.

    Raises
    ------
    UsageError
        A pair that was not forecast.
    """
    rows = _by_pair(summary)
    asked = [_pair_of(text, rows) for text in pairs]
    advice = {(one["left"], one["right"]): one for one in summary["pairs"]}
    for pair in rows if verbose else asked:
        yield from _details(advice[pair], rows[pair])
    if asked:
        yield from depth_parts(summary, asked)
    if not asked and not verbose:
        yield from _overview(summary, rows)
    if "measured" in summary and not asked:
        yield from measured_parts(summary["measured"])
    if "sets" in summary:
        yield from set_parts(summary["sets"])
    if "strengths" in summary:
        yield from strength_parts(summary["strengths"])
    yield ""
    yield from summary["verdict"]
    if summary["next"]:
        yield f"next: {summary['next']}"
    if not asked and not verbose and any(row["predicted"] is not None for row in summary["rows"]):
        first = summary["pairs"][0]
        both = shlex.quote(f"{first['left']}+{first['right']}")
        yield f"every method of a pair, and why: --pair {both}"


def _by_pair(summary: FamilySummary) -> dict[_Pair, list[MemberRow]]:
    pair_of = itemgetter("left", "right")
    groups = groupby(sorted(summary["rows"], key=pair_of), key=pair_of)
    return {pair: list(members) for pair, members in groups}


def _pair_of(text: str, known: dict[_Pair, list[MemberRow]]) -> _Pair:
    """The pair that is meant, whichever of its models is named first."""
    named = {f"{left}+{right}": (left, right) for left, right in known}
    either = named | {f"{right}+{left}": (left, right) for left, right in known}
    wanted = "+".join(part.strip() for part in text.split("+"))
    if wanted not in either:
        raise UsageError.unknown("pair", text, named)
    return either[wanted]


def _overview(summary: FamilySummary, rows: dict[_Pair, list[MemberRow]]) -> Iterator[Table | str]:
    """One line a pair, those to merge first, the best first; what has no number once a reason."""
    told = [one for one in summary["pairs"] if one["advice"] != NO_FORECAST]
    told.sort(key=lambda one: (one["advice"] != MERGE, -(one["predicted"] or 0.0)))
    shown: list[PairAdvice | None] = [*told]
    if len(told) > _MOST:
        shown = [*told[:_FIRST], None, *told[-_LAST:]]
    lines = [None if one is None else _line(one, rows[one["left"], one["right"]]) for one in shown]
    between = len(told) - _FIRST - _LAST
    caption = f"{between} between are left out; all of them: --verbose" if None in shown else ""
    columns = ["pair", "merge by", "keeps", "keeps least"]
    title = f"What a merge keeps of the members' scores, {summary['level']:.0%} interval"
    yield Table(title, columns, lines, keys=2, caption=caption)
    reasons: dict[tuple[str, str], int] = {}
    for members in rows.values():
        # What is out of domain is said once for all, in the verdict.
        missing = {
            (row["method"], row["note"])
            for row in members
            if row["predicted"] is None and row["note"] and row.get("basis") != ABSTAINED
        }
        for one in sorted(missing):
            reasons[one] = reasons.get(one, 0) + 1
    by_note: dict[tuple[str, int], list[str]] = {}
    for (method, note), count in reasons.items():
        by_note.setdefault((note, count), []).append(method)
    for (note, count), methods in by_note.items():
        of = "1 pair" if count == 1 else f"{count} pairs"
        yield f"no forecast for {of} ({', '.join(methods)}): {note}"


def _line(advice: PairAdvice, rows: list[MemberRow]) -> list[str]:
    """A pair in one line."""
    names = wrapped(f"{advice['left']} + {advice['right']}", _PAIR_WIDTH)
    if advice["advice"] == NO_ADVICE:
        return [names, NO_ADVICE, MISSING, MISSING]
    no = "no: at best " if advice["advice"] == DO_NOT_MERGE else ""
    worst = next(
        row
        for row in rows
        if row["method"] == advice["method"] and row["member"] == advice["worst_member"]
    )
    basis = _BASIS.get(worst.get("basis", ""), "")
    method = wrapped(f"{no}{advice['method']}{basis}", _METHOD_WIDTH)
    return [names, method, number(advice["predicted"]), f"{worst['member']} {_interval(worst)}"]


def _details(advice: PairAdvice, rows: list[MemberRow]) -> Iterator[Table | str]:
    """A pair by every method, and what moved its forecast."""
    said = [row.get("note") for row in rows if row.get("basis") == ABSTAINED]
    if said and all(row["predicted"] is None for row in rows):
        yield f"{advice['left']} + {advice['right']}: no forecast, {said[0]}"
        return
    yield _pair_table(advice, rows)
    yield from _reasons(advice, rows)


def _pair_table(advice: PairAdvice, rows: list[MemberRow]) -> Table:
    """One pair of new models: a row a method, best first, both members with their intervals."""
    left, right = advice["left"], advice["right"]
    ordered = []
    for method in sorted({row["method"] for row in rows}):
        by_member = {row["member"]: row for row in rows if row["method"] == method}
        members = [by_member[name] for name in (left, right)]
        values = [row["predicted"] for row in members if row["predicted"] is not None]
        mean = sum(values) / 2 if len(values) == 2 else None
        # The advised method first, as its mean may tie with another's; what is missing last.
        order = (method != advice["method"], mean is None, -(mean or 0.0), method)
        ordered.append((order, [method, number(mean), *map(_interval, members)]))
    cells = [row for _, row in sorted(ordered)]
    return Table(f"{left} + {right}: {_advice(advice)}", ["method", "pair", left, right], cells)


def _advice(advice: PairAdvice) -> str:
    if advice["predicted"] is None:
        return advice["advice"]
    worst = f"{advice['worst_member']} keeps {number(advice['worst_predicted'])}"
    if advice["advice"] == "merge":
        return f"merge by {advice['method']} ({worst})"
    return f"do not merge ({worst} by the method advised, {advice['method']})"


def _interval(row: MemberRow) -> str:
    if row["predicted"] is None:
        return MISSING
    upper = "∞" if row["upper"] is None else number(row["upper"], 2)
    return f"{number(row['predicted'], 2)} [{number(row['lower'], 2)}, {upper}]"


def _reasons(advice: PairAdvice, rows: list[MemberRow]) -> Iterator[str]:
    """Why: the advised method's member with the lower forecast; and metrics out of range."""
    shown = [row for row in rows if not advice["method"] or row["method"] == advice["method"]]
    row = next((row for row in shown if row["member"] == advice["worst_member"]), shown[0])
    if row["reasons"]:
        moved = ", ".join(map(in_words, row["reasons"]))
        yield f"moved most ({row['method']}, {row['member']}): {moved}"
    elif row["note"]:
        yield f"{row['method']}: {row['note']}"
    if row["out_of_range"]:
        yield f"out of the training range: {', '.join(row['out_of_range'])}"
    warm = dict.fromkeys(row["method"] for row in rows if row.get("basis") == "warm")
    if warm:
        yield f"known outcomes used: {', '.join(warm)}"
    measured = dict.fromkeys(row["method"] for row in rows if row.get("basis") == "measured")
    if measured:
        yield f"measured: {', '.join(measured)}"
    absent: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["predicted"] is None and row["note"]:
            absent.setdefault(row["note"], {})[row["method"]] = None
    yield from (f"no forecast: {', '.join(methods)}: {note}" for note, methods in absent.items())
