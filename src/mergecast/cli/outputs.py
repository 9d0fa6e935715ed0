"""The options that name outputs: all are checked while the words are read, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from mergecast.runtime.outputs import check_file, check_folder

_Checked = Callable[[typer.Context, Path | None], Path | None]


def _before(check: Callable[[Path], None]) -> _Checked:
    """What typer calls with an option's value; nothing is checked for a shell's completion."""

    def checked(context: typer.Context, value: Path | None) -> Path | None:
        if value is not None and not context.resilient_parsing:
            check(value)
        return value

    return checked


def _table(path: Path) -> None:
    from mergecast.tables.io import table_files

    for file in table_files(path):
        check_file(file)


def _report(path: Path) -> None:
    from mergecast.api.reports import check_report

    check_report(path, "forecast")


def _picture(path: Path) -> None:
    from mergecast.forecast.picture import check_picture

    check_picture(path)


#: A file, a folder, a table with what stands beside it, a forecast's report, a picture.
a_file, a_folder = _before(check_file), _before(check_folder)
a_table, a_report, a_picture = _before(_table), _before(_report), _before(_picture)
