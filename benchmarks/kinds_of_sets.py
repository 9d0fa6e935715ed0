"""What a few merged sets say of the others in a family of whole models and adapters.

python benchmarks/kinds_of_sets.py --run DIR --other DIR [--size 3] [--sets 60] [--draws 50]

The family is that of `benchmarks/kinds.py`, which see. Some of its sets of a size, drawn at random,
are superposed, at what all these merges leave of their members, and really merged by every method,
on the same calibration samples, whose labels are known. Then some of them correct the others: none;
three; half as many as there are models; and as many of every composition of kinds as mergecast
merges, correcting all sets alike, or as mergecast does, members in the same role first. All are
drawn as often as --draws says. Errors are mean absolute ones of `expected`, of a member, in sets
that no way has merged as a check.
"""

from __future__ import annotations

from collections import Counter
from math import comb

import numpy as np
import pandas as pd

from kinds import of_two_runs, opened, show
from mergecast.evidence import Session
from mergecast.evidence.superposition.checks import PAIRS, checked_sets
from mergecast.evidence.superposition.kinds import kinds_of, role, together
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.set_shifts import SetShifts
from mergecast.evidence.superposition.sets import corrected_sets, judged, merged_sets
from mergecast.evidence.superposition.shifts import Left
from mergecast.runtime.workers import one_thread
from mergecast.typing import Floats

Sets = list[tuple[str, ...]]


def main() -> None:
    parser = of_two_runs(__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--sets", type=int, default=60)
    arguments = parser.parse_args()
    with one_thread(), opened(arguments) as session:
        kinds = kinds_of(session)
        sets = drawn_sets(session, arguments.size, arguments.sets)
        every, judges = judged(session)
        merged, told = merged_sets(session, judges, sets)
        lefts = Lefts.of(session, kinds, told, Left(2 / arguments.size))
        shifts = SetShifts(every, judges, lefts)
    print(f"{len(sets)} sets of {arguments.size}, {len(kinds)} models, {len(merged)} methods")
    checks = checked_sets(kinds, arguments.size)
    rows = pd.concat(
        one_draw(shifts, sets, merged, checks, seed).assign(draw=seed)
        for seed in range(arguments.draws)
    )
    show(rows)


def drawn_sets(session: Session, size: int, count: int) -> Sets:
    """Different sets of a size at random, each sorted; all where there are no more."""
    names, generator = sorted(session.family.names), np.random.default_rng(0)
    found: dict[tuple[str, ...], None] = {}
    while len(found) < min(count, comb(len(names), size)):
        found[tuple(sorted(generator.choice(names, size, replace=False).tolist()))] = None
    return [*found]


def one_draw(
    shifts: SetShifts, sets: Sets, merged: dict[str, Floats], like: Sets, seed: int
) -> pd.DataFrame:
    """A row a member of a set that was not merged, method and way of asking."""
    kinds = shifts.lefts.kinds
    order = np.random.default_rng(seed).permutation(len(sets)).tolist()
    half = len(kinds) // 2
    made_of = Counter(together(one, kinds) for one in like)
    of_all = [
        row
        for one, count in made_of.items()
        for row in [row for row in order if together(sets[row], kinds) == one][:count]
    ]
    one_role = [[""] * len(one) for one in sets]
    roles = [[role(label, one, kinds) for label in one] for one in sets]
    ways = {
        "none": ([], one_role),
        f"{PAIRS} of any": (order[:PAIRS], one_role),
        f"{half} of any": (order[:half], one_role),
        f"{len(of_all)} of all kinds, alike": (of_all, one_role),
        f"{len(of_all)} of all kinds": (of_all, roles),
    }
    left = sorted({*range(len(sets))} - {row for checks, _ in ways.values() for row in checks})
    rows = []
    for method, kept in merged.items():
        for way, (checks, known) in ways.items():
            share = shifts.share([sets[row] for row in checks], kept[checks], method)
            values, _ = shifts.kept(sets, method, share)
            found = corrected_sets(values, {row: kept[row] for row in checks}, known)
            for row in left:
                for place, label in enumerate(sets[row]):
                    kind = f"{kinds[label]} in {'+'.join(together(sets[row], kinds))}"
                    key = (*sets[row], label)
                    true = kept[row, place]
                    rows.append(("labelled", method, way, kind, key, found[row, place], true))
    columns = ["asked", "method", "way", "kinds", "key", "value", "true"]
    return pd.DataFrame(rows, columns=columns)


if __name__ == "__main__":
    main()
