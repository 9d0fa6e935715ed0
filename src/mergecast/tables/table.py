"""What the pair and the outcome table have in common: checked rows and the data beside them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.errors import TableError
from mergecast.tables.io import read_table, write_table
from mergecast.tables.metadata import Metadata
from mergecast.tables.schema import about, refuse
from mergecast.tables.show import as_html, as_text

#: A truth value a row.
Mask = pd.Series | npt.NDArray[np.bool_] | Sequence[bool]


@dataclass(frozen=True, eq=False, repr=False)
class Table(ABC):
    """Rows that were checked when the table was made, so that nothing right of it checks again.

    Attributes
    ----------
    frame : DataFrame
        The rows, index 0..n-1. Read it, and change only a copy (`to_pandas`).
    versions : mapping of str to int
        Stage of computation to the version its numbers were made with; empty where unknown.
    recipe : mapping of str to object
        The settings that the numbers were made with, as plain data; empty where unknown.
    """

    frame: pd.DataFrame
    versions: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    recipe: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    #: What errors call the table, and its columns that are text.
    KIND: ClassVar[str]
    TEXT: ClassVar[list[str]]

    def __post_init__(self) -> None:
        self._set("versions", {str(stage): int(v) for stage, v in self.versions.items()})
        self._set("recipe", plain_recipe(self.recipe, self.KIND))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def of(cls, table: object) -> Self:
        """A table as it is, a DataFrame checked; TableError for anything else."""
        if isinstance(table, cls):
            return table
        if isinstance(table, pd.DataFrame):
            return cls(table)
        article = "an" if cls.__name__[0] in "AEIOU" else "a"
        raise TableError(
            f"{cls.KIND} table",
            f"is a {type(table).__name__}",
            f"give {article} {cls.__name__} or DataFrame",
        )

    @classmethod
    @abstractmethod
    def from_metadata(cls, frame: pd.DataFrame, metadata: Metadata) -> Self:
        """The table of rows and stored data; raises TableError where they are none."""

    @abstractmethod
    def metadata(self) -> Metadata:
        """The data beside the rows, as it is stored."""

    @abstractmethod
    def describe(self) -> str:
        """What the table holds, in one line."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The table in a ``.parquet`` or ``.csv`` file, of this version or an earlier one.

        Raises
        ------
        TableError
            The file is no table of this kind, or a newer version wrote it. The message starts
            with the path.
        ResourceError
            It cannot be read.
        """
        frame, metadata = read_table(path, cls.TEXT)
        with about(path):
            return cls.from_metadata(frame, metadata)

    def write(self, path: str | Path) -> Path:
        """Write to ``.parquet`` or ``.csv`` (and ``<stem>.meta.json``), atomically.

        Raises
        ------
        TableError
            Another suffix.
        ResourceError
            The file system refuses.
        """
        return write_table(self.frame, path, self.metadata())

    def to_pandas(self) -> pd.DataFrame:
        """A copy of the rows: an ordinary frame, without the data beside them."""
        return self.frame.copy()

    def stale(self, current: Mapping[str, int]) -> list[str]:
        """Stages whose version is another one now, sorted.

        Parameters
        ----------
        current : mapping of str to int
            Stage to its version today.

        Returns
        -------
        list of str
            Empty too where the table does not say what it was made with.
        """
        return sorted(stage for stage, v in self.versions.items() if current.get(stage) != v)

    @abstractmethod
    def keep(self, rows: Mask) -> Self:
        """The rows where the mask is true; raises TableError where it is nowhere."""

    def of_suite(self, name: str) -> Self:
        """The rows of one suite; raises TableError where there is none."""
        return self.keep(self.frame["suite"] == name)

    @property
    def suites(self) -> list[str]:
        """The suites of the table, sorted."""
        return sorted(str(suite) for suite in self.frame["suite"].unique())

    def __len__(self) -> int:
        return len(self.frame)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.frame.equals(other.frame) and self.metadata() == other.metadata()

    def __repr__(self) -> str:
        return as_text([self.describe()], self.frame)

    def _repr_html_(self) -> str:
        return as_html([self.describe()], self.frame)


def plain_recipe(recipe: Mapping[str, Any], table: str) -> dict[str, Any]:
    """A copy of a recipe as JSON gives it back; raises TableError for what is not JSON."""
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(recipe), allow_nan=False))
    except (TypeError, ValueError) as error:
        refuse(table, "recipe", f"not JSON: {error}", "use text, finite numbers, lists and dicts")
    return copy


def joined_versions(tables: Sequence[Table]) -> dict[str, int]:
    """Stage to the oldest version that one of several tables was made with."""
    found: dict[str, int] = {}
    for table in tables:
        for stage, version in table.versions.items():
            found[stage] = min(version, found.get(stage, version))
    return found


def joined_recipe(tables: Sequence[Table]) -> dict[str, Any]:
    """The recipe that several tables share, or all of theirs under ``runs``."""
    first = dict(tables[0].recipe)
    if all(table.recipe == first for table in tables):
        return first
    return {"runs": [dict(table.recipe) for table in tables]}
