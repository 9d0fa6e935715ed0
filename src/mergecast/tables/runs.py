"""Load suite folders: `pairs.parquet` and `outcomes.parquet` of one or several runs."""

from __future__ import annotations

from pathlib import Path

from mergecast.errors import TableError, UsageError
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.schema import about, refuse


def load_run(directory: str | Path, *more: str | Path) -> tuple[PairTable, OutcomeTable]:
    """The pairs and outcomes of one suite folder, or of several put one below the other.

    A folder holds `pairs` and `outcomes`, each as ``.parquet`` or ``.csv`` (Parquet first). Where
    one suite lacks a metric of another, its pairs miss it with that reason.

    Parameters
    ----------
    directory, *more : str or Path
        Suite folders.

    Returns
    -------
    pairs : PairTable
    outcomes : OutcomeTable

    Raises
    ------
    TableError
        A table is absent or breaks its schema, a suite has outcomes but no pairs (or the reverse),
        two folders hold the same suite.
    """
    folders = [Path(folder) for folder in (directory, *more)]
    runs = [_load_one(folder) for folder in folders]
    if len(runs) == 1:
        return runs[0]
    owner: dict[str, Path] = {}
    for folder, (pairs, _) in zip(folders, runs, strict=True):
        for suite in pairs.suites:
            if suite in owner:
                raise TableError(
                    folder,
                    f"holds suite {suite!r}, which {owner[suite]} holds too",
                    "give each suite once",
                )
            owner[suite] = folder
    return (
        PairTable.concat([pairs for pairs, _ in runs]),
        OutcomeTable.concat([outcomes for _, outcomes in runs]),
    )


def check_match(pairs: PairTable, outcomes: OutcomeTable) -> None:
    """Raise TableError when a suite of one table is unknown to the other."""
    known, measured = set(pairs.suites), set(outcomes.suites)
    for row, suite in enumerate(outcomes.frame["suite"]):
        if suite not in known:
            refuse(
                "outcomes",
                "suite",
                f"unknown suite {suite!r}; the pair table has {_listing(known)}",
                "compute its metrics, or remove its rows",
                row,
            )
    for row, suite in enumerate(pairs.frame["suite"]):
        if suite not in measured:
            refuse(
                "pairs",
                "suite",
                f"suite {suite!r} has no outcomes; the outcome table has {_listing(measured)}",
                "evaluate its merges, or remove its rows",
                row,
            )


def _load_one(folder: Path) -> tuple[PairTable, OutcomeTable]:
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "no such folder"
        raise UsageError(folder, problem, "give a suite folder written by `mergecast bench run`")
    pairs = PairTable.read(_find(folder, "pairs"))
    outcomes = OutcomeTable.read(_find(folder, "outcomes"))
    with about(folder):
        check_match(pairs, outcomes)
    return pairs, outcomes


def _find(folder: Path, stem: str) -> Path:
    for suffix in (".parquet", ".csv"):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise TableError(
        folder, f"no {stem}.parquet or {stem}.csv", "run `mergecast bench run` to the end"
    )


def _listing(suites: set[str]) -> str:
    return ", ".join(repr(suite) for suite in sorted(suites))
