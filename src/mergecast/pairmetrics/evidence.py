"""Columns of the pair table from retention, interference and pair probes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mergecast.errors import UndefinedError
from mergecast.pairmetrics.spec import METRICS, MetricSpec
from mergecast.pairmetrics.table import checked_value

if TYPE_CHECKING:
    from mergecast.fingerprints.interference import Interference
    from mergecast.fingerprints.pairprobe import PairProbes
    from mergecast.fingerprints.retention import Retention


@dataclass(frozen=True)
class EvidencePair:
    """An ordered pair: the model affected, its partner, and what was collected of them.

    Attributes
    ----------
    labels : the model affected, and its partner.
    retention, interference, probes : fingerprints of the whole family; None if not collected.
    """

    labels: tuple[str, str]
    retention: Retention | None = None
    interference: Interference | None = None
    probes: PairProbes | None = None


def evidence_table(
    *,
    suite: str = "",
    retention: Retention | None = None,
    interference: Interference | None = None,
    probes: PairProbes | None = None,
) -> pd.DataFrame:
    """The metrics of every pair that the given fingerprints allow.

    Returns
    -------
    One row a pair: ``suite, left, right`` (labels in sorted order) and the metrics' columns, the
    directed ones twice. Undefined values are NaN; ``attrs["missing"]`` lists them with reasons.
    """
    given = {"retention": retention, "interference": interference, "probe": probes}
    present = {name: found for name, found in given.items() if found is not None}
    specs = [spec for spec in METRICS if _is_collected(spec, present.get(spec.evidence))]
    members = sorted({label for found in present.values() for label in found.members})
    rows: list[dict[str, object]] = []
    missing: list[dict[str, str]] = []
    for left, right in combinations(members, 2):
        row: dict[str, object] = {"suite": suite, "left": left, "right": right}
        for spec in specs:
            for column, labels in zip(spec.columns, ((left, right), (right, left)), strict=False):
                pair = EvidencePair(labels, retention, interference, probes)
                try:
                    row[column] = checked_value(spec, pair)
                except UndefinedError as reason:
                    row[column] = np.nan
                    missing.append(
                        {"left": left, "right": right, "key": column, "reason": str(reason)}
                    )
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["missing"] = missing
    return frame


def _is_collected(spec: MetricSpec, found: Retention | Interference | PairProbes | None) -> bool:
    """Whether a metric is a column: its fingerprints, its method and its tier were asked for."""
    if found is None or (spec.method is not None and spec.method not in found.methods):
        return False
    return spec.evidence != "interference" or spec.tier in found.parts  # type: ignore[union-attr]
