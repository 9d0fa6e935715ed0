"""What a model loses beside a partner, where that was measured: read without answers.

What a model keeps follows from a merge's answers, and these from shifts. Between the strengths
that were measured shifts do not quite add up, and real merges mostly lose less than their sum says.
But at those strengths it is known what a model keeps with a partner and without one, and the share
that it loses can be read at any other. Both ways err, and not alike: their mean errs less than
either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from mergecast.evidence.superposition.shifts import HALF, WHOLE, Shifts

Values = Mapping[str, float]
"""Form of retention to a value; forms that are not defined are not there."""


@dataclass(frozen=True)
class Losses:
    """What models lose beside each other, as shares of what they keep without.

    Attributes
    ----------
    shifts : Shifts
        Of all models.
    kept : mapping of str to callable
        Label to what says how much of its model's own answers other ones, (r, k), keep.
    """

    shifts: Shifts
    kept: Mapping[str, Callable[[Tensor], Values]]

    def beside(self, task: str, partner: str, strength: float) -> Values:
        """What share a model loses beside so much of a partner's task vector, by form.

        On the parabola through none, a half and all of it; in proportion where all of it was not
        measured. A share is not defined of what is not above zero.
        """
        half, whole = self._measured(task, partner)
        if whole is None:
            return {form: strength / HALF * lost for form, lost in half.items()}
        found = {}
        for form in half.keys() & whole:
            bend = 2 * whole[form] - 4 * half[form]
            found[form] = (whole[form] - bend) * strength + bend * strength**2
        return found

    def _measured(self, task: str, partner: str) -> tuple[Values, Values | None]:
        """The same beside a half of both, and beside all of both where that was measured."""
        if (task, partner) not in self._pairs:
            base, half = self.shifts.base[task], self.shifts.half
            shift = self.shifts.whole.get((partner, task))
            single = self.shifts.single[task]
            self._pairs[task, partner] = (
                self._lost(task, HALF, base + half[task, task], half[partner, task]),
                None if shift is None else self._lost(task, WHOLE, single, shift),
            )
        return self._pairs[task, partner]

    def _lost(self, task: str, share: float, own: Tensor, shift: Tensor) -> Values:
        if (task, share) not in self._own:
            self._own[task, share] = self.kept[task](own)
        without, beside = self._own[task, share], self.kept[task](own + shift)
        return {
            form: 1 - beside[form] / value
            for form, value in without.items()
            if form in beside and value > 0
        }

    @cached_property
    def _pairs(self) -> dict[tuple[str, str], tuple[Values, Values | None]]:
        """Those that were asked for."""
        return {}

    @cached_property
    def _own(self) -> dict[tuple[str, float], Values]:
        """What models at a half and whole keep, of those that were asked for."""
        return {}
