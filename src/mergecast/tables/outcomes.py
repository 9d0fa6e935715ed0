"""The outcome table: what merges did. One row a merged set and member task.

Columns `suite, method, recipe` (the method with what it was told, as `Recipe.label` writes it),
`members` (sorted names joined by ``+``), `task` (the member that was evaluated), `score,
single_score` (merged and single model on the same samples), `retention` = score / single_score,
`loss, single_loss`, `n_eval` (samples), `seed`; more columns are kept. A table may lack `suite`
(then empty), `recipe` (then the method's name, which stands for its default parameters),
`retention` (then computed), losses and `n_eval` (then missing) and `seed` (then 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from mergecast.tables.metadata import Metadata
from mergecast.tables.missing import MissingOutcome, of_missing_outcomes, stored_outcome
from mergecast.tables.outcome_checks import (
    MERGE_KEYS,
    OUTCOME_COLUMNS,
    TEXT_COLUMNS,
    checked_outcomes,
)
from mergecast.tables.sets import JOIN, sizes_of
from mergecast.tables.table import Mask, Table, joined_recipe, joined_versions


@dataclass(frozen=True, eq=False, repr=False)
class OutcomeTable(Table):
    """What merges did to their members.

    Attributes
    ----------
    frame : DataFrame
        `OUTCOME_COLUMNS`, then more. Scores are 0 or more. A score is NaN where a merge could not
        be evaluated (it diverged); retention is NaN there and where single_score is 0; losses may
        be NaN (a task without a loss), and n_eval (a number that is not known). In further columns
        missing text is empty.
    missing : tuple of MissingOutcome
        Why values are NaN, each reason of a row and column where one is.
    versions, recipe
        See `Table`.

    Raises
    ------
    TableError
        A missing column, a wrong dtype, a recipe of another method, members that are not sorted, a
        task that is no member, a set with an unmeasured member, a duplicate row, a score below 0,
        a retention that is not score / single_score within 1e-6, no rows.
    """

    missing: Sequence[MissingOutcome] = field(default=(), kw_only=True)

    KIND: ClassVar[str] = "outcomes"
    TEXT: ClassVar[list[str]] = TEXT_COLUMNS

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("frame", checked_outcomes(self.frame))
        self._set("missing", of_missing_outcomes(self.missing, self.frame))

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        *,
        missing: Iterable[MissingOutcome] = (),
        versions: Mapping[str, int] | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> Self:
        """A table of a frame and what is known of it.

        Parameters
        ----------
        frame : DataFrame
            The rows; it is copied.
        missing : iterable of MissingOutcome
            Why values are missing; reasons of values that are there are left out.
        versions, recipe : mapping, optional
            See `Table`.

        Raises
        ------
        TableError
            As the class.
        """
        return cls(frame, missing=tuple(missing), versions=versions or {}, recipe=recipe or {})

    @classmethod
    def from_metadata(cls, frame: pd.DataFrame, metadata: Metadata) -> Self:
        """See `Table`."""
        missing = [stored_outcome(entry, frame) for entry in metadata.missing]
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
    def recipes(self) -> list[str]:
        """The recipes of the table, sorted: a method's name where it was told nothing."""
        return sorted(str(recipe) for recipe in self.frame["recipe"].unique())

    @property
    def by_recipe(self) -> pd.DataFrame:
        """The rows with each recipe as a method of its own.

        That is what is fitted, forecast and reported apart: the same method at another strength is
        another merge. Column `method` holds the recipe; index as `frame`.
        """
        return self.frame.assign(method=self.frame["recipe"]).drop(columns="recipe")

    @property
    def of_own_models(self) -> pd.Series:
        """Whether each row's recipe names its models: it has weights or values of theirs."""
        return self.frame["recipe"].str.contains("={", regex=False)

    @property
    def sizes(self) -> pd.Series:
        """The number of members of each row's merge; index as `frame`."""
        return sizes_of(self.frame["members"])

    def keep(self, rows: Mask) -> Self:
        """See `Table`."""
        return replace(self, frame=self.frame[np.asarray(rows, dtype=bool)])

    def members(self) -> pd.DataFrame:
        """Retention of each member of each merged *pair*, averaged over seeds.

        Sets of one or of three and more members are no pairs and stay out, and so do recipes with
        weights or values of models, which say nothing of other pairs.

        Returns
        -------
        DataFrame
            `suite, method, left, right, member, retention`, sorted by these keys; `method` is the
            recipe, see `by_recipe`.
        """
        names = self.frame["members"].str.partition(JOIN)
        rows = pd.DataFrame(
            {
                "suite": self.frame["suite"],
                "method": self.frame["recipe"],
                "left": names[0],
                "right": names[2],
                "member": self.frame["task"],
                "retention": self.frame["retention"],
            }
        )[(self.sizes == 2) & ~self.of_own_models]
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
        merges = self.frame[MERGE_KEYS].drop_duplicates()
        counts = sizes_of(merges["members"]).value_counts().sort_index()
        sizes = ", ".join(f"{n} of {size}" for size, n in counts.items())
        return (
            f"OutcomeTable: {len(merges)} merges ({', '.join(map(repr, self.suites))}; {sizes} "
            f"models) by {', '.join(self.recipes)}, "
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
    return OutcomeTable.of(outcomes)


def _means(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    # skipna=False: a member whose retention is undefined for one seed is undefined, not luckier.
    means = rows.groupby(keys, sort=True)["retention"].agg(lambda values: values.mean(skipna=False))
    return means.reset_index()
