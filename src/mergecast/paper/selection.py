"""Which pairs, metrics and methods of a published setting are analysed, and what is left out.

The paper analyses the pairs that *every* one of its methods merged and that have *every* metric.
That rule is kept, so that numbers compare; but what it drops is listed with reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mergecast.analysis.groups import PAPER_KEYS
from mergecast.errors import TableError
from mergecast.forecast.training import MAX_MISSING_SHARE
from mergecast.paper.fits import ReleasedFit
from mergecast.paper.results import PublishedSetting
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.sets import join_members

#: (code, message) of what takes no part in the rule.
Note: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Selection:
    """The part of a setting that is analysed.

    Attributes
    ----------
    methods : list[str]
        The methods whose common pairs are used: those with released fits, else all.
    others : list[str]
        Methods that were merged too; each is analysed on the used pairs that it has.
    metrics : list[str]
        Those of the released fits, else the paper's that are there, else all.
    expected : int
        Number of pairs of the setting's tasks.
    pairs : PairTable
        The used pairs with these metrics, none missing.
    outcomes : OutcomeTable
        The outcomes of `methods` and `others` on these pairs.
    missing : list[tuple[str, str]]
        Pair, as ``left+right``, and reason of every pair that is not used.
    notes : list[Note]
        Metrics and methods that take no part in the rule.
    """

    methods: list[str]
    others: list[str]
    metrics: list[str]
    expected: int
    pairs: PairTable
    outcomes: OutcomeTable
    missing: list[tuple[str, str]]
    notes: list[Note]


def select(setting: PublishedSetting, fits: Mapping[str, ReleasedFit]) -> Selection:
    """Apply the paper's rule to a setting.

    A metric, or a method without a released fit, that is missing in more than a tenth of the pairs
    would cost all others those pairs: it takes no part in the rule, with a note.

    Raises
    ------
    TableError
        No metric, no method or no pair is left.
    """
    notes: list[Note] = []
    metrics = _metrics(setting, fits, notes)
    failed = _failed(setting)
    methods = _methods(setting, fits, failed, notes)
    pairs = setting.pairs.only(metrics)
    names = [join_members(pair) for pair in pairs.frame[["left", "right"]].to_numpy()]
    reasons = {name: _without_metrics(pairs, name, metrics) for name in names}
    for name, why in reasons.items():
        why += [f"{method}: {failed[method][name]}" for method in methods if name in failed[method]]
    missing = [(name, "; ".join(why)) for name, why in reasons.items() if why]
    used = [name for name, why in reasons.items() if not why]
    if not used:
        raise TableError(
            f"setting {setting.name}", "no pair has every metric and outcome", missing[0][1]
        )
    outcomes = setting.outcomes.keep(setting.outcomes.frame["members"].isin(used))
    return Selection(
        methods=methods,
        others=[method for method in outcomes.methods if method not in methods],
        metrics=metrics,
        expected=len(pairs),
        pairs=pairs.keep([not reasons[name] for name in names]),
        outcomes=outcomes,
        missing=missing,
        notes=notes,
    )


def _metrics(
    setting: PublishedSetting, fits: Mapping[str, ReleasedFit], notes: list[Note]
) -> list[str]:
    table = setting.pairs
    fitted = next((list(fit.coefficients.columns) for fit in fits.values()), [])
    wanted = [key for key in fitted or PAPER_KEYS if key in table.metrics] or table.metrics
    notes += [
        ("missing_metric", f"{key} has released coefficients but no values")
        for key in fitted
        if key not in table.metrics
    ]
    notes += [
        ("unused_metric", f"{key} is not one of the analysed metrics")
        for key in table.metrics
        if key not in wanted
    ]
    dense = []
    for key in wanted:
        absent = table.frame[key].isna()
        if absent.mean() <= MAX_MISSING_SHARE:
            dense.append(key)
        else:
            text = f"{key} left out: missing in {absent.sum()} of {len(absent)} pairs"
            notes.append(("missing_metric", text))
    if not dense:
        raise TableError(
            f"setting {setting.name}", "no metric is present in nine tenths of the pairs"
        )
    return dense


def _methods(
    setting: PublishedSetting,
    fits: Mapping[str, ReleasedFit],
    failed: Mapping[str, Mapping[str, str]],
    notes: list[Note],
) -> list[str]:
    fitted = [method for method in setting.methods if method in fits]
    notes += [
        ("missing_method", f"{method} has released fits but no outcomes")
        for method in sorted(set(fits) - set(fitted))
    ]
    if fitted:
        return fitted
    n = len(setting.pairs)
    sparse = [m for m in setting.methods if len(failed[m]) > MAX_MISSING_SHARE * n]
    if len(sparse) == len(setting.methods):
        return sparse
    for method in sparse:
        text = f"{method} has no outcome of {len(failed[method])} of {n} pairs"
        notes.append(("sparse_method", f"{text}: analysed on the pairs it has"))
    return [method for method in setting.methods if method not in sparse]


def _failed(setting: PublishedSetting) -> dict[str, dict[str, str]]:
    """Method to pair (``left+right``) to the reason why it has no (defined) outcome."""
    failed: dict[str, dict[str, str]] = {method: {} for method in setting.methods}
    for failure in setting.failures:
        pair = join_members((failure.left, failure.right))
        failed.setdefault(failure.method, {})[pair] = failure.reason
    pairs = setting.outcomes.pairs()
    for row in pairs[pairs["retention"].isna()].itertuples():
        pair = join_members((str(row.left), str(row.right)))
        failed[str(row.method)][pair] = "retention is undefined: a single score is 0"
    return failed


def _without_metrics(pairs: PairTable, name: str, metrics: list[str]) -> list[str]:
    """Why a pair lacks metrics, metrics of the same reason together."""
    keys: dict[str, list[str]] = {}
    for entry in pairs.missing:
        if join_members((entry.left, entry.right)) == name:
            keys.setdefault(entry.reason, []).append(entry.key)
    return [f"{', '.join(sorted(k, key=metrics.index))}: {reason}" for reason, k in keys.items()]
