"""Retention over strength: every model alone at several strengths, and a few merges.

Each model is merged once beside one other and once beside all, at three strengths; what these
merges keep says what the others do to it (`mergecast.forecast.interference`). So 6 N passes beside
the N² of the shifts, and 6 N alone, serve every pair, set, weights and strength of a method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from torch import Tensor

from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.merges import answer, compare, merge_spec
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.gather import SHIFTS, gather
from mergecast.evidence.superposition.sets import unjudged
from mergecast.evidence.superposition.shifts import HALF, Shifts, centred
from mergecast.family.heads import is_statistic
from mergecast.merging.recipe import Recipe
from mergecast.merging.run import MERGE, merged_blocks
from mergecast.runtime.stage import Stage
from mergecast.tables.strengths import Alone, Kept, StrengthReadings

_MODULES = ("mergecast.evidence.superposition.strengths",)
OWN = Stage("alone at strengths", 2, uses=(SHIFTS, MERGE, forms.STAGE), modules=_MODULES)
GROUP = Stage("group at strengths", 2, uses=(SHIFTS, MERGE, forms.STAGE), modules=_MODULES)
#: Strengths of a model alone, as shares of the strongest: that is the strength that gives 3/2 of
#: the length of its task vector, or more than the default one where this is stronger.
_ALONE, _LENGTH, _DEFAULT = (1 / 6, 1 / 3, 1 / 2, 2 / 3, 1.0), 1.5, 1.2
#: Strengths of a group, in the members' root mean square length: of unrelated models that are
#: added up, 1/2, 1 and 3/2 over the root of their number.
_GROUP = (0.5, 1.0, 1.5)
#: The form of curves: what it says is near retention of accuracy (`benchmarks/strength.py`).
FORM = "expected"
#: Models of the smallest merge.
_FEWEST = 2
#: The form in which merges that were made are compared on few samples: smoother, its level lower.
CHOICE = "matched"


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


def collect_strengths(session: Session, method: str) -> StrengthReadings:
    """Measure a method's strengths in a family of two or more; what is stored is not made again.

    A model whose answers cannot be judged is left out, and those of the others are what they are
    without it.

    Parameters
    ----------
    session : Session
        The family, its tasks, and the method's parameters.
    method : str
        A method with a strength. Where it is more than a sum of task vectors, its curves choose
        no better than one fixed strength (`benchmarks/strength.py`).

    Raises
    ------
    UsageError
        The method has no strength.
    UndefinedError
        A merge cannot be made by it, or what is kept is defined of fewer than two models.
    """
    session.recipe(method).check_strength()
    lengths, missing = cache(partial(length, session)), unjudged(session)
    while True:
        names = sorted(label for label in session.family.names if label not in missing)
        if missing and len(names) < _FEWEST:
            label, why = next(iter(missing.items()))
            raise UndefinedError(f"model {label!r}", why)
        able = session.narrowed(names)
        shifts = gather(able, ())
        advance = session.progress.stage(f"strengths of {method}", 3 * len(names))
        alone, products, failed = _each(able, method, shifts, lengths, advance)
        if not failed:
            break
        missing |= failed  # and asked again, since the way of asking is that of all that are left
    way, merges = way_of_asking(able), []
    for members in groups(names):
        equal = dict.fromkeys(members, 1.0)
        for label, strength, comparison in _group(able, members, method, lengths):
            kept = value_of(comparison, f"{FORM}_{way}", label)
            merges.append(Kept(label, equal, strength, kept))
        advance(len(members))
    return StrengthReadings(method, way, alone, products, tuple(merges), missing)


def _each(
    session: Session,
    method: str,
    shifts: Shifts,
    lengths: Callable[[str], float],
    advance: Callable[[int], None],
) -> tuple[dict[str, Alone], dict[str, dict[tuple[str, str], float]], dict[str, str]]:
    """Every model alone, its products with the others, and the models that have none: why."""
    alone, products = dict[str, Alone](), dict[str, dict[tuple[str, str], float]]()
    key, failed = f"{FORM}_{way_of_asking(session)}", dict[str, str]()
    for label in sorted(session.family.names):
        task = session.task(label)
        chance = task.outputs == "classes" and task.score_name == "accuracy"
        floor = 1 / shifts.single[label].shape[1] if chance else 0.0
        try:
            record = _alone(session, label, method, lengths)
            kept = [value_of(Comparison(**one), key, label) for one in record["comparisons"]]
            products[label] = products_of(shifts, label)
        except UndefinedError as error:
            failed[label] = error.problem
            continue
        alone[label] = Alone(np.array(record["strengths"]), np.array(kept), floor)
        advance(1)
    return alone, products, failed


def way_of_asking(session: Session) -> str:
    """``labelled`` where every task's samples have labels, else ``unlabelled``."""
    labelled = all(session.merge_samples(one).labels is not None for one in session.family.names)
    return "labelled" if labelled else "unlabelled"


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


def merged(session: Session, recipe: Recipe, members: Sequence[str]) -> dict[str, Tensor]:
    """What the family shares, merged in memory, in float32 or wider whatever the base's dtype."""
    family = session.family
    wide = np.result_type(np.float32, *{family.base.info(name).dtype for name in family.shared})
    blocks = merged_blocks(family, recipe, members, session.settings.device, dtype=wide)
    return {name: to_tensor(array) for name, array in blocks}


def direction(session: Session, recipe: Recipe, members: Sequence[str]) -> Direction:
    """A merge at any strength; it is made twice, at 0 and 1."""
    start, whole = (merged(session, recipe.at(strength), members) for strength in (0.0, 1.0))
    step = {name: whole[name] - start[name] for name in start}
    squares = (float(value.double().square().sum()) for value in step.values())
    return Direction(start, step, float(np.sqrt(sum(squares))))


def length(session: Session, label: str) -> float:
    """Root of the sum of squares of a task vector, statistics left out."""
    squares = [
        float(np.square(block.delta(0), dtype=np.float64).sum())
        for block in session.family.subset([label]).blocks()
        if not is_statistic(block.name)
    ]
    return float(np.sqrt(sum(squares)))


def _alone(
    session: Session, label: str, method: str, lengths: Callable[[str], float]
) -> dict[str, Any]:
    """What a model keeps of itself at several strengths of its own task vector."""

    def compute() -> dict[str, object]:
        way = _made(session, [label], method)
        usual = session.recipe(method).strength or 0.0
        top = max(lengths(label) / way.length * _LENGTH, _DEFAULT * usual)
        return _compared(session, label, [label], way, [0.0, *(top * part for part in _ALONE)])

    spec = merge_spec(session, OWN, label, method)
    return session.unit({**spec, "strengths": _ALONE}, compute)


def _group(
    session: Session, members: Sequence[str], method: str, lengths: Callable[[str], float]
) -> list[tuple[str, float, Comparison]]:
    """A merge at several strengths: every member, strength and what it keeps."""
    way = cache(partial(_made, session, members, method))

    def compute(label: str) -> dict[str, object]:
        mean = np.sqrt(np.mean([lengths(one) ** 2 for one in members]))
        strengths = [float(mean / way().length * s) for s in _GROUP]
        return _compared(session, label, members, way(), strengths)

    found = []
    models = {label: session.digest(label) for label in sorted(members)}
    for label in members:
        spec = merge_spec(session, GROUP, label, method)
        spec |= {"models": models, "strengths": _GROUP}
        record = session.unit(spec, partial(compute, label))
        for strength, one in zip(record["strengths"], record["comparisons"], strict=True):
            found.append((label, strength, Comparison(**one)))
    return found


def _made(session: Session, members: Sequence[str], method: str) -> Direction:
    """A merge at any strength; raises UndefinedError where there is none."""
    names = "+".join(members)
    try:
        way = direction(session, session.recipe(method), members)
    except (FamilyError, UsageError) as error:
        raise UndefinedError(f"merge of {names}", f"none by {method}: {error}") from error
    if not way.length > 0:
        raise UndefinedError(f"merge of {names}", f"{method} leaves nothing of it")
    return way


def _compared(
    session: Session,
    label: str,
    members: Sequence[str],
    way: Direction,
    strengths: Sequence[float],
) -> dict[str, object]:
    """All forms of a merge at several strengths, on one member's samples."""
    comparisons = [
        vars(compare(session, label, answer(session, label, way.at(strength), members)))
        for strength in strengths
    ]
    return {"strengths": list(strengths), "comparisons": comparisons}
