"""Forecasters that come with the package: JSON files in ``mergecast/data``, called by file name."""

from __future__ import annotations

from pathlib import Path

from mergecast.errors import UsageError
from mergecast.forecast.forecaster import Forecaster

DATA = Path(__file__).parents[1] / "data"
DEFAULT = "digits-14"


def shipped_forecasters(folder: Path | None = None) -> list[str]:
    """Names of the forecasters that come with the package, sorted."""
    return sorted(path.stem for path in (folder or DATA).glob("*.json"))


def load_forecaster(
    name: Forecaster | str | Path | None = None, folder: Path | None = None
) -> tuple[str, Forecaster]:
    """A forecaster by file or by shipped name, with what to call it; the default for None.

    One that is given as it is stays so.

    A path that exists, has a suffix or a folder in it is a file; all else is a name.

    Raises
    ------
    UsageError
        An unknown name, a file that is no forecaster, or no default.
    """
    if isinstance(name, Forecaster):
        return "forecaster in memory", name
    folder = folder or DATA
    names = shipped_forecasters(folder)
    if name is None:
        if DEFAULT not in names:
            raise UsageError(
                "forecaster",
                "none given, and none comes with this installation",
                "fit one with `mergecast fit DIR -o FILE` and give it by --forecaster FILE",
            )
        name = DEFAULT
    path = Path(name)
    if path.suffix == ".json" or path.name != str(name) or path.is_file():
        return str(path), Forecaster.load(path)
    if str(name) not in names:
        known = ", ".join(names) or "none comes with this installation"
        raise UsageError(f"forecaster {str(name)!r}", "unknown", f"give a file or one of: {known}")
    return str(name), Forecaster.load(folder / f"{name}.json")
