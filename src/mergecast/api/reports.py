"""Reports: of a forecast, and of a run's merges beside what had been forecast of them."""

from __future__ import annotations

from pathlib import Path
from typing import overload

from mergecast.api.inputs import refuse_table
from mergecast.forecast.choice import CANDIDATES
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.result import Forecast
from mergecast.forecast.validation.evaluate import evaluate
from mergecast.report.family_summary import summarise_forecast
from mergecast.report.html import write_html
from mergecast.report.inputs import RunInputs, read_inputs
from mergecast.report.markdown import render_markdown
from mergecast.report.model import FamilySummary, RunSummary, Summary
from mergecast.report.summary import summarise_run
from mergecast.runtime.files import write_json, write_text
from mergecast.runtime.outputs import check_file
from mergecast.runtime.progress import Progress


@overload
def report(
    source: Forecast,
    out: str | Path | None = None,
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> FamilySummary: ...


@overload
def report(
    source: str | Path,
    out: str | Path | None = None,
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> RunSummary: ...


def report(
    source: Forecast | str | Path,
    out: str | Path | None = None,
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> Summary:
    """Everything there is to say of a forecast, or of a run's merges, and a page of it.

    The merges of a run are forecast by fits that had not seen them: each pair from pairs that
    touch neither of its tasks (``l2to``), or only one (``loto``).

    Parameters
    ----------
    source : Forecast, str or Path
        A forecast, or the folder of a run with `pairs` and `outcomes` tables.
    out : str or Path, optional
        An ``.html`` file for the page alone, or a folder for ``report.html``, the same as
        ``report.md``, and its data, ``forecast.json`` or ``run.json``; nothing by default.
    workers : int
        Processes; the numbers do not depend on it.
    progress : Progress, optional
        Told of every fit.

    Returns
    -------
    FamilySummary or RunSummary
        Plain data; `mergecast.report.model` has its keys.

    Raises
    ------
    UsageError
        No such folder, too few tasks, `out` has the suffix of a table or cannot be written.
    TableError, ResourceError
        A table that breaks its schema; a page that cannot be written.

    Examples
    --------
    >>> import mergecast as mc
    >>> summary = mc.report("runs/toy", "toy.html")
    >>> summary["kind"], Path("toy.html").is_file()
    ('run', True)
    """
    if out is not None:
        check_report(out, "forecast" if isinstance(source, Forecast) else "run")
    summary: Summary
    if isinstance(source, Forecast):
        summary = summarise_forecast(source)
    else:
        summary, _ = judge_run(read_inputs(source), warm=False, workers=workers, progress=progress)
    if out is not None:
        _write(summary, Path(out))
    return summary


def check_report(out: str | Path, kind: str) -> None:
    """Raise UsageError where a report's page, or folder, cannot be written.

    Parameters
    ----------
    out : str or Path
        As of `report`.
    kind : str
        What it is of: ``forecast`` or ``run``.
    """
    refuse_table(out)
    for file in _files(Path(out), kind):
        check_file(file)


def _files(out: Path, kind: str) -> list[Path]:
    """What a report writes, the page first: alone where its name is given."""
    if out.suffix in {".html", ".htm"}:
        return [out]
    return [out / name for name in ("report.html", "report.md", f"{kind}.json")]


def judge_run(
    inputs: RunInputs, *, warm: bool, workers: int, progress: Progress | None
) -> tuple[RunSummary, Forecaster]:
    """The summary of a run by forecasts that had not seen it, and the forecaster that it gives.

    Parameters
    ----------
    inputs : RunInputs
        What the run measured.
    warm : bool
        Give the forecaster models of known outcomes too.
    """
    evaluations = [
        evaluate(
            inputs.pairs, inputs.outcomes, protocol, CANDIDATES, workers=workers, progress=progress
        )
        for protocol in ("loto", "l2to")
    ]
    forecaster = Forecaster.fit(
        inputs.pairs,
        inputs.outcomes,
        validation=evaluations[-1],
        cheaper=False,
        warm=warm,
        workers=workers,
        progress=progress,
    )
    return summarise_run(inputs, evaluations, forecaster.forecast(inputs.pairs)), forecaster


def _write(summary: Summary, out: Path) -> None:
    """The page; in a folder the same as Markdown, and its data, beside it."""
    page, *beside = _files(out, summary["kind"])
    write_html(summary, page)
    if beside:
        write_text(beside[0], render_markdown(summary))
        write_json(beside[1], summary)
