"""The whole way on a cut of the embedded suite, forecasts beside the truth."""

from __future__ import annotations

from pathlib import Path

from mergecast.api.reports import judge_run
from mergecast.report.html import write_html
from mergecast.report.inputs import read_inputs
from mergecast.report.model import RunSummary
from mergecast.runtime.outputs import check_file
from mergecast.runtime.progress import Progress
from mergecast.suites.run import run_suite

#: A cut of digits-14 of each kind: plain, geometric, tonal, scrambled, corrupted, relabelled.
TASKS = ("upright", "rotated-90", "inverted", "permuted", "noisy", "parity", "prime", "loops")
#: Random sets of each size, for `mergecast evaluate demo/run`: enough to see, seconds to merge.
SETS = 2


def demo(
    out: str | Path = "demo",
    *,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> RunSummary:
    """Fine-tune eight small models, forecast every merge of two, then merge and compare.

    Takes a minute or two; a second run goes on from what is there. Every forecast shown comes from
    a forecaster that had seen neither of the two models.

    Parameters
    ----------
    out : str or Path
        Folder of everything it makes: ``run/``, ``forecaster.json``, ``report.html``.
    seed : int
        Of everything random.
    workers : int
        Processes; the numbers do not depend on it.
    progress : Progress, optional
        Told of every stage.

    Returns
    -------
    RunSummary
        The summary of the run, as `report` gives it.
    """
    folder = Path(out)
    page, forecaster_file = folder / "report.html", folder / "forecaster.json"
    for path in (page, forecaster_file):
        check_file(path)
    run = run_suite(
        "digits-14",
        folder / "run",
        only=TASKS,
        seed=seed,
        workers=workers,
        n_sets=SETS,
        progress=progress,
    )
    summary, forecaster = judge_run(read_inputs(run), warm=True, workers=workers, progress=progress)
    forecaster.save(forecaster_file)
    write_html(summary, page)
    return summary
