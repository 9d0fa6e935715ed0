"""Whether a merge is worth making: what it keeps beside nothing, beside the base, beside enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mergecast.display.kept import Own
from mergecast.forecast.recommend import DO_NOT_MERGE, MERGE, THRESHOLD
from mergecast.search.objective import EVERY
from mergecast.typing import Floats

#: Why a merge is not worth making for a member, as data.
NOTHING, LESS_THAN_BASE = "nothing", "less than the base"


@dataclass(frozen=True)
class Worth:
    """What the members of a merge keep, and whether that is worth a merge.

    Attributes
    ----------
    kept : (k,) array
        What each member keeps; a scorer may give less than nothing.
    base : (k,) array
        What the base keeps with the member's head; NaN where that is not known.
    least : (k,) array
        What each member must keep; minus infinity where nothing is required of it.
    own : Own
        The members, and what they keep a part of.
    """

    kept: Floats
    base: Floats
    least: Floats
    own: Own

    @property
    def members(self) -> tuple[str, ...]:
        """Labels."""
        return tuple(self.own.labelled)

    @property
    def met(self) -> bool:
        """Whether every member keeps what it must."""
        return bool((self.kept >= self.least).all())

    @property
    def advice(self) -> str:
        """``merge``, or ``do not merge`` where a requirement is missed or a member is lost."""
        return MERGE if self.met and not self.lost else DO_NOT_MERGE

    @property
    def lost(self) -> dict[str, str]:
        """Members that the merge does no good, each to `NOTHING` or `LESS_THAN_BASE`.

        It keeps nothing of them; or, where the base keeps more in the mean, less than that does,
        which is there without any merge. A member that the base alone serves better is no reason
        against a merge that serves the others.
        """
        known = np.isfinite(self.base)
        better = known.any() and self.kept[known].mean() < self.base[known].mean()
        found = {}
        for label, kept in zip(self.members, self.kept, strict=True):
            if kept <= 0:
                found[label] = NOTHING
            elif better and label in self.worse:
                found[label] = LESS_THAN_BASE
        return found

    @property
    def worse(self) -> tuple[str, ...]:
        """Members of which the base keeps more; none where that is not known."""
        return tuple(np.array(self.members)[self.kept < self.base].tolist())

    @property
    def below(self) -> tuple[str, ...]:
        """Members that keep less than `THRESHOLD`, and of which nothing was required."""
        free = (self.kept < THRESHOLD) & np.isneginf(self.least)
        return tuple(np.array(self.members)[free].tolist())

    @property
    def why_not(self) -> str:
        """What the merge keeps of members that it does no good, after "the best merge"."""
        rows = zip(self.members, self.kept, self.base, strict=True)
        kept = {label: (mine, theirs) for label, mine, theirs in rows}
        said = []
        for label, reason in self.lost.items():
            mine, theirs = kept[label]
            of = self._own([label]).each
            if reason == NOTHING:
                said.append(f"nothing of {label} ({mine:.3f} of {of})")
            else:
                said.append(
                    f"less of {label} than the base does ({mine:.3f} of {of}, the base "
                    f"{theirs:.3f} with its head)"
                )
        return f"keeps {listing(said)}" if said else ""

    @property
    def remedy(self) -> str:
        """What to search for instead of a merge that is not worth making."""
        lost = [*self.lost]
        if not lost:
            return "require less"
        asked, them = (lost[0], "it") if len(lost) == 1 else (EVERY, "them")
        more = f'keeps more of {listing(lost)} (--require "{asked}>={THRESHOLD:g}")'
        others = f", or without {them}" if len(self.members) - len(lost) > 1 else ""
        return f"search for a merge that {more}{others}"

    @property
    def at_a_loss(self) -> str:
        """Which members keep too little for `forecast` to advise a merge; empty where none do."""
        if not self.below:
            return ""
        kept = dict(zip(self.members, self.kept.tolist(), strict=True))
        said = listing(
            [f"{x} {'keeps ' * (not place)}{kept[x]:.3f}" for place, x in enumerate(self.below)]
        )
        one = len(self.below) == 1
        own = self._own(self.below)
        return (
            f"{said}, less than {THRESHOLD:.0%} of {own.each if one else own.all}: keep "
            f"{'it' if one else 'these'} apart, or require more "
            f'(--require "{EVERY}>={THRESHOLD:g}"), so that a search refuses such a merge.'
        )

    @property
    def beside_base(self) -> str:
        """Which members the base alone serves better than the merge; empty where none."""
        rows = zip(self.members, self.kept, self.base, strict=True)
        said = [f"{x} {mine:.3f} ({theirs:.3f})" for x, mine, theirs in rows if x in self.worse]
        return f"The base keeps more, with the models' heads, of {listing(said)}." if said else ""

    def _own(self, members: Sequence[str]) -> Own:
        return Own({label: self.own.labelled[label] for label in members})


def listing(words: Sequence[str]) -> str:
    """Words with commas, and "and" before the last."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
