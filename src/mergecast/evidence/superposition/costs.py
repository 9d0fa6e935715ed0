"""What partners cost a model: how much less it keeps beside them, where that was measured.

Shifts say what a merge answers, and its answers what a model keeps. Real merges lose less than
that between the points that were measured: half of a partner's shift costs less than half of what
all of it costs, or more, as answers lie near to each other or not. What a partner costs is known
there, though, beside a half of the model and beside all of it, and can be read at a strength
without answers, in proportion up to a half and on the line between the two from there on. It errs
otherwise than shifts do, so that the mean of both errs less than either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mergecast.evidence.superposition.shifts import HALF, WHOLE, Shifts

Values = Mapping[str, float]
"""What a model keeps, by form; forms that are not defined are not there."""


@dataclass(frozen=True)
class Costs:
    """What each model's partners cost it, by form.

    Attributes
    ----------
    shifts : Shifts
        Of all models.
    values : mapping of str to callable
        Label to what says how much of its model's own answers a merge's, (r, k), keep.
    """

    shifts: Shifts
    values: Mapping[str, Callable[[Tensor], Values]]
    _known: dict[tuple[str, ...], Values] = field(default_factory=dict)

    def beside(self, task: str, partner: str, strength: float) -> Values:
        """How much less a model keeps beside so much of a partner, by form."""
        half, whole = self._at_half(task, partner), self._at_whole(task, partner)
        if strength <= HALF or whole is None:
            return {form: strength / HALF * cost for form, cost in half.items()}
        way = (strength - HALF) / (WHOLE - HALF)
        return {
            form: half[form] + way * (whole[form] - half[form]) for form in half if form in whole
        }

    def _at_half(self, task: str, partner: str) -> Values:
        own = self.shifts.base[task] + self.shifts.half[task, task]
        return self._cost(own, self.shifts.half[partner, task], task, partner, "half")

    def _at_whole(self, task: str, partner: str) -> Values | None:
        shift = self.shifts.whole.get((partner, task))
        if shift is None:
            return None
        return self._cost(self.shifts.single[task], shift, task, partner, "whole")

    def _cost(self, own: Tensor, shift: Tensor, task: str, partner: str, at: str) -> Values:
        kept, lost = (task, at), (task, partner, at)
        if kept not in self._known:
            self._known[kept] = self.values[task](own)
        if lost not in self._known:
            beside, alone = self.values[task](own + shift), self._known[kept]
            self._known[lost] = {form: alone[form] - beside[form] for form in alone if form in beside}
        return self._known[lost]
