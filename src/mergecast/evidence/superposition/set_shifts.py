"""Shifts in merges of more than two models, added up for many sets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
import torch

from mergecast.errors import MergecastError, UndefinedError
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.collect import gather
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.evidence.superposition.shifts import Shifts
from mergecast.family import Family
from mergecast.family.blocks import ParamBlock
from mergecast.merging.apply import apply_delta
from mergecast.merging.stand_ins import with_stand_ins
from mergecast.typing import Floats

#: Shares of the others' shifts that are tried, and how much all of it is believed without a check:
#: a share of none has to make up for so large an error, squared. Chosen on digits-14 and MiniLM-L3,
#: of 0.001 to 0.03, which err alike.
_SHARES = tuple(step / 20 for step in range(20, -1, -1))
_WHOLE = 0.02
#: Numbers of logits held at once.
_AT_ONCE = 4_000_000
#: Models that tell what a method leaves of all.
_ASKED = 2


@dataclass(frozen=True)
class SetShifts:
    """What models do to each other's answers in merges of one size, and what they keep.

    A model's own answers there are measured by methods of which no simple share says them.

    Attributes
    ----------
    shifts : Shifts
        Models merged alone are merged with as many copies of the base as the size leaves room for.
    judges : mapping of str to SetJudge
        Label to what says how much of its own answers merges keep.
    """

    shifts: Shifts
    judges: Mapping[str, SetJudge]

    @classmethod
    def of(cls, session: Session, size: int) -> SetShifts:
        """Of a session's models, from its store or made for it."""
        shares = {method: share_left(session, method, size) for method in session.methods}
        sized = session.narrowed(session.family.names)
        sized.merges = replace(session.merges, size=size)
        anew = gather(sized, [method for method, share in shares.items() if share is None])
        shifts, alone, missing = gather(session), {**anew.alone}, {**anew.missing}
        for (method, share), label in product(shares.items(), shifts.base):
            if share is not None:
                try:
                    left = shifts.own_at(label, method, share)
                except UndefinedError as reason:
                    missing[label, method] = reason.problem
                else:
                    alone[label, method] = shifts.base[label] + left
        shifts = replace(shifts, alone=alone, missing=missing)
        judges = {
            task: SetJudge.of(session, shifts, own_answers(session, task)[0], task)
            for task in shifts.base
        }
        return cls(shifts, judges)

    def kept(
        self, sets: Sequence[tuple[str, ...]], method: str, share: float = 1.0
    ) -> tuple[Floats, Floats]:
        """What each member of each set keeps, (sets, size), and what it keeps without the others.

        Parameters
        ----------
        sets : sequence of tuple of str
            Each sorted.
        method : str
            One that the models were merged alone by.
        share : float
            How much of what the others do to a member's answers counts.
        """
        names = sorted(self.judges)
        places = _places(sets, names)
        found, alone = np.full((2, *places.shape), np.nan)
        for number, task in enumerate(names):
            rows, columns = np.nonzero(places == number)
            if len(rows):
                found[rows, columns], alone[rows, columns] = self._kept_of(
                    task, method, share, places[rows]
                )
        return found, alone

    def share(self, checks: Sequence[tuple[str, ...]], merged: Floats, method: str) -> float:
        """The share of what the others do by which merged sets keep what they keep, 0 to 1.

        What several models do to one's answers together is less than the sum of it, by how much
        hangs on the method and on the family. All of it, where no merge says otherwise.

        Parameters
        ----------
        checks : sequence of tuple of str
            Sets that were merged.
        merged : (checks, size) array
            What their members kept; NaN where that is not defined.
        method : str
            That they were merged by.
        """

        def off(share: float) -> float:
            errors = self.kept(checks, method, share)[0] - merged
            known = errors[np.isfinite(errors)]
            return float(np.square(known).sum() / max(known.size, 1)) + _WHOLE * (1 - share) ** 2

        return min(_SHARES, key=off) if checks else 1.0

    def _kept_of(
        self, task: str, method: str, share: float, places: npt.NDArray[np.intp]
    ) -> tuple[Floats, float]:
        """What a model keeps in each of some sets that it is in, (n,), and without the others.

        NaN where that is not defined.
        """
        judge, names = self.judges[task], sorted(self.judges)
        try:
            own, others = self.shifts.in_set(task, method)
        except UndefinedError:
            return np.full(len(places), np.nan), np.nan
        known = [label for label in names if label in others]
        if not known:
            return np.full(len(places), np.nan), np.nan
        parts = share * torch.stack([others[label].flatten() for label in known]).float()
        inside = np.zeros((len(places), len(names)), dtype="float32")
        np.put_along_axis(inside, places, 1.0, axis=1)
        column = {name: place for place, name in enumerate(names)}
        lacking = [label for label in names if label not in others and label != task]
        values = np.empty(len(places))
        at_once = max(_AT_ONCE // own.numel(), 1)
        chosen = torch.from_numpy(inside[:, [column[label] for label in known]])
        for first in range(0, len(places), at_once):
            some = slice(first, first + at_once)
            merged = own.flatten().float() + chosen[some] @ parts
            values[some] = judge.values(merged.reshape(-1, *own.shape)).numpy()
        without = inside[:, [column[label] for label in lacking]].any(axis=1)
        return np.where(without, np.nan, values), float(judge.values(own[None].float())[0])


def share_left(session: Session, method: str, size: int) -> float | None:
    """What a merge of so many leaves of a model, as a share of what one of two does.

    1, or 2 / `size`; None where it is neither, as of spectral methods, and is to be measured. Two
    models are merged with copies of the base by one parameter of each kind, the smallest matrix and
    the smallest vector that they change.
    """
    found = {
        _share_of(session, method, block, size)
        for label in sorted(session.family.names)[:_ASKED]
        for block in _smallest(session.family.subset([label]))
    }
    return found.pop() if len(found) == 1 else None


def _smallest(family: Family) -> list[ParamBlock]:
    """The smallest matrix and the smallest vector that the only model of a family changes."""
    blocks = sorted(family.blocks(), key=lambda block: block.size)
    kinds = ([one for one in blocks if (len(one.shape) > 1) == matrix] for matrix in (True, False))
    first = (next((one for one in kind if np.any(one.delta(0))), None) for kind in kinds)
    return [block for block in first if block is not None]


def _share_of(session: Session, method: str, block: ParamBlock, size: int) -> float | None:
    """The same of one parameter of one model."""
    recipe, left = session.recipe(method), []
    for count in (2, size):
        joined = with_stand_ins(block, count, "base", 0)
        try:
            delta = apply_delta(joined, recipe.merging_method, recipe.params, seed=recipe.seed)
        except MergecastError:
            return None
        left.append(delta)
    pair, more = left
    near = 1e-5 * float(np.abs(more).max())
    shares = (1.0, 2 / size)
    return next((x for x in shares if np.allclose(more, x * pair, rtol=1e-3, atol=near)), None)


def _places(sets: Sequence[tuple[str, ...]], names: Sequence[str]) -> npt.NDArray[np.intp]:
    """Members as places in the sorted names, (sets, size)."""
    order = {name: place for place, name in enumerate(names)}
    return np.array([[order[one] for one in members] for members in sets], dtype=np.intp)
