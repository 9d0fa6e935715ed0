"""Larger sets from the shifts of pairs: any set, by any method, without a forward pass.

What a set's merge answers to a task's samples is the base's answers and the members' shifts at what
a merge of so many leaves of them. For all sets at once that is one product of matrices a task and
method. A few sets are really merged by each method: they say what is left of members, what share of
the others' shifts shows, and then, as with pairs, how far that is off.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.checks import checked_sets, real_merges
from mergecast.evidence.superposition.corrections import corrections
from mergecast.evidence.superposition.gather import gather
from mergecast.evidence.superposition.kinds import kinds_of, role
from mergecast.evidence.superposition.lefts import Lefts, Merge
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.evidence.superposition.set_shifts import SetShifts
from mergecast.evidence.superposition.shifts import Left, Shifts
from mergecast.tables.sets import join_members
from mergecast.typing import Floats

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
        The same without the others' shifts: of each member at what such a merge leaves of it.
    checked : mapping of str to list of tuple of str
        Method to the sets that were really merged by it; what they keep is what their merges did.
    unjudged : mapping of str to str
        Label of every model of whose answers nobody can say what is kept, to the reason; what
        members keep in sets with one of them is NaN.
    """

    members: list[tuple[str, ...]]
    kept: Mapping[str, Floats]
    alone: Mapping[str, Floats]
    checked: Mapping[str, list[tuple[str, ...]]]
    unjudged: Mapping[str, str] = field(default_factory=dict)

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

    Nothing is run but a few merges; shifts are read from the store, or made for it. A model whose
    answers cannot be judged takes its own sets out and no other: those of the rest are what they
    are without it.

    Parameters
    ----------
    session : Session
        A family with tasks.
    sets : sequence of tuple of str
        Labels, each set sorted. Those that are merged as a check are added where they are not here.
    """
    size, missing = len(sets[0]), unjudged(session)
    names = [label for label in session.family.names if label not in missing]
    if not missing:
        return _of_judged(session, sets, size)
    judged_sets = [one for one in sets if not missing.keys() & {*one}]
    empty = dict.fromkeys(session.methods, np.empty((0, size)))
    found = SetReadings([], empty, empty, {method: [] for method in session.methods})
    if len(names) >= size:
        found = _of_judged(session.narrowed(names), judged_sets, size)
    return _with_unjudged(found, [one for one in sets if one not in judged_sets], missing)


def unjudged(session: Session) -> dict[str, str]:
    """Label of every model of whose answers nobody can say what is kept, to the reason."""
    found = {}
    for label in session.family.names:
        try:
            SetJudge.of(session, label)
        except UndefinedError as error:
            found[label] = error.problem
    return found


def _of_judged(session: Session, sets: Sequence[tuple[str, ...]], size: int) -> SetReadings:
    """`collect_sets` of a family whose models can all be judged."""
    kinds = kinds_of(session)
    checks = checked_sets(kinds, size)
    sets = sorted({*sets, *checks})
    roles = [[role(label, members, kinds) for label in members] for members in sets]
    rows = [sets.index(one) for one in checks]
    every, judges = judged(session)
    merges, told = merged_sets(session, judges, checks)
    shifts = SetShifts(every, judges, Lefts.of(session, kinds, told, Left(2 / size)))
    advance = session.progress.stage("sets", len(session.methods))
    found, alone, checked = {}, {}, {}
    for method, merged in merges.items():
        share = shifts.share(checks, merged, method)
        said, alone[method] = shifts.kept(sets, method, share)
        found[method] = corrected_sets(said, dict(zip(rows, merged, strict=True)), roles)
        checked[method] = [
            one for one, kept in zip(checks, merged, strict=True) if np.isfinite(kept).all()
        ]
        advance(1)
    return SetReadings(sets, found, alone, checked)


def _with_unjudged(
    found: SetReadings, sets: Sequence[tuple[str, ...]], missing: Mapping[str, str]
) -> SetReadings:
    """The same with sets of which nothing is said."""
    members = [*found.members, *sets]
    order = sorted(range(len(members)), key=members.__getitem__)

    def longer(values: Floats) -> Floats:
        nothing = np.full((len(sets), values.shape[1]), np.nan)
        return np.asarray(np.vstack([values, nothing])[order])

    return replace(
        found,
        members=[members[place] for place in order],
        kept={method: longer(values) for method, values in found.kept.items()},
        alone={method: longer(values) for method, values in found.alone.items()},
        unjudged=missing,
    )


def judged(session: Session) -> tuple[Shifts, dict[str, SetJudge]]:
    """The models' shifts, and what says how much of each one's answers merges keep."""
    shifts = gather(session)
    return shifts, {task: SetJudge.of(session, task) for task in session.family.names}


def merged_sets(
    session: Session, judges: Mapping[str, SetJudge], sets: Sequence[tuple[str, ...]]
) -> tuple[dict[str, Floats], dict[Merge, dict[str, float]]]:
    """What the members of some sets keep in their real merges: method to (sets, size) array.

    NaN where that is not defined. Members are in their set's order. And what is left of each, by
    set and method.
    """
    merges, left = real_merges(session, sets, "checked sets")
    kept = {
        method: [
            [merges[one, method][label].values.get(judges[label].key, np.nan) for label in one]
            for one in sets
        ]
        for method in session.methods
    }
    values = {method: np.array(rows) for method, rows in kept.items()}
    return values, left


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
