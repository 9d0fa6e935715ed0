"""The pair table: every metric of every pair of a family."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations, groupby
from numbers import Real
from typing import TYPE_CHECKING, cast

import pandas as pd

from mergecast.errors import FamilyError, MergecastError, UndefinedError
from mergecast.evidence.kind import WEIGHTS, FamilyEvidence, kinds_of, wanted
from mergecast.evidence.metric import METRIC_MODULES, MetricSpec
from mergecast.evidence.readings import Readings
from mergecast.evidence.session import Session
from mergecast.evidence.settings import CALIBRATION
from mergecast.runtime.stage import Stage
from mergecast.tables.columns import ON_RIGHT, Column
from mergecast.tables.columns import columns_of as directed
from mergecast.tables.missing import MissingMetric
from mergecast.tables.pairs import FEW_SAMPLES, PairTable

if TYPE_CHECKING:
    from mergecast.evidence.weights.fingerprints import WeightFingerprints

#: Relative room for rounding at a range's ends.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Evidence:
    """What was collected of a family.

    Attributes
    ----------
    kinds : mapping of str to FamilyEvidence
        Kind of evidence to what there is of it.
    metrics : sequence of MetricSpec
        The metrics that it was collected for.
    methods : sequence of str
        What merges that metrics speak of are made by, see `Session.methods`.
    stage : Stage
        What the table of it is made by.
    recipe : mapping
        The settings that it was collected with.
    """

    kinds: Mapping[str, FamilyEvidence]
    metrics: Sequence[MetricSpec]
    methods: Sequence[str]
    stage: Stage
    recipe: Mapping[str, object]

    @property
    def weights(self) -> WeightFingerprints:
        """The weights tier, which is always collected."""
        return cast("WeightFingerprints", self.kinds[WEIGHTS])

    @property
    def note(self) -> str:
        """What a reader must know of how merges were measured; empty where there is nothing."""
        notes = (kind.note for kind in self.kinds.values() if isinstance(kind, Readings))
        return next(filter(None, notes), "")

    def table(self, members: Sequence[str], suite: str = "") -> PairTable:
        """Every metric of every pair of `members`.

        One row a pair, ``suite, left, right`` (labels in sorted order) and one column a metric,
        two for a directed one. Undefined values are NaN; the table has their reasons, every
        column's tier, the settings and the versions of what it was made by.
        """
        rows: list[dict[str, object]] = []
        missing: list[MissingMetric] = []
        columns = {str(column): (column, spec) for column, spec in self.columns()}
        for left, right in combinations(sorted(members), 2):
            row: dict[str, object] = {"suite": suite, "left": left, "right": right}
            read = cache(lambda kind, first, second: self.kinds[kind].pair(first, second))
            for name, (column, spec) in columns.items():
                labels = (right, left) if column.direction == ON_RIGHT else (left, right)
                try:
                    row[name] = _value(column, spec, read(spec.evidence, *labels), labels)
                except UndefinedError as reason:
                    row[name] = math.nan
                    missing.append(MissingMetric(suite, left, right, name, str(reason)))
            rows.append(row)
        return PairTable(
            pd.DataFrame(rows),
            tiers={name: spec.tier for name, (_, spec) in columns.items()},
            missing=missing,
            versions=self.stage.versions(),
            recipe=self.recipe,
        )

    def columns(self) -> Iterator[tuple[Column, MetricSpec]]:
        """Every column of the table in its order, with its metric."""
        return columns_of(self.metrics, self.methods)


def collect_evidence(
    session: Session,
    tier: str,
    metric_set: str | None = None,
    keys: Collection[str] | None = None,
) -> Evidence:
    """Every kind of evidence that the metrics of a tier read, weights first; see `wanted`.

    Models that the weights tier refuses (``on_error="refuse"``) are left out of the others.

    Parameters
    ----------
    session : Session
        Family, tasks and settings.
    tier : str
        ``weights``, ``activations``, ``labels``, ``gradients`` or ``probe``.
    metric_set : str or None
        Only the metrics of this set (``paper``), and only what they need; ``all`` takes in those
        that are left out by default.
    keys : collection of str or None
        Only these metrics.

    Raises
    ------
    UsageError
        An unknown tier or set, no tasks above weights.
    FamilyError
        Fewer than two models can be used.
    """
    metrics = wanted(tier, metric_set, keys)
    names = session.family.names
    need_pair(len(names))
    asked = session.narrowed(names, [spec.key for spec in metrics])
    kinds: dict[str, FamilyEvidence] = {}
    for kind in kinds_of(metrics):
        kinds[kind.name] = kind.collector.collect(asked)
        if kind.name == WEIGHTS:
            refused = cast("WeightFingerprints", kinds[WEIGHTS]).refused
            usable = [label for label in names if label not in refused]
            need_pair(len(usable), refused)
            asked = asked.narrowed(usable)
    methods = session.methods if any(spec.per_method for spec in metrics) else ()
    recipe = _recipe(session) if len(kinds) > 1 else {}
    return Evidence(kinds, metrics, methods, _stage_of(metrics, methods), recipe)


def _recipe(session: Session) -> dict[str, object]:
    """The settings that values above the weights tier depend on, as plain data."""
    settings, merges = asdict(session.settings), asdict(session.merges)
    recipe = {key: settings[key] for key in ("calibration", "seed", "layer")}
    recipe |= {key: value for key, value in merges.items() if key != "methods"}
    counts = {label: len(session.merge_samples(label)) for label in session.family.names}
    few = {label: count for label, count in counts.items() if count < CALIBRATION}
    return recipe | ({FEW_SAMPLES: few} if few else {})


def need_pair(count: int, refused: Mapping[str, str] | None = None) -> None:
    """Raise FamilyError where fewer than two models can be used."""
    if count < 2:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in (refused or {}).items())
        raise FamilyError(
            "family",
            f"has {count} usable model{f' ({reasons})' if reasons else ''}",
            "pairs need at least two fine-tuned models",
        )


def table_stage(
    tier: str, metric_set: str | None = None, methods: Sequence[str] | None = None
) -> Stage:
    """What the table of a tier, about some merging methods or all, is made by; see `wanted`.

    Its key changes with the version of every stage that goes into the table, and with the code of
    every metric and kernel; its versions are those that the table carries.
    """
    return _stage_of(wanted(tier, metric_set), methods)


def _stage_of(metrics: Collection[MetricSpec], methods: Sequence[str] | None) -> Stage:
    stages = [kind.collector.STAGE for kind in kinds_of(metrics)]
    if any(spec.per_method for spec in metrics):
        from mergecast.merging.method import METHODS, usual_methods

        names = usual_methods() if methods is None else methods
        kernels = dict.fromkeys(name.partition("(")[0] for name in names)
        stages += [METHODS.get(name).stage for name in kernels]
    return Stage(
        TABLE.name,
        TABLE.version,
        tuple(stages),
        TABLE.modules,
        lambda: [spec.function for spec in metrics],
    )


TABLE = Stage(
    "pair table",
    1,
    modules=(
        *METRIC_MODULES[:-1],
        "mergecast.evidence.readings",
        "mergecast.evidence.table",
        "mergecast.evidence.vectors",
        "mergecast.evidence.weights.fingerprints",
    ),
)


def columns_of(
    metrics: Sequence[MetricSpec], methods: Sequence[str]
) -> Iterator[tuple[Column, MetricSpec]]:
    """Every column of a table in its order, with its metric.

    Metrics of one family that are about methods stand together, method by method.
    """
    for (_, per_method), group in groupby(metrics, lambda spec: (spec.family, spec.per_method)):
        specs = list(group)
        for method in methods if per_method else ("",):
            for spec in specs:
                for column in directed(spec.key, method, symmetric=spec.symmetric):
                    yield column, spec


def _value(column: Column, spec: MetricSpec, pair: object, labels: tuple[str, str]) -> float:
    """One value, held to the metric's declared range; raises UndefinedError."""
    value = spec.function(pair, *((column.method,) if spec.per_method else ()))
    low, high = spec.range
    if isinstance(value, Real):
        room = _ROUNDING * max(1.0, abs(value))
        if math.isfinite(value) and low - room <= value <= high + room:
            return min(max(float(value), low), high)
    raise MergecastError(
        f"metric {column.key!r} of {labels[0]} and {labels[1]}",
        f"is {value!r}, not in its range [{low}, {high}]",
        f"report this defect of the metric to package {spec.package!r}",
    )
