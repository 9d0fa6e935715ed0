"""What a table's file keeps beside its rows: reasons, tiers, versions and recipe.

One JSON object: in a Parquet file under the key ``mergecast`` of the file's own metadata, for a CSV
in ``<stem>.meta.json`` beside it. `FORMAT` is raised when an older version could not read it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mergecast.errors import ResourceError, TableError
from mergecast.runtime.files import write_json

FORMAT: Final = 1
_KEY: Final = b"mergecast"
# pandas kept a frame's attributes under this key, and tables of earlier versions theirs in them.
_PANDAS_KEY: Final = b"PANDAS_ATTRS"
_OLD_REASONS: Final = ".missing.csv"


class Metadata(BaseModel):
    """The data beside a table's rows, as it is stored.

    Attributes
    ----------
    format : int
        Version of this layout.
    tiers : dict of str to str
        Metric column to the tier of evidence it took.
    missing : list of dict
        Why values are missing: `MissingMetric` or `MissingOutcome` as plain data.
    versions : dict of str to int
        Stage of computation to the version that the values were made with.
    recipe : dict
        The settings that the values were made with.
    types : dict of str to str
        Column to ``float64``, ``int64``, ``bool`` or ``str``, which a CSV does not tell.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    tiers: dict[str, str] = {}
    missing: list[dict[str, str | int]] = []
    versions: dict[str, int] = {}
    recipe: dict[str, JsonValue] = {}
    types: dict[str, str] = Field(default={})

    @classmethod
    def parse(cls, data: Any, path: Path) -> Self:
        """Checked metadata of the table in `path`.

        Raises
        ------
        TableError
            Written by a newer version, or damaged.
        """
        version = data.get("format") if isinstance(data, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise TableError(
                path,
                f"written by a newer mergecast (table format {version}, known up to {FORMAT})",
                "update mergecast, or write the table again with this version",
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "all of it"
            raise TableError(
                path, f"damaged metadata: {where}: {first['msg']}", "write the table again"
            ) from error


def to_parquet(frame: pd.DataFrame, metadata: Metadata | None, path: Path) -> None:
    """Write rows, and metadata where there is any, to one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # pandas' own metadata and statistics would take a third of a pair table of a thousand
    # columns, and say nothing that its types do not.
    kept = None if metadata is None else {_KEY: metadata.model_dump_json().encode()}
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(kept)
    pq.write_table(table, path, write_statistics=False)


def from_parquet(path: Path) -> Metadata:
    """The metadata of a Parquet file; that of an earlier version where there is no other."""
    import pyarrow.parquet as pq

    stored = pq.read_metadata(path).metadata or {}
    if _KEY in stored:
        return Metadata.parse(_json(stored[_KEY], path), path)
    old = _json(stored.get(_PANDAS_KEY, b"{}"), path)
    known = {key: old[key] for key in ("missing", "tiers") if isinstance(old, dict) and key in old}
    return Metadata.parse(known, path)


def sidecar(path: Path) -> Path:
    """Where the metadata of a CSV table is."""
    return path.with_name(f"{path.stem}.meta.json")


def to_sidecar(metadata: Metadata, path: Path) -> None:
    """Write the metadata of the CSV table `path`, in place of an earlier version's."""
    write_json(sidecar(path), metadata.model_dump())
    path.with_name(path.stem + _OLD_REASONS).unlink(missing_ok=True)


def from_sidecar(path: Path) -> Metadata:
    """The metadata of the CSV table `path`; empty where nothing is beside it."""
    beside, old = sidecar(path), path.with_name(path.stem + _OLD_REASONS)
    if not beside.is_file():
        return _old_reasons(old) if old.is_file() else Metadata()
    try:
        text = beside.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ResourceError(beside, problem, "check the file") from error
    return Metadata.parse(_json(text, beside), beside)


def _old_reasons(path: Path) -> Metadata:
    """What an earlier version kept beside a CSV: the reasons alone, as a CSV of their own."""
    try:
        reasons = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise ResourceError(path, f"cannot be read: {error.strerror}", "check the file") from error
    except ValueError as error:
        raise TableError(path, f"not a csv table: {error}", "write the table again") from error
    return Metadata.parse({"missing": reasons.to_dict("records")}, path)


def _json(text: bytes, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(path, f"damaged metadata: {error}", "write the table again") from error
