"""What measuring more than halves of two models together is worth to superposition of pairs.

python benchmarks/superposition_halves.py --run DIR [--outcomes DIR]

DIR of --run is a finished run of a suite with its models; outcomes are its own, or a measured
table's. Per recipe, over pairs, with labels: the mean absolute error of superposition as it is and
corrected by the three merged pairs, from halves of two models together; from those and all of both
(`wholes`); from those and halves of partners alone (`lone`); and from all these at what the merged
pairs leave of two models beside each other, with the share of a partner's shift that they tell
(`merges`); and half of it by what partners take of a model where that was measured (`losses`), as
it is used; the error of the recipe's own mean; the most that a member loses beyond
what each says; and the least and most of its task vector that the recipe leaves any model, by its
effect. Nothing is fitted. What the run keeps of its evidence is not made again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.evidence import Session
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.superposition.checks import checked_pairs, real_merges
from mergecast.evidence.superposition.corrections import corrected
from mergecast.evidence.superposition.gather import gather
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.pair_shifts import PairShifts
from mergecast.evidence.superposition.shifts import Left
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import read_run
from mergecast.suites.pair_table import session_of_run
from mergecast.tables.outcomes import OutcomeTable

FORM = "expected_labelled"
WAYS = ("halves", "wholes", "lone", "merges", "losses")
CHECKED = tuple(f"{way}, checked" for way in WAYS)


class AnswersAlone(PairShifts):
    """What models keep by their answers alone, which shifts add up to."""

    def by_losses(self, *_: object) -> dict[str, float]:
        return {}


def main() -> None:
    run, outcomes = asked(__doc__.partition("\n")[0])
    with one_thread():
        members, strengths = said(run, outcomes)
    print(f"{outcomes.suites[0]}: error of a pair's retention\n")
    keys = ["recipe", "left", "right"]
    pairs = members.groupby(keys)[["kept", *WAYS, *CHECKED]].mean()
    errors = pairs[[*WAYS, *CHECKED]].sub(pairs["kept"], axis=0).abs().groupby("recipe").mean()
    means = pairs["kept"].groupby("recipe").transform("mean")
    errors["own mean's"] = (pairs["kept"] - means).abs().groupby("recipe").mean()
    for way, checked in zip(WAYS, CHECKED, strict=True):
        beyond = (members[checked] - members["kept"]).groupby(members["recipe"]).max()
        errors[f"most beyond {way}"] = beyond
    errors.loc["mean"] = errors.mean()
    errors = errors.join(strengths.groupby("recipe").agg(["min", "max"]).add_suffix(" left"))
    print(errors.round(3).to_string())


def asked(words: str) -> tuple[Path, OutcomeTable]:
    """The run and the outcomes that a benchmark is given."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--outcomes", type=Path, help="a folder with outcomes.parquet")
    arguments = parser.parse_args()
    folder = arguments.outcomes or arguments.run
    return arguments.run, OutcomeTable.read(folder / "outcomes.parquet")


def session_of(run: Path, outcomes: OutcomeTable) -> Session:
    """A finished run's models and samples, and the recipes that were measured."""
    return session_of_run(read_run(run), outcomes.recipes)


def beside(
    outcomes: OutcomeTable, found: dict[tuple[str, str, str], dict[str, float]]
) -> pd.DataFrame:
    """Every member of every measured pair: what it kept, and what was found of it.

    `found` is by member, partner and recipe.
    """
    truth = outcomes.members().rename(columns={"method": "recipe", "retention": "kept"})
    rows = []
    for row in truth.itertuples():
        partner = row.right if row.member == row.left else row.left
        if (key := (row.member, partner, row.recipe)) in found:
            head = {"recipe": row.recipe, "left": row.left, "right": row.right, "kept": row.kept}
            rows.append({**head, **found[key]})
    return pd.DataFrame(rows)


def said(run: Path, outcomes: OutcomeTable) -> tuple[pd.DataFrame, pd.Series]:
    """What every member of every measured pair kept, and what each way says; strengths left."""
    strengths: dict[tuple[str, str], float] = {}
    with session_of(run, outcomes) as session:
        names = sorted(session.family.names)
        judges = {}
        used = gather(session)
        for label in names:
            own = own_answers(session, label)[0]
            judges[label] = forms.Reference(used.single[label], own.labels).compare
        kinds = dict.fromkeys(names, names[0])  # a run tunes all its models alike
        checks = checked_pairs(kinds, {})
        merged, told = real_merges(session, checks, "checked pairs")
        alone, beside_each = (Lefts.of(session, kinds, known, Left()) for known in ({}, told))
        by_way = {
            "halves": AnswersAlone(replace(used, whole={}, lone={}), judges, alone),
            "wholes": AnswersAlone(replace(used, lone={}), judges, alone),
            "lone": AnswersAlone(used, judges, alone),
            "merges": AnswersAlone(used, judges, beside_each),
            "losses": PairShifts(used, judges, beside_each),
        }
        found: dict[tuple[str, str, str], dict[str, float]] = {}
        for method in session.methods:
            real = {}
            for left, right in checks:
                kept = merged[(left, right), method]
                real |= {(left, right, method): kept[left], (right, left, method): kept[right]}
            for way, shifts in by_way.items():
                share = shifts.share(real, method) if shifts.lefts is beside_each else 1.0
                plain = shifts.kept(permutations(names, 2), method, share)
                checked = corrected(plain, real, kinds)
                for name, values in ((way, plain), (f"{way}, checked", checked)):
                    for key, one in values.items():
                        found.setdefault(key, {})[name] = one.values.get(FORM, np.nan)  # noqa: PD011
            strengths |= {
                (method, label): used.strength(label, method)
                for label in names
                if (label, method) not in used.missing
            }
    return beside(outcomes, found), pd.Series(strengths).rename_axis(["recipe", "model"])


if __name__ == "__main__":
    main()
