"""Whether a search's time reaches for its forecasts: asked before anything is run but one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mergecast.errors import UsageError
from mergecast.evidence.plan import pass_seconds
from mergecast.evidence.session import Session
from mergecast.evidence.settings import CALIBRATION, ProbeSettings
from mergecast.evidence.superposition.checks import superposition_cost
from mergecast.family.family import Family
from mergecast.tasks.task import Task


def refuse_too_short(
    family: Family, tasks: Mapping[str, Task], settings: ProbeSettings, n_methods: int, have: float
) -> None:
    """Raise UsageError where the forecasts alone would take longer than there is time.

    One model answers one batch; the passes that superposition takes are counted. Where the cache
    holds finished work nothing is refused, since that costs nothing.

    Parameters
    ----------
    family, tasks, settings
        As a session takes them.
    n_methods : int
        Merging methods that are forecast.
    have : float
        Seconds.
    """
    if settings.cache is not None and (Path(settings.cache) / "units").exists():
        return
    names = [label for label in family.names if label in tasks]
    if not names:
        return
    with Session(family, tasks, replace(settings, cache=None)) as session:
        each = pass_seconds(session, names[0])
    n, samples = len(family.names), max(settings.count(label) or CALIBRATION for label in names)
    passes = n * n_methods + superposition_cost(n, n_methods)[1]
    seconds = passes * samples * each
    if seconds > have:
        raise UsageError(
            "budget",
            f"is {have:.0f} s, and the forecasts of {n} models by {n_methods} methods alone take "
            f"about {seconds:.0f} s here",
            "give more time, fewer methods (--method) or fewer samples (--calibration)",
        )
