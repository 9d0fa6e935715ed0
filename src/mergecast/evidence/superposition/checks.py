"""Which pairs and sets are really merged, to check what superposed answers say of all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from math import comb

from mergecast.evidence.readings import Key
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.together import together_and_left
from mergecast.evidence.session import Session
from mergecast.evidence.side_by_side import Unit, all_of
from mergecast.evidence.superposition.kinds import Kinds, compositions, in_order, together
from mergecast.evidence.superposition.lefts import Merge

#: Pairs of a kind that are merged by every method, of different models. Two to five do alike on
#: eight families of one kind; with one, errors are those of that pair.
PAIRS = 3
#: The form that tells which pairs lose much and which little, and what share of a partner's shift
#: shows in those that are merged; it needs no labels.
SAID = "expected_unlabelled"


def superposition_cost(n_models: int, n_methods: int) -> tuple[int, int]:
    """Merges, and models run on a sample of a task, that superposing pairs of one kind takes.

    Every model, and every two averaged and added up, on everyone's samples; then the checks.
    """
    checks = min(PAIRS, n_models // 2) * n_methods
    return n_models * (n_models - 1) + checks, 3 * n_models**2 + 2 * checks


def checked_pairs(kinds: Kinds, lost: Mapping[tuple[str, str], float]) -> list[tuple[str, str]]:
    """Pairs to be merged as a check, each sorted, of different models.

    Of models of one kind up to `PAIRS`, which ones by names alone. Of several kinds up to as many
    of every two, and no more than there are models: spread over what pairs of these kinds lose, so
    that what they say of the others does not hang on names. Where there are more twos of kinds than
    models, up to `PAIRS` of any, spread over what all pairs lose.

    Parameters
    ----------
    kinds : mapping of str to str
        Label to its kind.
    lost : mapping of tuple to float
        Pairs, sorted, to what shifts say that they lose. Read where there are several kinds: then a
        pair that is not in it is no check.
    """
    groups = in_order(kinds)
    if len(groups) == 1:
        [order] = groups.values()
        by_name = zip(order[::2], order[1::2], strict=False)
        return [(min(pair), max(pair)) for pair in by_name][:PAIRS]
    if comb(len(groups) + 1, 2) > len(kinds):
        return _spread(lost, PAIRS)
    made_of = compositions(kinds, 2)
    sizes = {kind: len(labels) for kind, labels in groups.items()}
    disjoint = [
        sizes[one] // 2 if one == other else min(sizes[one], sizes[other]) for one, other in made_of
    ]
    found = []
    for two, count in zip(made_of, _shared_out(disjoint, len(kinds)), strict=True):
        of_two = {pair: here for pair, here in lost.items() if together(pair, kinds) == two}
        found += _spread(of_two, count)
    return found


def checked_sets(kinds: Kinds, size: int) -> list[tuple[str, ...]]:
    """Sets of a size to be merged as a check, each sorted, sharing as few models as they can.

    Up to `PAIRS` of models of one kind, or of every composition of several, those of the most sets
    first, and then no more than half as many as models; which ones, by names alone. Where there are
    more compositions than that, up to `PAIRS` of any.
    """
    most = max(len(kinds) // 2, PAIRS)
    if comb(len({*kinds.values()}) + size - 1, size) > most:
        kinds = dict.fromkeys(kinds, min(kinds))
    groups = in_order(kinds)
    made_of = compositions(kinds, size)
    found = []
    for one, count in zip(made_of, _shared_out([PAIRS] * len(made_of), most), strict=True):
        sets: dict[tuple[str, ...], None] = {}
        for turn in range(count):
            members: list[str] = []
            for kind, of_it in Counter(one).items():
                places = range(turn * of_it, (turn + 1) * of_it)
                members += [groups[kind][place % len(groups[kind])] for place in places]
            sets[tuple(sorted(members))] = None
        found += [*sets]
    return found


def said_lost(
    superposed: Mapping[str, Mapping[Key, Comparison]], names: Sequence[str]
) -> dict[tuple[str, str], float]:
    """What pairs lose by shifts, in the mean over methods and members; pairs of no value lack."""
    found: dict[tuple[str, str], float] = {}
    for pair in combinations(names, 2):
        kept = [
            one[(*members, method)].values.get(SAID)
            for method, one in superposed.items()
            for members in (pair, pair[::-1])
        ]
        defined = [value for value in kept if value is not None]
        if defined:
            found[pair] = 1 - sum(defined) / len(defined)
    return found


def real_merges(
    session: Session, sets: Sequence[tuple[str, ...]], name: str
) -> tuple[dict[Merge, dict[str, Comparison]], dict[Merge, dict[str, float]]]:
    """Some sets really merged by every method: what each member keeps, and what is left of it.

    Both by set and method. `name` is that of the stage of progress.
    """
    merges = list(product(sets, session.methods))
    units = [Unit(together_and_left, one) for one in merges]
    found = all_of(session, units, session.progress.stage(name, len(units)))
    kept, left = ([both[place] for both in found] for place in (0, 1))
    return dict(zip(merges, kept, strict=True)), dict(zip(merges, left, strict=True))


def _shared_out(most: Sequence[int], total: int) -> list[int]:
    """One check for each in turn, to `PAIRS` or as many as there can be, up to a total."""
    found = [0] * len(most)
    for turn in range(PAIRS):
        for place, here in enumerate(most):
            if here > turn and sum(found) < total:
                found[place] += 1
    return found


def _spread(lost: Mapping[tuple[str, str], float], count: int) -> list[tuple[str, str]]:
    """Pairs in the middle of so many equal parts, or the next ones that share no model."""
    ordered = sorted(lost, key=lambda pair: (lost[pair], pair))
    found: list[tuple[str, str]] = []
    for part in range(count):
        middle = (part + 0.5) / count * (len(ordered) - 1)
        used = {label for pair in found for label in pair}
        free = [place for place, pair in enumerate(ordered) if not used & {*pair}]
        if free:
            found.append(ordered[min(free, key=lambda place: abs(place - middle))])
    return found
