"""How much of what others do to a model's answers shows in a merge, told by a few merges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mergecast.typing import Floats

#: Shares of the others' shifts that merged sets are asked of, and how much all of it is believed
#: before: a share of none has to make up for so large an error, squared. Shares count by their
#: error to this power, which one of none leaves defined. Chosen on sets of three to six of
#: digits-14 and MiniLM-L3 tuned whole, which err alike for beliefs of 0.005 to 0.05 and powers of 2
#: to 4.
_SHARES, _WHOLE, _POWER, _EXACT = np.linspace(0.0, 1.0, 11), 0.02, 3, 1e-5


def share_told(errors: Callable[[float], Floats]) -> float:
    """The share of others' shifts at which superposition says what merges keep, 0 to 1.

    The mean of shares, each by how little it errs. `errors` are what is said less what merges keep,
    at a share, NaN where that is not defined; where none is, all of the shifts counts.
    """
    doubts = []
    for share in _SHARES.tolist():
        off = errors(share)
        known = off[np.isfinite(off)]
        if not len(known):
            return 1.0
        doubts.append(float(np.square(known).mean()) + _WHOLE * (1 - share) ** 2 + _EXACT)
    return float(np.average(_SHARES, weights=np.array(doubts) ** -_POWER))
