"""Retention over strength: every model alone at several strengths, and a few merges.

Each model is merged once beside one other and once beside all, at three strengths; what these
merges keep says what the others do to it (`mergecast.forecast.interference`). So 6 N passes beside
the N² of the shifts, and 5 N alone, serve every pair, set, weights and strength of a method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import kept_of
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.merges import answer, compare, merge_spec
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.collect import SHIFTS, gather
from mergecast.evidence.superposition.shifts import HALF, Shifts, centred
from mergecast.family.heads import is_statistic
from mergecast.merging.recipe import Recipe
from mergecast.merging.run import MERGE, merge
from mergecast.merging.stand_ins import ALONE, merge_alone
from mergecast.runtime.stage import Stage
from mergecast.tables.strengths import Alone, Kept, StrengthReadings

_MODULES = ("mergecast.evidence.superposition.strengths",)
OWN = Stage("alone at strengths", 1, uses=(SHIFTS, ALONE, forms.STAGE), modules=_MODULES)
GROUP = Stage("group at strengths", 1, uses=(SHIFTS, MERGE, forms.STAGE), modules=_MODULES)
#: Strengths of a model alone, as shares of the strongest: that is the strength that gives 3/2 of
#: the length of its task vector, or more than the default one where this is stronger.
_ALONE, _LENGTH, _DEFAULT = (1 / 6, 1 / 3, 1 / 2, 2 / 3, 1.0), 1.5, 1.2
#: Strengths of a group, in the members' root mean square length: of unrelated models that are
#: added up, 1/2, 1 and 3/2 over the root of their number.
_GROUP = (0.5, 1.0, 1.5)
#: The form in which strengths are compared, free of confidence.
FORM = "matched"


@dataclass(frozen=True)
class Direction:
    """A merge at any strength: what it is without any, and what a strength of 1 adds.

    Attributes
    ----------
    start, step : mapping of str to Tensor
        Parameter to its values at strength 0 (the base's, but where a method leaves a parameter
        out of its strength), and to what 1 adds.
    length : float
        Root of the sum of squares of `step`.
    """

    start: Mapping[str, Tensor]
    step: Mapping[str, Tensor]
    length: float

    def at(self, strength: float) -> dict[str, Tensor]:
        """The merged weights."""
        return {name: start + strength * self.step[name] for name, start in self.start.items()}


def collect_strengths(
    session: Session, method: str, shifts: Shifts | None = None
) -> StrengthReadings:
    """Measure a method's strengths in a family of two or more; what is stored is not made again.

    Parameters
    ----------
    session : Session
        The family, its tasks, and the method's parameters.
    method : str
        A method with a strength. Where it is more than a sum of task vectors, its curves choose
        no better than one fixed strength (`benchmarks/strength.py`).
    shifts : Shifts, optional
        Of the same session, where they are there already.

    Raises
    ------
    UsageError
        The method has no strength.
    UndefinedError
        A model cannot be merged by it, or what it keeps is not defined.
    """
    session.recipe(method).check_strength()
    names = sorted(session.family.names)
    labelled = all(session.merge_samples(label).labels is not None for label in names)
    way = "labelled" if labelled else "unlabelled"
    key = f"{FORM}_{way}"
    if shifts is None:
        shifts = gather(session, {label: kept_of(session, label) for label in names}, ())
    advance = session.progress.stage(f"strengths of {method}", 3 * len(names))
    alone, merges = {}, []
    for label in names:
        alone[label] = _alone(session, label, method, key)
        advance(1)
    for members in groups(names):
        equal = dict.fromkeys(members, 1.0)
        for label, strength, comparison in _group(session, members, method):
            merges.append(Kept(label, equal, strength, value_of(comparison, key, label)))
        advance(len(members))
    products = {label: products_of(shifts, label) for label in names}
    return StrengthReadings(method, way, alone, products, tuple(merges))


def products_of(shifts: Shifts, member: str) -> dict[tuple[str, str], float]:
    """Inner products of the others' shifts on a member's samples, over the square of its own."""
    own = centred(shifts.single[member] - shifts.base[member]).square().sum()
    if not float(own) > 0:
        raise UndefinedError(f"model {member!r}", "it answers as its base does")
    others = {
        label: centred(shifts.half[label, member]) / HALF
        for label in shifts.base
        if label != member
    }
    return {
        (a, b): float((first * second).sum() / own)
        for a, first in others.items()
        for b, second in others.items()
    }


def groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The merges that are made: every model beside one other, and all of them."""
    ordered = sorted(names)
    pairs = [tuple(ordered[i : i + 2]) for i in range(0, len(ordered) - 1, 2)]
    if len(ordered) % 2 and len(ordered) > 1:
        pairs.append((ordered[0], ordered[-1]))
    return pairs if len(ordered) == 2 else [*pairs, tuple(ordered)]


def value_of(comparison: Comparison, key: str, label: str) -> float:
    """One form of a comparison; raises UndefinedError where it has none."""
    if key not in comparison.values:
        raise UndefinedError(f"model {label!r}", comparison.missing[key])
    return comparison.values[key]


def direction(
    session: Session, recipe: Recipe, merged: Callable[[Recipe], Mapping[str, Tensor]]
) -> Direction:
    """A merge that is made twice, at strength 0 and 1.

    Parameters
    ----------
    session : Session
        The family.
    recipe : Recipe
        How, at whatever strength.
    merged : callable
        A recipe to the merge's tensors.
    """
    none, one = (merged(recipe.at(strength)) for strength in (0.0, 1.0))
    start, step, squares = {}, {}, 0.0
    for name in session.family.shared:
        wide = torch.float64 if none[name].dtype == torch.float64 else torch.float32
        start[name] = none[name].to(wide)
        step[name] = one[name].to(wide) - start[name]
        squares += float(step[name].double().square().sum())
    return Direction(start, step, float(np.sqrt(squares)))


def length(session: Session, label: str) -> float:
    """Root of the sum of squares of a task vector, statistics left out."""
    squares = [
        float(np.square(block.delta(0), dtype=np.float64).sum())
        for block in session.family.subset([label]).blocks()
        if not is_statistic(block.name)
    ]
    return float(np.sqrt(sum(squares)))


def _alone(session: Session, label: str, method: str, key: str) -> Alone:
    """What a model keeps of itself at several strengths of its own task vector."""

    def compute() -> dict[str, object]:
        way = _direction_alone(session, label, method, session.merges.size)
        usual = session.recipe(method).strength or 0.0
        top = max(length(session, label) / way.length * _LENGTH, _DEFAULT * usual)
        strengths = [top * part for part in _ALONE]
        return _compared(session, label, way, [0.0, *strengths])

    spec = merge_spec(session, OWN, label, method)
    spec |= {"size": session.merges.size, "strengths": _ALONE}
    record = session.unit(spec, compute)
    kept = [value_of(Comparison(**one), key, label) for one in record["comparisons"]]
    outputs = session.task(label).outputs
    floor = 1 / session.logits(label).shape[-1] if outputs == "classes" else 0.0
    return Alone(np.array(record["strengths"]), np.array(kept), floor)


def _direction_alone(session: Session, label: str, method: str, size: int) -> Direction:
    """A model merged with copies of its base."""
    try:
        way = direction(
            session,
            session.recipe(method),
            lambda recipe: merge_alone(
                session.family,
                label,
                recipe.method,
                size=size,
                params=recipe.params,
                seed=recipe.seed,
                device=session.settings.device,
            ),
        )
    except (FamilyError, UsageError) as error:
        raise UndefinedError(f"model {label!r}", f"no merge by {method}: {error}") from error
    if not way.length > 0:
        raise UndefinedError(f"model {label!r}", f"{method} leaves nothing of it")
    return way


def _group(
    session: Session, members: Sequence[str], method: str
) -> list[tuple[str, float, Comparison]]:
    """A merge at several strengths: every member, strength and what it keeps."""
    made: list[Direction] = []

    def merged() -> Direction:
        if not made:
            try:
                run = partial(
                    merge, session.family, members=members, device=session.settings.device
                )
                made.append(direction(session, session.recipe(method), run))
            except (FamilyError, UsageError) as error:
                raise UndefinedError(
                    f"merge of {'+'.join(members)}", f"none by {method}: {error}"
                ) from error
        return made[0]

    found = []
    models = {label: session.digest(label) for label in sorted(members)}
    for label in members:

        def compute(label: str = label) -> dict[str, object]:
            way = merged()
            mean = np.sqrt(np.mean([length(session, one) ** 2 for one in members]))
            return _compared(session, label, way, [float(mean / way.length * s) for s in _GROUP])

        spec = merge_spec(session, GROUP, label, method)
        spec |= {"models": models, "strengths": _GROUP}
        record = session.unit(spec, compute)
        for strength, one in zip(record["strengths"], record["comparisons"], strict=True):
            found.append((label, strength, Comparison(**one)))
    return found


def _compared(
    session: Session, label: str, way: Direction, strengths: Sequence[float]
) -> dict[str, object]:
    """All forms of a merge at several strengths, on one member's samples."""
    comparisons = [
        vars(compare(session, label, answer(session, label, way.at(strength))))
        for strength in strengths
    ]
    return {"strengths": list(strengths), "comparisons": comparisons}
