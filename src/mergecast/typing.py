"""Types that many rooms share; importing it costs nothing but NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: An array of any dtype.
Array: TypeAlias = npt.NDArray[Any]
#: An array of float64.
Floats: TypeAlias = npt.NDArray[np.float64]
#: Called with the units done since the last call.
Advance: TypeAlias = Callable[[int], None]
#: Names or patterns as people give them: a lone string is one of them.
Names: TypeAlias = str | Sequence[str]


def listed(names: Names | None) -> list[str]:
    """Names as a list in the order given; empty for None."""
    return [names] if isinstance(names, str) else list(names or ())
