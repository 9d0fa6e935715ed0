"""What a search may spend: time, or a number of measurements."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mergecast.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
#: Fewer measurements than this choose nothing.
_LEAST = 2


@dataclass(frozen=True)
class Budget:
    """A budget, as people write it: ``30m``, ``90s``, ``1.5h``, or ``200`` measurements.

    Attributes
    ----------
    looks : int or None
        Measurements at most.
    seconds : float or None
        From the start, forecasts included; the last measurement, verification and writing follow.

    Examples
    --------
    >>> Budget.of("30m")
    Budget(looks=None, seconds=1800.0)
    >>> Budget.of(200)
    Budget(looks=200, seconds=None)
    """

    looks: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, given: str | int | None) -> Budget:
        """Read a budget; None for none.

        Raises
        ------
        UsageError
            It is neither, or too small for anything.
        """
        if given is None:
            return cls()
        text = str(given).strip()
        if text.isdecimal():
            looks = int(text)
            if looks < _LEAST:
                raise UsageError(
                    "budget", f"is {looks} measurements", f"give {_LEAST} or more, or a time"
                )
            return cls(looks=looks)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text)
        if match is None or not float(match[1]) > 0:
            raise UsageError(
                "budget",
                f"is {given!r}",
                "give a time, such as 90s, 30m or 2h, or a number of measurements, such as 200",
            )
        return cls(seconds=float(match[1]) * _UNITS[match[2]])
