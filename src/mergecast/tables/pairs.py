"""The pair table: one row a pair of models, one float column a metric.

Columns `suite, left, right` with left < right, then metrics; their names are the language of
`tables.columns`. A value that is not defined is NaN, and the table says why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from mergecast.tables.columns import check_halves, features, method_features
from mergecast.tables.metadata import Metadata
from mergecast.tables.missing import MissingMetric, of_missing_metrics, stored_metric
from mergecast.tables.schema import (
    float_column,
    refuse,
    refuse_duplicates,
    require_columns,
    text_column,
)
from mergecast.tables.table import Mask, Table, joined_recipe, joined_versions
from mergecast.tables.tiers import ALL, TIERS, reach_of, tiers_of

PAIR_KEYS = ["suite", "left", "right"]
NO_REASON = "no reason recorded"
NOT_MEASURED = "not measured in this suite"
#: In a recipe, label to its number of samples, of models that were asked fewer than usual.
FEW_SAMPLES = "few_samples"


@dataclass(frozen=True, eq=False, repr=False)
class PairTable(Table):
    """Metrics of pairs of models.

    Attributes
    ----------
    frame : DataFrame
        Text columns `suite, left, right`, then float64 metrics; row order is free and kept.
    tiers : mapping of str to str
        Metric column to the tier of evidence it took; empty where the table does not say.
    missing : tuple of MissingMetric
        Why values are NaN, each reason of a value that is.
    versions, recipe
        See `Table`.

    Raises
    ------
    TableError
        A missing or repeated column, an unsorted or duplicate pair, a name that is not text, a
        metric that is not a finite number or NaN, half of a directed metric, no rows, an unknown
        tier.

    Examples
    --------
    >>> rows = pd.DataFrame({"suite": "toy", "left": ["a"], "right": ["b"], "cosine": [0.5]})
    >>> table = PairTable(rows, tiers={"cosine": "weights"})
    >>> table.metrics, table.tier_names
    (['cosine'], ['weights'])
    """

    tiers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    missing: Sequence[MissingMetric] = field(default=(), kw_only=True)

    KIND: ClassVar[str] = "pairs"
    TEXT: ClassVar[list[str]] = PAIR_KEYS

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("frame", _checked(self.frame))
        self._set("tiers", tiers_of(self.tiers, self.metrics))
        self._set("missing", of_missing_metrics(self.missing, self.frame))

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        *,
        tiers: Mapping[str, str] | None = None,
        missing: Iterable[MissingMetric | Mapping[str, object]] = (),
        versions: Mapping[str, int] | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> Self:
        """A table of a frame and what is known of it.

        Parameters
        ----------
        frame : DataFrame
            The rows; it is copied.
        tiers : mapping of str to str, optional
            Column to tier; columns that there are not may be among them.
        missing : iterable of MissingMetric or mapping
            Why values are missing; without a suite a reason is that of every suite. Reasons of
            values that are there are left out.
        versions, recipe : mapping, optional
            See `Table`.

        Raises
        ------
        TableError
            As the class.
        """
        reasons = tuple(stored_metric(entry) for entry in missing)
        return cls(
            frame, tiers=tiers or {}, missing=reasons, versions=versions or {}, recipe=recipe or {}
        )

    @classmethod
    def from_metadata(cls, frame: pd.DataFrame, metadata: Metadata) -> Self:
        """See `Table`."""
        return cls.from_pandas(
            frame,
            tiers=metadata.tiers,
            missing=metadata.missing,
            versions=metadata.versions,
            recipe=metadata.recipe,
        )

    def metadata(self) -> Metadata:
        """See `Table`."""
        return Metadata(
            tiers=dict(self.tiers),
            missing=[asdict(entry) for entry in self.missing],
            versions=dict(self.versions),
            recipe=dict(self.recipe),
        )

    @classmethod
    def concat(cls, tables: Sequence[PairTable]) -> PairTable:
        """Several suites' tables, one below the other.

        Where one lacks a metric of another, its pairs miss it with that reason. Tiers are kept
        where every table has them.
        """
        metrics = list(dict.fromkeys(column for table in tables for column in table.metrics))
        missing = [entry for table in tables for entry in table.missing]
        for table in tables:
            absent = [column for column in metrics if column not in table.frame.columns]
            missing += [
                MissingMetric(suite, left, right, column, NOT_MEASURED)
                for suite, left, right in table.frame[PAIR_KEYS].itertuples(index=False, name=None)
                for column in absent
            ]
        tiers: dict[str, str] = {}
        for table in tables if all(table.tiers for table in tables) else ():
            tiers |= table.tiers
        return PairTable(
            pd.concat([table.frame for table in tables], ignore_index=True),
            tiers=tiers,
            missing=missing,
            versions=joined_versions(tables),
            recipe=joined_recipe(tables),
        )

    @property
    def metrics(self) -> list[str]:
        """The metric columns, in table order."""
        return [column for column in self.frame.columns if column not in PAIR_KEYS]

    @property
    def models(self) -> list[str]:
        """The models of all pairs, sorted."""
        return sorted({*self.frame["left"], *self.frame["right"]})

    @property
    def tier_names(self) -> list[str]:
        """The tiers of the table, cheapest first; ``["all"]`` where it does not say."""
        named = set(self.tiers.values())
        return [tier for tier in TIERS if tier in named] or [ALL]

    def features(self) -> dict[str, tuple[str, str]]:
        """Key to the two columns of a metric; see `tables.columns.features`."""
        return features(self.metrics)

    def method_features(self, method: str) -> dict[str, tuple[str, str]]:
        """What says something of one merging method; see `tables.columns.method_features`."""
        return method_features(self.metrics, method)

    def up_to(self, tier: str) -> PairTable:
        """The table as it would be had nobody gone beyond `tier`; columns without one are kept.

        Raises
        ------
        UsageError
            No such tier.
        """
        if tier == ALL:
            return self
        reach = reach_of(tier)
        return self.only([c for c in self.metrics if self.tiers.get(c, tier) in reach])

    def only(self, metrics: Collection[str]) -> PairTable:
        """The same pairs with these metric columns, in the order given."""
        return replace(self, frame=self.frame[[*PAIR_KEYS, *metrics]])

    def keep(self, rows: Mask) -> Self:
        """See `Table`."""
        return replace(self, frame=self.frame[np.asarray(rows, dtype=bool)])

    def with_suite(self, name: str) -> PairTable:
        """The table with its pairs of no suite (``""``) declared to be of one."""
        return replace(self, frame=self.frame.assign(suite=self.frame["suite"].replace("", name)))

    def reason(self, suite: str, left: str, right: str, column: str) -> str:
        """Why a value is missing: as recorded, or that nothing was."""
        return self._reasons.get((suite, left, right, column), NO_REASON)

    @cached_property
    def _reasons(self) -> dict[tuple[str, str, str, str], str]:
        return {(m.suite, m.left, m.right, m.key): m.reason for m in self.missing}

    def describe(self) -> str:
        """See `Table`."""
        counts = {tier: list(self.tiers.values()).count(tier) for tier in self.tier_names}
        tiers = ", ".join(f"{n} of {tier}" for tier, n in counts.items() if n)
        gaps = int(self.frame[self.metrics].isna().to_numpy().sum())
        return (
            f"PairTable: {len(self)} pairs of {len(self.models)} models "
            f"({', '.join(map(repr, self.suites))}), {len(self.metrics)} metric columns"
            f"{f' ({tiers})' if tiers else ''}, missing values: {gaps}"
        )


#: What functions take that users call with tables of their own.
PairsLike = PairTable | pd.DataFrame


def as_pairs(pairs: object) -> PairTable:
    """The one door for tables that users bring: a frame is checked, a table is what it is.

    Raises
    ------
    TableError
        Something else, or a frame that is no pair table.
    """
    return PairTable.of(pairs)


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """A checked copy: text keys first, float64 metrics, index 0..n-1."""
    require_columns(frame, PAIR_KEYS, "pairs")
    frame = frame.reset_index(drop=True)
    metrics = [column for column in frame.columns if column not in PAIR_KEYS]
    check_halves(metrics)
    columns = {key: text_column(frame, key, "pairs", empty=key == "suite") for key in PAIR_KEYS}
    columns |= {key: float_column(frame, key, "pairs", missing=True) for key in metrics}
    checked = pd.DataFrame(columns)
    if checked.empty:
        refuse("pairs", "left", "the table has no rows", "give at least one pair")
    for row, (left, right) in enumerate(zip(checked["left"], checked["right"], strict=True)):
        if not left < right:
            refuse(
                "pairs",
                "left",
                f"pair ({left!r}, {right!r}) is not sorted",
                "store each pair once, with left < right",
                row,
            )
    refuse_duplicates(checked, PAIR_KEYS, "pairs")
    return checked
