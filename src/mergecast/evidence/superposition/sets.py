"""Larger sets from the shifts of pairs: any set, by any method, without a forward pass.

What a set's merge answers to a task's samples is the base's answers and the members' shifts at
their shares in a merge of so many. For all sets at once that is one product of matrices a task and
method. As with pairs, a few sets are really merged by each method and say how far that is off.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.checks import checked_sets
from mergecast.evidence.superposition.collect import Merge, gather, real_merges
from mergecast.evidence.superposition.corrections import corrections
from mergecast.evidence.superposition.kinds import kinds_of, role, together
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.evidence.superposition.shifts import Left, Shifts
from mergecast.tables.sets import join_members
from mergecast.typing import Floats

#: Numbers of logits held at once.
_AT_ONCE = 4_000_000
#: Numbers of logits in all: what a core works through in half a minute.
_IN_ALL = 200_000_000


@dataclass(frozen=True)
class SetReadings:
    """What members keep in sets of one size, by method.

    Attributes
    ----------
    members : list of tuple of str
        The sets, each sorted.
    kept : mapping of str to (sets, size) array
        Method to what each member keeps, in the set's order; NaN where that is not defined.
    alone : mapping of str to (sets, size) array
        The same without the others' shifts: of each member alone, at its share in such a set.
    checked : mapping of str to list of tuple of str
        Method to the sets that were really merged by it; what they keep is what their merges did.
    """

    members: list[tuple[str, ...]]
    kept: Mapping[str, Floats]
    alone: Mapping[str, Floats]
    checked: Mapping[str, list[tuple[str, ...]]]

    def of(self, method: str, names: Sequence[str]) -> Floats:
        """What members keep in sets by their joined names, (n, size); NaN for a set not here."""
        return self._rows(self.kept[method], names)

    def alone_of(self, method: str, names: Sequence[str]) -> Floats:
        """What the same members keep without the others, (n, size); NaN for a set not here."""
        return self._rows(self.alone[method], names)

    def _rows(self, values: Floats, names: Sequence[str]) -> Floats:
        places = {join_members(one): place for place, one in enumerate(self.members)}
        known = np.vstack([values, np.full((1, len(self.members[0])), np.nan)])
        return np.asarray(known[[places.get(name, -1) for name in names]])


def most_sets(session: Session, size: int) -> int:
    """How many sets of a size can be superposed in about half a minute, one at least."""
    numbers = max(own_answers(session, label)[1].numel() for label in session.family.names)
    return max(_IN_ALL // (numbers * size * len(session.methods)), 1)


def collect_sets(session: Session, sets: Sequence[tuple[str, ...]]) -> SetReadings:
    """What the members of sets of one size keep under each of the session's methods.

    Nothing is run but a few merges; shifts are read from the store, or made for it.

    Parameters
    ----------
    session : Session
        A family with tasks.
    sets : sequence of tuple of str
        Labels, each set sorted. Those that are merged as a check are added where they are not here.
    """
    kinds = kinds_of(session)
    checks = checked_sets(kinds, len(sets[0]))
    shifts, judges = judged(session)
    merges, left = merged_sets(session, judges, checks)
    lefts = Lefts.of(session, kinds, left, Left(2 / len(sets[0])))
    said = superposed_sets(session, shifts, judges, sorted({*sets, *checks}), lefts)
    roles = [[role(label, members, kinds) for label in members] for members in said.members]
    found, checked = {}, {}
    for method, values in said.kept.items():
        real = dict(zip(map(said.members.index, checks), merges[method], strict=True))
        found[method] = corrected_sets(values, real, roles)
        checked[method] = [
            members
            for members, kept in zip(checks, merges[method], strict=True)
            if np.isfinite(kept).all()
        ]
    return replace(said, kept=found, checked=checked)


def superposed_sets(
    session: Session,
    shifts: Shifts,
    judges: Mapping[str, SetJudge],
    sets: Sequence[tuple[str, ...]],
    lefts: Lefts,
) -> SetReadings:
    """What the members of sets of one size keep as shifts say, none of them merged.

    Parameters
    ----------
    session : Session
        A family with tasks.
    shifts, judges
        Its own; see `judged`.
    sets : sequence of tuple of str
        Labels, each set sorted.
    lefts : Lefts
        What merges of this size leave of their members.
    """
    names = sorted(judges)
    places = _places(sets, names)
    alike: dict[tuple[str, ...], list[int]] = {}
    for row, members in enumerate(sets):
        alike.setdefault(together(members, lefts.kinds), []).append(row)
    advance = session.progress.stage("sets", len(session.methods) * len(names))
    found, alone = {}, {}
    for method in session.methods:
        found[method], alone[method] = np.full((2, *places.shape), np.nan)
        for number, task in enumerate(names):
            for composition, of_it in alike.items():
                rows, columns = np.nonzero(places[of_it] == number)
                if len(rows):
                    here = (np.array(of_it)[rows], columns)
                    left = lefts.among(method, composition)
                    found[method][here], alone[method][here] = _superposed(
                        shifts, judges[task], task, method, places[here[0]], names, left
                    )
            advance(1)
    return SetReadings([*sets], found, alone, {method: [] for method in session.methods})


def merged_sets(
    session: Session, judges: Mapping[str, SetJudge], sets: Sequence[tuple[str, ...]]
) -> tuple[dict[str, Floats], dict[Merge, dict[str, float]]]:
    """What the members of some sets keep in their real merges: method to (sets, size) array.

    NaN where that is not defined. Members are in their set's order. And what is left of each, by
    set and method.
    """
    merges, left = real_merges(session, sets, "checked sets")
    kept = {
        method: np.array(
            [
                [merges[one, method][label].values.get(judges[label].key, np.nan) for label in one]
                for one in sets
            ]
        )
        for method in session.methods
    }
    return kept, left


def judged(session: Session) -> tuple[Shifts, dict[str, SetJudge]]:
    """The models' shifts, and what says how much of each one's answers merges keep."""
    shifts = gather(session)
    return shifts, {
        task: SetJudge.of(session, shifts, own_answers(session, task)[0], task)
        for task in session.family.names
    }


def _places(sets: Sequence[tuple[str, ...]], names: Sequence[str]) -> npt.NDArray[np.intp]:
    """Members as places in the sorted names, (sets, size)."""
    order = {name: place for place, name in enumerate(names)}
    return np.array([[order[one] for one in members] for members in sets], dtype=np.intp)


def _superposed(
    shifts: Shifts,
    judge: SetJudge,
    task: str,
    method: str,
    places: npt.NDArray[np.intp],
    names: Sequence[str],
    left: Mapping[str, Left],
) -> tuple[Floats, float]:
    """What a task's model keeps in each of some sets that it is in, (n,), and without the others.

    NaN where that is not defined.
    """
    try:
        own, others = shifts.in_merge(task, method, left, names)
    except UndefinedError:
        return np.full(len(places), np.nan), np.nan
    known = [label for label in names if label in others]
    if not known:
        return np.full(len(places), np.nan), np.nan
    parts = torch.stack([others[label].flatten() for label in known]).float()
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


def corrected_sets(
    values: Floats, real: Mapping[int, Floats], roles: Sequence[Sequence[Hashable]]
) -> Floats:
    """All losses brought to what the merged sets say of theirs, which keep what they kept.

    Parameters
    ----------
    values : (sets, size) array
        What shifts say that each member of each set keeps by one method; NaN where undefined.
    real : mapping of int to (size,) array
        Rows of the sets that were merged, to what their members kept.
    roles : Sequence[Sequence[Hashable]]
        Of every set's members, in the shape of `values`: see
        `mergecast.evidence.superposition.kinds.role`.

    Returns
    -------
    (sets, size) array
        NaN where `values` is, but for sets that were merged.
    """
    said = np.array([1 - values[row] for row in real]).ravel()
    lost = np.array([1 - kept for kept in real.values()]).ravel()
    known = np.isfinite(said) & np.isfinite(lost)
    checks = [one for row in real for one in roles[row]]
    checks = [one for one, defined in zip(checks, known, strict=True) if defined]
    correct = corrections(said[known], lost[known], checks)
    flat = values.ravel()
    moved = np.empty_like(flat)
    places: dict[Hashable, list[int]] = {}
    for place, one in enumerate(chain.from_iterable(roles)):
        places.setdefault(one, []).append(place)
    for one, here in places.items():
        moved[here] = np.maximum(1 - correct(one)(1 - flat[here]), 0.0)
    found = moved.reshape(values.shape)
    for row, kept in real.items():
        found[row] = np.where(np.isfinite(kept), kept, found[row])
    return found
