"""Why a merge was never measured, from what a search believed at its end, in plain words."""

from __future__ import annotations

import numpy as np

from mergecast.search.beliefs import Beliefs
from mergecast.search.run import Search
from mergecast.search.steps import KNOWN, MEASURED, OVER, SPENT

#: Fewer errors than this below the best, and a merge may still be the best.
_NEAR = 1.5
#: More errors than this are not counted.
_FAR = 10.0
#: What the search's end says of merges that may still be the best; else nothing was to be gained.
_AT_END = {
    SPENT: "the budget was spent first",
    OVER: "the time was over first",
    KNOWN: "the best was known well enough without it",
    MEASURED: "others were likelier to be the best",
}
_IDLE = "measuring it was not expected to gain anything"


class Reasons:
    """Reasons why merges were not measured.

    Parameters
    ----------
    found : Search
        After its end.
    beliefs : Beliefs
        Its last ones.
    """

    def __init__(self, found: Search, beliefs: Beliefs) -> None:
        self._found, self._beliefs = found, beliefs
        self._utilities, self._spreads = found.utilities(beliefs)
        self._best = found.best
        self._end = _AT_END.get(found.ended, _IDLE)

    def why(self, place: int) -> str:
        """Why the merge at a place was not measured."""
        found, best = self._found, self._best
        mine, its = (len(found.priced[x].candidate.members) for x in (place, best))
        if found.objective.kind == "most" and mine < its and self._drag(best) < 1:
            return f"has {mine} models, and the best has {its}"
        epsilon = found.limits.epsilon
        if self._drag(place) > self._drag(best) + epsilon:
            return self._short_of(place)
        if self._drag(best) > self._drag(place) + epsilon and self._gain(place) > 0:
            return f"thought to be nearer to what is required than the best: {self._end}"
        worth, most = self._worth(place), self._worth(best)
        beside = f"thought to be worth {worth:.3f}, the best {most:.3f}"
        if abs(worth - most) <= epsilon:
            return f"thought as good as the best within what matters ({epsilon:g}): {self._end}"
        if worth > most:
            return f"{beside}, but is known to {self._spreads[place]:.3f} only: {self._end}"
        return f"{beside}: {self._better((most - worth) / self._spreads[place])}"

    def _gain(self, place: int) -> float:
        """How much more it is thought to be worth than the best, requirements counted."""
        return float(self._utilities[place] - self._utilities[self._best])

    def _worth(self, place: int) -> float:
        """The objective, at what is believed."""
        members = self._found.priced[place].candidate.members
        return float(self._found.objective.value(members, self._found.kept(self._beliefs, place)))

    def _drag(self, place: int) -> float:
        """What a merge loses of its utility by what is required of its members."""
        objective, members = self._found.objective, self._found.priced[place].candidate.members
        whole = len(members) if objective.kind == "most" else 0
        return self._worth(place) + whole - float(self._utilities[place])

    def _short_of(self, place: int) -> str:
        """That a member is thought to keep too little of what it must."""
        members = self._found.priced[place].candidate.members
        kept, least = self._found.kept(self._beliefs, place), self._found.objective.least(members)
        worst = int((kept - least).argmin())
        short = float(least[worst] - kept[worst])
        said = f"thought to keep {kept[worst]:.3f} of {members[worst]}"
        if short <= 0:
            return f"{said}, hardly more than the {least[worst]:g} that is required"
        variance = self._beliefs.variance[self._beliefs.rows.merge == place][worst]
        better = self._better(short / float(np.sqrt(variance)))
        return f"{said}, where {least[worst]:g} is required: {better}"

    def _better(self, errors: float) -> str:
        """How far so many errors below the best are."""
        if errors > _FAR:
            return f"it would have to be more than {_FAR:.0f} of its errors better"
        if errors < _NEAR:
            return f"only {errors:.1f} of its errors less, but {self._end}"
        return f"it would have to be {errors:.1f} of its errors better"
