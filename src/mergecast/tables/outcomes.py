"""The outcome table: what merges did. One row a merged set and member task.

Columns `suite, method, members` (sorted names joined by ``+``), `task` (the member that was
evaluated), `score, single_score` (merged and single model on the same samples), `retention` =
score / single_score, `loss, single_loss`, `n_eval` (samples), `seed`; more columns are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from mergecast.errors import TableError
from mergecast.tables.metadata import Metadata
from mergecast.tables.schema import (
    float_column,
    integer_column,
    kept_column,
    refuse,
    refuse_duplicates,
    require_columns,
    text_column,
)
from mergecast.tables.table import Mask, Table, joined_recipe, joined_versions

_TEXT = ["suite", "method", "members", "task"]
_FLOAT = {"score": True, "single_score": False, "retention": True}
_LOSS = ["loss", "single_loss"]
OUTCOME_COLUMNS = [*_TEXT, *_FLOAT, *_LOSS, "n_eval", "seed"]
_ROW_KEYS = ["suite", "method", "members", "task", "seed"]

# Stored retention may be rounded (float32, CSV by hand), never recomputed differently.
_RETENTION_TOLERANCE = 1e-6
_JOIN = "+"


def join_members(names: Iterable[str]) -> str:
    """The name of a merged set: its members' names in sorted order, joined by ``+``."""
    return _JOIN.join(sorted(names))


def split_members(members: str) -> list[str]:
    """The members' names of a merged set, sorted."""
    return members.split(_JOIN)


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
    """

    suite: str
    method: str
    members: str
    task: str
    seed: int
    reason: str
    column: str = "retention"


@dataclass(frozen=True, eq=False, repr=False)
class OutcomeTable(Table):
    """What merges did to their members.

    Attributes
    ----------
    frame : DataFrame
        `OUTCOME_COLUMNS`, then more. A score is NaN where a merge could not be evaluated (it
        diverged); retention is NaN there and where single_score is 0; losses may be NaN (a task
        without a loss). In further columns missing text is empty.
    missing : tuple of MissingOutcome
        Why values are NaN, each reason of a row and column where one is.
    versions, recipe
        See `Table`.

    Raises
    ------
    TableError
        A missing column, a wrong dtype, members that are not sorted, a task that is no member, a
        set with an unmeasured member, a duplicate row, a retention that is not
        score / single_score within 1e-6, no rows.
    """

    missing: Sequence[MissingOutcome] = field(default=(), kw_only=True)

    KIND: ClassVar[str] = "outcomes"
    TEXT: ClassVar[list[str]] = _TEXT

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("frame", _checked(self.frame))
        gaps = {column: self._gaps(column) for column in {m.column for m in self.missing}}
        reasons = dict.fromkeys(
            m
            for m in self.missing
            if (m.suite, m.method, m.members, m.task, m.seed) in gaps[m.column]
        )
        self._set("missing", tuple(reasons))

    def _gaps(self, column: str) -> set[tuple[Any, ...]]:
        """The keys of the rows where a column has no value; none where there is no such column."""
        if column not in self.frame:
            return set()
        gaps = self.frame[self.frame[column].isna()]
        return set(gaps[_ROW_KEYS].itertuples(index=False, name=None))

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        *,
        missing: Iterable[MissingOutcome] = (),
        versions: Mapping[str, int] | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> Self:
        """A table of a frame.

        Raises
        ------
        TableError
            As the class.
        """
        return cls(frame, missing=tuple(missing), versions=versions or {}, recipe=recipe or {})

    @classmethod
    def from_metadata(cls, frame: pd.DataFrame, metadata: Metadata) -> Self:
        """See `Table`."""
        missing = [_as_missing(entry, frame) for entry in metadata.missing]
        return cls.from_pandas(
            frame, missing=missing, versions=metadata.versions, recipe=metadata.recipe
        )

    def metadata(self) -> Metadata:
        """See `Table`."""
        more = self.frame.columns.drop(OUTCOME_COLUMNS)
        return Metadata(
            missing=[asdict(entry) for entry in self.missing],
            versions=dict(self.versions),
            recipe=dict(self.recipe),
            types={name: str(self.frame[name].dtype) for name in more},
        )

    @classmethod
    def concat(cls, tables: Sequence[OutcomeTable]) -> OutcomeTable:
        """Several suites' tables, one below the other."""
        return OutcomeTable(
            pd.concat([table.frame for table in tables], ignore_index=True),
            missing=[entry for table in tables for entry in table.missing],
            versions=joined_versions(tables),
            recipe=joined_recipe(tables),
        )

    @property
    def methods(self) -> list[str]:
        """The merging methods of the table, sorted."""
        return sorted(str(method) for method in self.frame["method"].unique())

    @property
    def sizes(self) -> pd.Series:
        """The number of members of each row's merge; index as `frame`."""
        return self.frame["members"].str.count(rf"\{_JOIN}") + 1

    def keep(self, rows: Mask) -> Self:
        """See `Table`."""
        return replace(self, frame=self.frame[np.asarray(rows, dtype=bool)])

    def members(self) -> pd.DataFrame:
        """Retention of each member of each merged *pair*, averaged over seeds.

        Sets of one or of three and more members are no pairs and stay out.

        Returns
        -------
        DataFrame
            `suite, method, left, right, member, retention`, sorted by these keys.
        """
        names = self.frame["members"].str.partition(_JOIN)
        rows = pd.DataFrame(
            {
                "suite": self.frame["suite"],
                "method": self.frame["method"],
                "left": names[0],
                "right": names[2],
                "member": self.frame["task"],
                "retention": self.frame["retention"],
            }
        )[self.sizes == 2]
        return _means(rows, ["suite", "method", "left", "right", "member"])

    def pairs(self) -> pd.DataFrame:
        """The outcome of each merged pair: the mean retention of its two members.

        This is the paper's normalized accuracy.

        Returns
        -------
        DataFrame
            `suite, method, left, right, retention`; NaN where a member's is undefined.
        """
        return _means(self.members(), ["suite", "method", "left", "right"])

    def describe(self) -> str:
        """See `Table`."""
        merges = self.frame[["suite", "method", "members", "seed"]].drop_duplicates()
        counts = (merges["members"].str.count(rf"\{_JOIN}") + 1).value_counts().sort_index()
        sizes = ", ".join(f"{n} of {size}" for size, n in counts.items())
        return (
            f"OutcomeTable: {len(merges)} merges ({', '.join(map(repr, self.suites))}; {sizes} "
            f"models) by {', '.join(self.methods)}, "
            f"missing retentions: {int(self.frame['retention'].isna().sum())}"
        )


#: What functions take that users call with tables of their own.
OutcomesLike = OutcomeTable | pd.DataFrame


def as_outcomes(outcomes: object) -> OutcomeTable:
    """The one door for tables that users bring: a frame is checked, a table is what it is.

    Raises
    ------
    TableError
        Something else, or a frame that is no outcome table.
    """
    if isinstance(outcomes, OutcomeTable):
        return outcomes
    if isinstance(outcomes, pd.DataFrame):
        return OutcomeTable(outcomes)
    raise TableError(
        "outcomes table", f"is a {type(outcomes).__name__}", "give an OutcomeTable or DataFrame"
    )


def _means(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    # skipna=False: a member whose retention is undefined for one seed is undefined, not luckier.
    means = rows.groupby(keys, sort=True)["retention"].agg(lambda values: values.mean(skipna=False))
    return means.reset_index()


def _as_missing(entry: Mapping[str, str | int], frame: pd.DataFrame) -> MissingOutcome:
    """A stored reason; one of an earlier version lacks suite and seed, of which a run has one."""
    known = {key: frame[key].iloc[0] for key in ("suite", "seed") if key in frame and len(frame)}
    try:
        merged: dict[str, Any] = {**known, **entry}
        return MissingOutcome(**{**merged, "seed": int(merged["seed"])})
    except (TypeError, ValueError, KeyError):
        wanted = "give suite, method, members, task, seed and reason"
        refuse("outcomes", "missing", f"{dict(entry)} is not the reason of a row", wanted)


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """A checked copy: text keys, float64 values, index 0..n-1."""
    table = "outcomes"
    require_columns(frame, OUTCOME_COLUMNS, table)
    df = frame.reset_index(drop=True)
    if df.empty:
        refuse(table, "members", "the table has no rows", "evaluate at least one merge")
    columns = {key: text_column(df, key, table, empty=key == "suite") for key in _TEXT}
    columns |= {key: float_column(df, key, table, missing=nan) for key, nan in _FLOAT.items()}
    columns |= {key: float_column(df, key, table, missing=True) for key in _LOSS}
    columns["n_eval"] = integer_column(df, "n_eval", table, low=1)
    columns["seed"] = integer_column(df, "seed", table, low=0)
    columns |= {key: kept_column(df, key, table) for key in df.columns if key not in columns}
    checked = pd.DataFrame(columns)
    _check_members(checked)
    _check_retention(checked)
    refuse_duplicates(checked, ["suite", "method", "members", "seed", "task"], table)
    _check_complete(checked)
    return checked


def _check_members(df: pd.DataFrame) -> None:
    for row, (members, task) in enumerate(zip(df["members"], df["task"], strict=True)):
        names = split_members(members)
        if names != sorted(set(names)) or "" in names:
            refuse(
                "outcomes",
                "members",
                f"{members!r} is not a sorted list of distinct names",
                "join sorted names with '+'",
                row,
            )
        if task not in names:
            refuse(
                "outcomes",
                "task",
                f"{task!r} is not a member of {members!r}",
                "name one of them",
                row,
            )


def _check_retention(df: pd.DataFrame) -> None:
    single = df["single_score"].to_numpy()
    stored = df["retention"].to_numpy()
    negative = np.flatnonzero(single < 0)
    if negative.size:
        row = int(negative[0])
        refuse(
            "outcomes",
            "single_score",
            f"negative ({single[row]:g})",
            "use a score whose ratio means something, such as accuracy",
            row,
        )
    expected = np.full(len(df), np.nan)
    np.divide(df["score"].to_numpy(), single, out=expected, where=single > 0)
    close = np.isclose(stored, expected, rtol=0, atol=_RETENTION_TOLERANCE, equal_nan=True)
    wrong = np.flatnonzero(~close)
    if wrong.size:
        row = int(wrong[0])
        refuse(
            "outcomes",
            "retention",
            f"{stored[row]:g} where score / single_score is {expected[row]:g}",
            "store score / single_score, and NaN where single_score is 0 or the score missing",
            row,
        )


def _check_complete(df: pd.DataFrame) -> None:
    keys = ["suite", "method", "members", "seed"]
    counts = df.groupby(keys, sort=False)["task"].transform("size")
    sizes = df["members"].str.count(r"\+") + 1
    short = np.flatnonzero(counts.to_numpy() != sizes.to_numpy())
    if short.size:
        row = int(short[0])
        members = df["members"].iloc[row]
        same = (df[keys] == df[keys].iloc[row]).all(axis=1)
        absent = sorted(set(split_members(members)) - set(df.loc[same, "task"]))
        refuse(
            "outcomes",
            "task",
            f"members {members!r} (method {df['method'].iloc[row]}) lack a row for {absent[0]!r}",
            "evaluate every member of a merged set",
            row,
        )
