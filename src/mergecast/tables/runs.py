"""Load suite folders: `pairs.parquet` and `outcomes.parquet` of one or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mergecast.errors import TableError, UsageError
from mergecast.tables.io import read_outcomes, read_pairs
from mergecast.tables.outcomes import validate_outcomes
from mergecast.tables.pairs import metric_columns, validate_pairs
from mergecast.tables.schema import refuse


def load_run(directory: str | Path, *more: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The (pairs, outcomes) of one suite folder, or of several put one below the other.

    A folder holds `pairs` and `outcomes`, each as ``.parquet`` or ``.csv`` (Parquet first). Where
    one suite lacks a metric of another, its pairs miss it with that reason.

    Raises
    ------
    TableError
        A table is absent or breaks its schema, a suite has outcomes but no pairs (or the reverse),
        two folders hold the same suite.
    """
    runs = [_load_one(Path(folder)) for folder in (directory, *more)]
    if len(runs) == 1:
        return runs[0]
    metrics = list(dict.fromkeys(key for pairs, _ in runs for key in metric_columns(pairs)))
    owner: dict[str, Path] = {}
    for folder, (pairs, _) in zip((directory, *more), runs, strict=True):
        for suite in pairs["suite"].unique():
            if suite in owner:
                raise TableError(
                    folder,
                    f"holds suite {suite!r}, which {owner[suite]} holds too",
                    "give each suite once",
                )
            owner[suite] = Path(folder)
    missing = [entry for pairs, _ in runs for entry in _missing(pairs, metrics)]
    pairs = pd.concat([_plain(frame) for frame, _ in runs], ignore_index=True)
    pairs.attrs["missing"] = missing
    if all("tiers" in frame.attrs for frame, _ in runs):
        tiers = (frame.attrs["tiers"] for frame, _ in runs)
        pairs.attrs["tiers"] = {column: tier for one in tiers for column, tier in one.items()}
    outcomes = pd.concat([frame for _, frame in runs], ignore_index=True)
    return validate_pairs(pairs), validate_outcomes(outcomes)


def check_match(pairs: pd.DataFrame, outcomes: pd.DataFrame, table: str = "outcomes") -> None:
    """Raise TableError when a suite of one table is unknown to the other."""
    known, measured = set(pairs["suite"]), set(outcomes["suite"])
    for row, suite in enumerate(outcomes["suite"]):
        if suite not in known:
            refuse(
                table,
                "suite",
                f"unknown suite {suite!r}; the pair table has {_listing(known)}",
                "compute its metrics, or remove its rows",
                row,
            )
    for row, suite in enumerate(pairs["suite"]):
        if suite not in measured:
            refuse(
                "pairs",
                "suite",
                f"suite {suite!r} has no outcomes; the outcome table has {_listing(measured)}",
                "evaluate its merges, or remove its rows",
                row,
            )


def _load_one(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "no such folder"
        raise UsageError(folder, problem, "give a suite folder written by `mergecast bench run`")
    pairs = read_pairs(_find(folder, "pairs"))
    outcomes = read_outcomes(_find(folder, "outcomes"))
    try:
        check_match(pairs, outcomes)
    except TableError as error:
        raise error.about(folder) from None
    return pairs, outcomes


def _find(folder: Path, stem: str) -> Path:
    for suffix in (".parquet", ".csv"):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise TableError(
        folder, f"no {stem}.parquet or {stem}.csv", "run `mergecast bench run` to the end"
    )


def _missing(pairs: pd.DataFrame, metrics: Sequence[str]) -> list[dict[str, str]]:
    """The reasons of one suite's table, by suite, and those of the metrics it never had."""
    suites = pairs[["suite", "left", "right"]].to_dict("records")
    by_pair = {(str(row["left"]), str(row["right"])): str(row["suite"]) for row in suites}
    entries = [
        {"suite": by_pair.get((entry["left"], entry["right"]), ""), **entry}
        for entry in pairs.attrs["missing"]
    ]
    absent = [key for key in metrics if key not in pairs.columns]
    entries += [
        {
            **{str(k): str(v) for k, v in row.items()},
            "key": key,
            "reason": "not measured in this suite",
        }
        for row in suites
        for key in absent
    ]
    return entries


def _plain(pairs: pd.DataFrame) -> pd.DataFrame:
    # concat compares attrs; the reasons are joined by hand.
    plain = pairs.copy()
    plain.attrs = {}
    return plain


def _listing(suites: set[str]) -> str:
    return ", ".join(repr(suite) for suite in sorted(suites))
