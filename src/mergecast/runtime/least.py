"""Numbers of samples, processes and seeds as callers give them: not too small."""

from __future__ import annotations

from mergecast.errors import UsageError


def at_least(least: int, **values: int | None) -> None:
    """Raise UsageError for the first of some values, by name, that is smaller; None is none given.

    Parameters
    ----------
    least : int
        The smallest that is taken.
    **values : int or None
        What was given.

    Examples
    --------
    >>> at_least(1, workers=2, calibration=None)
    >>> at_least(0, seed=-1)
    Traceback (most recent call last):
    ...
    mergecast.errors.UsageError: seed: is -1; give 0 or more
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise UsageError(name, f"is {value}", f"give {least} or more")
