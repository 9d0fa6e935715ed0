"""What to do with a family, in plain sentences and one command; the numbers come after."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mergecast.forecast.recommend import DO_NOT_MERGE, MERGE
from mergecast.report.model import MemberRow, PairAdvice
from mergecast.report.set_model import BestStrength, SetSummary
from mergecast.report.table import number
from mergecast.report.verdicts import listing

#: Pairs to keep apart that are named one by one.
_NAMED = 4
#: A model is said to be kept out where it is in this share of its own pairs' refusals.
_MOST = 0.75
#: How much more of the scores a set is to keep at a strength of its own, to be named.
_MORE = 0.005


def headline(advice: Sequence[PairAdvice]) -> str:
    """The shortest true answer to "can these be merged?"."""
    judged = [entry for entry in advice if entry["advice"] in (MERGE, DO_NOT_MERGE)]
    good = [entry for entry in judged if entry["advice"] == MERGE]
    if not judged:
        return "No forecast for these models"
    if len(judged) == 1:
        pair = f"{judged[0]['left']} + {judged[0]['right']}"
        return f"Merge {pair} by {judged[0]['method']}" if good else f"Do not merge {pair}"
    if len(good) == len(judged):
        return f"All {len(judged)} pairs can be merged"
    if not good:
        return f"None of {len(judged)} pairs should be merged"
    return f"{len(good)} of {len(judged)} pairs can be merged"


def family_verdict(
    advice: Sequence[PairAdvice],
    rows: Sequence[MemberRow],
    sets: SetSummary | None,
    threshold: float,
) -> Iterator[str]:
    """How many pairs keep enough, the best of them, the best set, and what to keep apart.

    Parameters
    ----------
    advice : sequence of PairAdvice
        One a pair.
    rows : sequence of MemberRow
        Of all methods.
    sets : SetSummary or None
        Where sets were asked for.
    threshold : float
        Retention of the worst member below which the advice is not to merge.
    """
    counts = Counter(entry["advice"] for entry in advice)
    n = counts[MERGE] + counts[DO_NOT_MERGE]
    if not n:
        return
    subject = f"{counts[MERGE]} of {n} pairs"
    if n == 1:
        subject = "The pair" if counts[MERGE] else "No pair"
    elif counts[MERGE] == n:
        subject = f"All {n} pairs"
    verb = "is" if n == 1 or counts[MERGE] == 1 else "are"
    yield (
        f"{subject} {verb} forecast to keep at least {threshold:.0%} of both members' scores "
        "under the best method."
    )
    best = best_pair(advice)
    if best is not None:
        kept = "; ".join(_kept(row) for row in _members(best, rows))
        word = "Best: " if n > 1 else ""
        yield f"{word}{best['left']} + {best['right']} by {best['method']}: {kept}."
    if sets is not None and sets["best"]:
        first = sets["best"][0]
        low, high = number(first["lower"], 2), number(first["upper"], 2)
        yield (
            f"Best set of {sets['size']}: {listing(first['members'])} by {first['method']}: "
            f"{number(first['predicted'], 2)} of the scores in the mean ({low} to {high}), "
            f"{first['worst_member']} least, {number(first['worst_predicted'], 2)}."
        )
    methods = Counter(entry["method"] for entry in advice if entry["advice"] == MERGE)
    if n > 1 and len(methods) == 1:
        yield f"Method advised: {next(iter(methods))}."
    elif n > 1 and methods:
        by = ", ".join(f"{method} ({count})" for method, count in methods.most_common())
        yield f"Methods advised: {by}."
    yield from _apart([entry for entry in advice if entry["advice"] == DO_NOT_MERGE], n)


def better_strengths(
    advice: Sequence[PairAdvice],
    sets: SetSummary | None,
    strengths: Sequence[BestStrength],
    threshold: float,
) -> Iterator[str]:
    """What merges at a strength of their own are forecast to serve better than those advised.

    Parameters
    ----------
    advice : sequence of PairAdvice
        One a pair.
    sets : SetSummary or None
        Where sets were asked for.
    strengths : sequence of BestStrength
        The best strength of pairs and of sets, of each size the best first.
    threshold : float
        Retention of the worst member below which the advice is not to merge.
    """
    yield from _served_pairs(advice, strengths, threshold)
    best = sets["best"][0] if sets is not None and sets["best"] else None
    if best is None:
        return
    alike = (one for one in strengths if len(one["members"]) == len(best["members"]))
    one = next(alike, None)
    if one is not None and one["kept"] >= best["predicted"] + _MORE:
        low, high = number(one["low"], 2), number(one["high"], 2)
        yield (
            f"At a strength of its own, the merge of {listing(one['members'])} is forecast to keep "
            f"more than that of the best set: {number(one['kept'], 2)} by {one['method']} at "
            f"{number(one['strength'], 2)} ({low} to {high}), {one['worst_member']} least, "
            f"{number(one['worst_kept'], 2)}: merge --scaling auto looks for it."
        )


def _served_pairs(
    advice: Sequence[PairAdvice], strengths: Sequence[BestStrength], threshold: float
) -> Iterator[str]:
    """Pairs that are advised against, both of whose members keep enough at another strength."""
    refused = [{one["left"], one["right"]} for one in advice if one["advice"] == DO_NOT_MERGE]
    found = [
        one for one in strengths if {*one["members"]} in refused and one["worst_kept"] >= threshold
    ]
    if not found:
        return
    named = [
        f"{' + '.join(one['members'])} ({number(one['worst_kept'])} by {one['method']} at "
        f"{number(one['strength'], 2)})"
        for one in found[:_NAMED]
    ]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    yield (
        f"At a strength of their own, both members of {listing(named)}{more} are forecast to keep "
        "enough: merge --scaling auto looks for it."
    )


def best_pair(advice: Sequence[PairAdvice]) -> PairAdvice | None:
    """The pair that keeps most, of those that may be merged."""
    good = [entry for entry in advice if entry["advice"] == MERGE]
    return max(good, key=lambda entry: entry["predicted"] or 0.0, default=None)


def next_command(
    base: str,
    models: Mapping[str, str],
    advice: Sequence[PairAdvice],
    sets: SetSummary | None,
    threshold: float,
    options: Sequence[str] = (),
) -> str:
    """The command that makes the best merge; "" where there is none, or no files are known."""
    best = best_pair(advice)
    if best is None or not base:
        return ""
    members, method = [best["left"], best["right"]], best["method"]
    first = sets["best"][0] if sets is not None and sets["best"] else None
    if first is not None and first["worst_predicted"] >= threshold:
        members, method = first["members"], first["method"]
    if not {*members} <= {*models}:
        return ""
    files = [base, *(models[label] for label in members)]
    words = ["mergecast", "merge", "--method", method, *options, *files, "-o", "merged/"]
    return shlex.join(words)


def _apart(refused: Sequence[PairAdvice], n: int) -> Iterator[str]:
    """The pairs that should not be merged, or the models that most of them have."""
    if not refused or n == 1:
        return
    if len(refused) <= _NAMED:
        named = [
            f"{one['left']} + {one['right']} ({one['worst_member']} keeps "
            f"{number(one['worst_predicted'])} by {one['method']})"
            for one in refused
        ]
        yield f"Keep apart: {listing(named)}."
        return
    yield f"Advised not to merge: {len(refused)} of {n}."
    worst = Counter(one["worst_member"] for one in refused)
    label, count = worst.most_common(1)[0]
    if count >= _MOST * len(refused):
        yield f"In {count} of them it is {label} that loses most: leave it out."


def _members(pair: PairAdvice, rows: Sequence[MemberRow]) -> list[MemberRow]:
    """The rows of a pair's members under the advised method."""
    keys = ("suite", "left", "right", "method")
    return [row for row in rows if all(row[key] == pair[key] for key in keys)]  # type: ignore[literal-required]


def _kept(row: MemberRow) -> str:
    upper = "∞" if row["upper"] is None else number(row["upper"], 2)
    interval = f" ({number(row['lower'], 2)} to {upper})" if row["lower"] is not None else ""
    return f"{row['member']} keeps {number(row['predicted'], 2)}{interval}"
