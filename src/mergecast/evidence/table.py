"""The pair table: every metric of every pair of a family."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from mergecast.errors import FamilyError, MergecastError, UndefinedError
from mergecast.evidence.kind import (
    EVIDENCE,
    FamilyEvidence,
    PairEvidence,
    Request,
    kinds,
)
from mergecast.evidence.metric import MetricSpec, metric_specs
from mergecast.evidence.session import ProbeSettings
from mergecast.evidence.settings import MergeSettings
from mergecast.family.family import Family
from mergecast.runtime.progress import Progress, Silent
from mergecast.tables.pairs import MissingMetric, PairTable

if TYPE_CHECKING:
    from mergecast.tasks.task import Task

#: Relative room for rounding at a range's ends.
_ROUNDING = 1e-9


def pair_table(
    family: Family,
    *,
    tasks: Mapping[str, Task] | None = None,
    tier: str = "weights",
    settings: ProbeSettings | None = None,
    merges: MergeSettings | None = None,
    suite: str = "",
    workers: int = 2,
    progress: Progress | None = None,
    metric_set: str | None = None,
) -> PairTable:
    """All metrics of a tier, and of the cheaper ones, of all pairs.

    Parameters
    ----------
    family : base and at least two models.
    tasks : model label to task; needed above the weights tier.
    tier : ``weights``, ``activations``, ``gradients`` or ``probe``.
    settings : calibration samples, seed, device, cache of finished units.
    merges : how merges are made for retention, interference and pair probes.
    suite : value of the ``suite`` column.
    workers : threads of the weights tier; the values do not depend on their number.
    progress : where stages are reported.
    metric_set : only the metrics of this set (``paper``), and only what they need.

    Returns
    -------
    PairTable
        One row a pair, ``suite, left, right`` (labels in sorted order) and one column a metric,
        two for a directed one. Undefined values are NaN; the table has their reasons, and every
        column's tier.
    """
    asked = Request(
        family,
        tasks,
        settings or ProbeSettings(),
        workers,
        progress=progress or Silent(),
        merges=merges or MergeSettings(),
    )
    evidence = collect_evidence(asked, tier, metric_set)
    return table_of(
        evidence, family.names, suite=suite, metric_set=metric_set, methods=asked.merges.methods
    )


def collect_evidence(
    request: Request,
    tier: str,
    metric_set: str | None = None,
    keys: Collection[str] | None = None,
) -> dict[str, Any]:
    """Every kind of evidence up to `tier` (a `FamilyEvidence`), by name, weights first.

    With a metric set, or `keys`, only the kinds that those metrics take; see `kinds`. Models that
    the weights tier refuses (``on_error="refuse"``) are left out of the others.
    """
    _need_pair(request.family.size)
    others = [kind for kind in kinds(tier, metric_set, keys) if kind.name != "weights"]
    weights = EVIDENCE.get("weights").collect(request)
    refused = weights.fingerprints.refused
    usable = [label for label in request.family.names if label not in refused]
    _need_pair(len(usable), refused)
    evidence = {"weights": weights}
    if others:
        with replace(request, family=request.family.subset(usable)) as rest:
            evidence |= {kind.name: kind.collect(rest) for kind in others}
    return evidence


def _need_pair(count: int, refused: Mapping[str, str] | None = None) -> None:
    if count < 2:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in (refused or {}).items())
        raise FamilyError(
            "family",
            f"has {count} usable model{f' ({reasons})' if reasons else ''}",
            "pairs need at least two fine-tuned models",
        )


def table_of(
    evidence: Mapping[str, FamilyEvidence],
    members: Sequence[str],
    *,
    suite: str = "",
    metric_set: str | None = None,
    methods: Sequence[str] | None = None,
) -> PairTable:
    """The pair table of evidence by kind, of some merging methods only if they are given; see
    `pair_table`.
    """
    specs = [
        spec
        for spec in metric_specs(metric_set)
        if methods is None or spec.method is None or spec.method in methods
    ]
    rows: list[dict[str, object]] = []
    missing: list[MissingMetric] = []
    for left, right in combinations(sorted(members), 2):
        row: dict[str, object] = {"suite": suite, "left": left, "right": right}
        for column, value in _values(evidence, specs, left, right):
            row[column] = math.nan if isinstance(value, str) else value
            if isinstance(value, str):
                missing.append(MissingMetric(suite, left, right, column, value))
        rows.append(row)
    tiers = {column: spec.tier for spec in specs for column in spec.columns}
    return PairTable(pd.DataFrame(rows), tiers=tiers, missing=missing)


def _values(
    evidence: Mapping[str, FamilyEvidence], specs: Sequence[MetricSpec], left: str, right: str
) -> Iterator[tuple[str, float | str]]:
    """Every column with its value, or the reason why there is none, in registration order."""
    pairs: dict[str, tuple[PairEvidence, PairEvidence] | str] = {}
    for kind, family in evidence.items():
        try:
            pair = family.pair(left, right)
            pairs[kind] = pair, pair.swapped()
        except UndefinedError as reason:
            pairs[kind] = str(reason)
    for spec in specs:
        if EVIDENCE.get(spec.evidence).name not in pairs:
            continue
        found = pairs[spec.evidence]
        for k, column in enumerate(spec.columns):
            if isinstance(found, str):
                yield column, found
                continue
            try:
                yield column, _value(spec, found[k])
            except UndefinedError as reason:
                yield column, str(reason)


def _value(spec: MetricSpec, pair: PairEvidence) -> float:
    """One value, held to the metric's declared range."""
    value = float(spec.function(pair))
    low, high = spec.range
    room = _ROUNDING * max(1.0, abs(value))
    if math.isfinite(value) and low - room <= value <= high + room:
        return min(max(value, low), high)
    raise MergecastError(
        f"metric {spec.key!r} of {pair.labels[0]} and {pair.labels[1]}",
        f"is {value}, outside its range [{low}, {high}]",
        "report this: it is a defect, of the metric if it is a plug-in's",
    )
