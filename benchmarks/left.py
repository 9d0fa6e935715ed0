"""What merges leave of their members beside each other, by method and number of models.

python benchmarks/left.py --run DIR [--outcomes DIR]

DIR of --run is a finished run of a suite with its models; the recipes are those of its outcomes, or
of a measured table's. Six sets of every size, drawn at random, are merged by every recipe; no merge
is run. What is left of a member is the coefficient of its task vector in the merge's delta, by
least squares (`evidence/retention/left.py`). Printed, by recipe: what is left of a model `alone`,
beside a copy of the base; then, by number of models, what is left beside others as a multiple of
that, or itself where nothing is left alone, and its standard deviation over members. An average of
k models leaves 2 / k of what one of two leaves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mergecast.evidence import Session
from mergecast.evidence.retention.merges import alone_left
from mergecast.evidence.retention.together import left_together
from mergecast.runtime.workers import one_thread
from superposition_halves import asked, session_of

SIZES, SETS, NOTHING = (2, 3, 4, 5, 6), 6, 0.01


def main() -> None:
    run, outcomes = asked(__doc__.partition("\n")[0])
    with one_thread(), session_of(run, outcomes) as session:
        rows = [found_of(session, method) for method in session.methods]
    print(f"{run.name}: {SETS} sets of a size")
    print(pd.DataFrame(rows).set_index("recipe").to_string())


def found_of(session: Session, method: str) -> dict[str, str]:
    """A row: what one recipe leaves."""
    names = sorted(session.family.names)
    usual = float(np.mean([alone_left(session, label, method) for label in names]))
    row = {"recipe": method, "alone": f"{usual:.3f}"}
    for size in SIZES:
        draw, ratios = np.random.default_rng(size), []
        for _ in range(SETS):
            members = tuple(sorted(draw.choice(names, size, replace=False).tolist()))
            for label, left in left_together(session, members, method).items():
                alone = alone_left(session, label, method)
                ratios.append(left if usual < NOTHING else left / alone)
        row[f"{size} models"] = f"{np.mean(ratios):.3f} ± {np.std(ratios):.3f}"
    return row


if __name__ == "__main__":
    main()
