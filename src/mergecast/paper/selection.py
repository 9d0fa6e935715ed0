"""Which pairs, metrics and methods of a published setting are analysed, and what is left out.

The paper analyses the pairs that *every* one of its methods merged and that have *every* metric.
That rule is kept, so that numbers compare; but what it drops is listed with reasons.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from mergecast.analysis.groups import PAPER_KEYS
from mergecast.errors import TableError
from mergecast.forecast.rows import reason_missing
from mergecast.forecast.training import MAX_MISSING_SHARE
from mergecast.paper.fits import ReleasedFit
from mergecast.paper.results import PublishedSetting
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PAIR_KEYS, PairTable
from mergecast.tables.sets import join_members


@dataclass(frozen=True)
class Selection:
    """The part of a setting that is analysed.

    Attributes
    ----------
    methods : the methods whose common pairs are used: those with released fits, else all.
    others : methods that were merged too; each is analysed on the used pairs that it has.
    metrics : those of the released fits, else the paper's that are there, else all.
    expected : number of pairs of the setting's tasks.
    pairs : the used pairs with these metrics, none missing.
    outcomes : the outcomes of `methods` and `others` on these pairs.
    missing : (pair as ``left+right``, reason) of every pair that is not used.
    notes : (code, message) of each metric and method that takes no part in the rule.
    """

    methods: list[str]
    others: list[str]
    metrics: list[str]
    expected: int
    pairs: PairTable
    outcomes: OutcomeTable
    missing: list[tuple[str, str]]
    notes: list[tuple[str, str]]


def select(setting: PublishedSetting, fits: dict[str, ReleasedFit]) -> Selection:
    """Apply the paper's rule to a setting.

    A metric, or a method without a released fit, that is missing in more than a tenth of the pairs
    would cost all others those pairs: it takes no part in the rule, with a note.

    Raises
    ------
    TableError
        No metric, no method or no pair is left.
    """
    notes: list[tuple[str, str]] = []
    metrics = _metrics(setting, fits, notes)
    failed = _failed(setting)
    methods = _methods(setting, fits, failed, notes)
    pairs = setting.pairs.only(metrics)
    missing, used = [], []
    for row in pairs.frame.itertuples(index=False):
        pair = (str(row.left), str(row.right))
        reasons = _reasons(pairs, pair, row[len(PAIR_KEYS) :], metrics)
        reasons += [
            f"{method}: {failed[method][pair]}" for method in methods if pair in failed[method]
        ]
        if reasons:
            missing.append((join_members(pair), "; ".join(reasons)))
        used.append(not reasons)
    if not any(used):
        raise TableError(
            f"setting {setting.name}", "no pair has every metric and outcome", missing[0][1]
        )
    kept = pairs.keep(used)
    members = map(join_members, zip(kept.frame["left"], kept.frame["right"], strict=True))
    outcomes = setting.outcomes.keep(setting.outcomes.frame["members"].isin(list(members)))
    return Selection(
        methods=methods,
        others=[m for m in setting.methods if m not in methods and m in outcomes.methods],
        metrics=metrics,
        expected=len(pairs),
        pairs=kept,
        outcomes=outcomes,
        missing=missing,
        notes=notes,
    )


def _metrics(
    setting: PublishedSetting, fits: dict[str, ReleasedFit], notes: list[tuple[str, str]]
) -> list[str]:
    there = setting.pairs.metrics
    fitted = next((list(fit.coefficients.columns) for fit in fits.values()), [])
    chosen = [key for key in fitted or PAPER_KEYS if key in there] or there
    notes += [
        ("missing_metric", f"{key} has released coefficients but no values")
        for key in fitted
        if key not in there
    ]
    notes += [
        ("unused_metric", f"{key} is not one of the analysed metrics")
        for key in there
        if key not in chosen
    ]
    kept = []
    for key in chosen:
        absent = setting.pairs.frame[key].isna()
        if absent.mean() <= MAX_MISSING_SHARE:
            kept.append(key)
        else:
            text = f"{key} left out: missing in {absent.sum()} of {len(absent)} pairs"
            notes.append(("missing_metric", text))
    if not kept:
        raise TableError(
            f"setting {setting.name}", "no metric is present in nine tenths of the pairs"
        )
    return kept


def _methods(
    setting: PublishedSetting,
    fits: dict[str, ReleasedFit],
    failed: dict[str, dict[tuple[str, str], str]],
    notes: list[tuple[str, str]],
) -> list[str]:
    fitted = [method for method in setting.methods if method in fits]
    notes += [
        ("missing_method", f"{method} has released fits but no outcomes")
        for method in sorted(set(fits) - set(fitted))
    ]
    if fitted:
        return fitted
    dense = [
        method
        for method in setting.methods
        if len(failed[method]) <= MAX_MISSING_SHARE * len(setting.pairs)
    ]
    for method in setting.methods if dense else []:
        if method not in dense:
            text = f"{method} has no outcome of {len(failed[method])} of {len(setting.pairs)} pairs"
            notes.append(("sparse_method", f"{text}: analysed on the pairs it has"))
    return dense or setting.methods


def _failed(setting: PublishedSetting) -> dict[str, dict[tuple[str, str], str]]:
    """Method to pair to the reason why it has no (defined) outcome."""
    failed: dict[str, dict[tuple[str, str], str]] = {method: {} for method in setting.methods}
    for failure in setting.failures:
        failed.setdefault(failure.method, {})[failure.left, failure.right] = failure.reason
    undefined = setting.outcomes.pairs()
    undefined = undefined[undefined["retention"].isna()]
    for method, left, right in undefined[["method", "left", "right"]].itertuples(index=False):
        failed[method][left, right] = "retention is undefined: a single score is 0"
    return failed


def _reasons(
    pairs: PairTable, pair: tuple[str, str], values: tuple[float, ...], metrics: list[str]
) -> list[str]:
    """Why a pair lacks metrics, metrics of the same reason together."""
    absent = [key for key, value in zip(metrics, values, strict=True) if pd.isna(value)]
    [suite] = pairs.suites
    why = Counter(reason_missing(pairs, suite, *pair, key) for key in absent)
    named = {
        reason: [key for key in absent if reason_missing(pairs, suite, *pair, key) == reason]
        for reason in why
    }
    return [f"{', '.join(keys)}: {reason}" for reason, keys in named.items()]
