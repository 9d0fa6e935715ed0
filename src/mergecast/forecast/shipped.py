"""Forecasters that come with the package: JSON files in ``mergecast/data``, called by file name."""

from __future__ import annotations

from pathlib import Path

from mergecast.errors import UsageError

DATA = Path(__file__).parents[1] / "data"
#: Folders with the measured tables that the shipped forecasters are fitted on, one a suite.
MEASURED = DATA / "measured"
#: The same of suites that had no part in any choice or fit: what forecasts are worth on these.
HELD_OUT = DATA / "held_out"
DEFAULT = "suites"


def measured_folders() -> list[Path]:
    """The folders in `MEASURED`, sorted."""
    return sorted(path for path in MEASURED.iterdir() if path.is_dir())


def shipped_forecasters(folder: Path | None = None) -> list[str]:
    """Names of the forecasters that come with the package, sorted."""
    return sorted(path.stem for path in (folder or DATA).glob("*.json"))


def find_forecaster(
    source: str | Path | None = None, folder: Path | None = None
) -> tuple[str, Path]:
    """What a forecaster is called, and its file; the default one for None.

    Parameters
    ----------
    source : str or Path, optional
        A file or a shipped name. What exists, has a suffix or a folder in it is a file; all else
        is a name.
    folder : Path, optional
        Where the shipped ones are.

    Raises
    ------
    UsageError
        An unknown name, or no default.
    """
    folder = folder or DATA
    names = shipped_forecasters(folder)
    if source is None:
        if DEFAULT not in names:
            raise UsageError(
                "forecaster",
                "none given, and none comes with this installation",
                "fit one with `mergecast fit DIR -o FILE` and give it by --forecaster FILE",
            )
        source = DEFAULT
    path = Path(source)
    if path.suffix == ".json" or path.name != str(source) or path.is_file():
        return str(path), path
    if str(source) not in names:
        shipped = ", ".join(names) or "none comes with this installation"
        problem = f"give a file or one of: {shipped}"
        raise UsageError(f"forecaster {str(source)!r}", "unknown", problem)
    return str(source), folder / f"{source}.json"
