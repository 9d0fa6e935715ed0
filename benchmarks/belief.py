"""How often a fine-tuned model is right where no label says so: what superposition takes for it.

python benchmarks/belief.py --run DIR [--outcomes DIR]

DIR of --run is a finished run of a suite with its models; outcomes are its own, or a measured
table's. The form `expected` (`evidence/retention/form_values.py`) asks what a fine-tuned model
believes of a merge's answers, at a mean confidence that stands for how often it is right. First,
means over the models: their confidence, and their score on the test samples. Then the error of a
pair's retention without labels, over the recipe's own mean's, means over recipes, and the mean of
what is said less what was kept, by how that confidence c is made. Superposition is as it is, not
corrected by merged pairs, and nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.form_values import DECIDED
from mergecast.evidence.retention.logits import Logits, each_at_confidence
from mergecast.evidence.superposition.gather import gather
from mergecast.runtime.workers import one_thread
from mergecast.tables.outcomes import OutcomeTable
from superposition_halves import asked, beside, session_of

WAYS: dict[str, Callable[[float], float]] = {
    "half-way to 0.8": lambda c: (c + 0.8) / 2,
    "c": lambda c: c,
    "0.95 c": lambda c: 0.95 * c,
    "0.9 c": lambda c: 0.9 * c,
    "0.85 c": lambda c: 0.85 * c,
    "0.8 c": lambda c: 0.8 * c,
}


def main() -> None:
    run, outcomes = asked(__doc__.partition("\n")[0])
    with one_thread():
        members, confidence = said(run, outcomes)
    scores = outcomes.frame.groupby("task")["single_score"].first()
    print(f"{outcomes.suites[0]}: confidence {confidence.mean():.3f}, score {scores.mean():.3f}\n")
    pairs = members.groupby(["recipe", "left", "right"])[["kept", *WAYS]].mean()
    of_recipe = pairs["kept"].groupby("recipe")
    own = (pairs["kept"] - of_recipe.transform("mean")).abs().groupby("recipe").mean().mean()
    beyond = pairs[[*WAYS]].sub(pairs["kept"], axis=0)
    errors = beyond.abs().groupby("recipe").mean().mean() / own
    print(pd.DataFrame({"error": errors, "bias": beyond.mean()}).round(3).to_string())


def said(run: Path, outcomes: OutcomeTable) -> tuple[pd.DataFrame, pd.Series]:
    """Every member of every measured pair: what it kept, and what each way says; confidences."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    confidence = {}
    with session_of(run, outcomes) as session:
        shifts = gather(session)
        for task in sorted(session.family.names):
            single = Logits(shifts.single[task], "fine-tuned")
            confidence[task] = single.confidence
            right = {way: single.at(make(single.confidence)) for way, make in WAYS.items()}
            own = {way: (single.at(DECIDED) * one).sum(dim=1).mean() for way, one in right.items()}
            for method in session.methods:
                for partner in sorted({*session.family.names} - {task}):
                    try:
                        answers = shifts.of_pair(task, partner, method)
                    except UndefinedError:
                        continue
                    decided = each_at_confidence(answers[None], DECIDED)[0]
                    found[task, partner, method] = {
                        way: float((decided * one).sum(dim=1).mean() / own[way])
                        for way, one in right.items()
                    }
    return beside(outcomes, found), pd.Series(confidence)


if __name__ == "__main__":
    main()
