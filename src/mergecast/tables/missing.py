"""Why values of a table are missing: reasons as data, each beside a value that is not there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mergecast.tables.schema import refuse

_PAIR = ["suite", "left", "right"]
_ROW = ["suite", "recipe", "members", "task", "seed"]


@dataclass(frozen=True)
class MissingMetric:
    """Why one value of a pair table is missing.

    Attributes
    ----------
    suite, left, right : str
        The pair.
    key : str
        The column.
    reason : str
        Why there is no value.
    """

    suite: str
    left: str
    right: str
    key: str
    reason: str


@dataclass(frozen=True)
class MissingOutcome:
    """Why a value of a member of a merge is missing.

    Attributes
    ----------
    suite, method, members, task, seed
        The row.
    reason : str
        Why there is no value.
    column : str
        Which value: ``retention`` speaks of the score too, whose lack is one cause of its own.
    recipe : str
        That of the row; the method's name if empty.
    """

    suite: str
    method: str
    members: str
    task: str
    seed: int
    reason: str
    column: str = "retention"
    recipe: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipe", self.recipe or self.method)


def stored_metric(entry: MissingMetric | Mapping[str, object]) -> MissingMetric:
    """A reason from plain data; without a suite it is of every suite.

    Raises
    ------
    TableError
        Fields are absent, or there are others.
    """
    if isinstance(entry, MissingMetric):
        return entry
    try:
        return MissingMetric(**{key: str(value) for key, value in {"suite": "", **entry}.items()})
    except TypeError:
        wanted = "give left, right, key, reason (and suite)"
        refuse("pairs", "missing", f"{dict(entry)} is not the reason of a value", wanted)


def stored_outcome(entry: Mapping[str, object], frame: pd.DataFrame) -> MissingOutcome:
    """A reason from plain data; of an earlier version, which named neither suite nor seed, too.

    Parameters
    ----------
    entry : mapping
        The fields.
    frame : DataFrame
        The rows: a table of an earlier version has one suite and one seed.

    Raises
    ------
    TableError
        Fields are absent, or there are others.
    """
    known = {key: frame[key].iloc[0] for key in ("suite", "seed") if key in frame and len(frame)}
    fields: dict[str, Any] = {**known, **entry}
    try:
        return MissingOutcome(**{**fields, "seed": int(fields["seed"])})
    except (TypeError, ValueError, KeyError):
        wanted = "give suite, method, members, task, seed and reason"
        refuse("outcomes", "missing", f"{dict(entry)} is not the reason of a value", wanted)


def of_missing_metrics(
    missing: Iterable[MissingMetric], frame: pd.DataFrame
) -> tuple[MissingMetric, ...]:
    """The reasons of values that are missing in a pair table, each once, with its suite."""
    gaps = _Gaps(frame, _PAIR)
    suites: dict[tuple[str, str], list[str]] = {}
    for suite, left, right in frame[_PAIR].itertuples(index=False, name=None):
        suites.setdefault((left, right), []).append(suite)
    found: dict[MissingMetric, None] = {}
    for entry in missing:
        owners = suites.get((entry.left, entry.right), [])
        for suite in [entry.suite] if entry.suite or "" in owners else owners:
            if (suite, entry.left, entry.right) in gaps.of(entry.key):
                found[replace(entry, suite=suite)] = None
    return tuple(found)


def of_missing_outcomes(
    missing: Iterable[MissingOutcome], frame: pd.DataFrame
) -> tuple[MissingOutcome, ...]:
    """The reasons of values that are missing in an outcome table, each once."""
    gaps = _Gaps(frame, _ROW)
    return tuple(
        dict.fromkeys(
            m
            for m in missing
            if (m.suite, m.recipe, m.members, m.task, m.seed) in gaps.of(m.column)
        )
    )


class _Gaps:
    """The rows of a frame, by key, where a column has no value."""

    def __init__(self, frame: pd.DataFrame, keys: list[str]) -> None:
        self._frame = frame
        self._keys = keys
        self._found: dict[str, set[tuple[Hashable, ...]]] = {}

    def of(self, column: str) -> set[tuple[Hashable, ...]]:
        """Keys of the rows without a value; none where there is no such column."""
        if column not in self._found:
            rows = self._frame[self._frame[column].isna()] if column in self._frame else None
            keys = () if rows is None else rows[self._keys].itertuples(index=False, name=None)
            self._found[column] = set(keys)
        return self._found[column]
