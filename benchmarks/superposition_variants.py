"""Ways to add up shifts, beside the one that is used: what each tells of pairs that were merged.

python benchmarks/superposition_variants.py --run DIR [--outcomes DIR] [--calibration 100]

DIR of --run is a run's folder with models; outcomes are its own, or a measured table's. Nothing is
fitted. Variants:

checked   the one that is used: `plain`, corrected by three merged pairs
plain     a partner's shift beside the task's own model, a half beside a half and all beside all
half      the same from a half beside a half alone, in proportion
apart     the same from the base, without the own model
straight  from the base, at all of the task vector: a path without a bend
curve     the own model's shift read from its path at the strength that the method amounts to,
          instead of where the method leaves the model alone
stand-in  the own model's shift in a merge with a scrambled stand-in, less what that does by itself

Each cell is r of a pair's retention, 2.5 and 97.5 per cent of it over tasks drawn again, and the
mean absolute error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import UndefinedError
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.merges import answer
from mergecast.evidence.retention.together import together
from mergecast.evidence.superposition.checks import checked_pairs
from mergecast.evidence.superposition.corrections import corrected
from mergecast.evidence.superposition.gather import gather, part_way
from mergecast.evidence.superposition.kinds import kinds_of
from mergecast.evidence.superposition.shifts import HALF, WHOLE, Shifts
from mergecast.family import Family
from mergecast.family.blocks import ParamBlock
from mergecast.merging.apply import apply
from mergecast.merging.stand_ins import with_stand_ins
from mergecast.runtime.seeds import derived_seed
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import run_tasks
from mergecast.tables.outcomes import OutcomeTable
from superposition import METHODS, interval

VARIANTS = ("checked", "plain", "apart", "straight", "curve", "stand-in")
WAYS = ("labelled", "unlabelled")
#: Methods whose share of a model depends on its partners.
SHARED_OUT = ("tsv", "isotropic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--outcomes", type=Path, help="a folder with outcomes.parquet")
    parser.add_argument("--calibration", type=int, default=100)
    arguments = parser.parse_args()
    outcomes = OutcomeTable.read((arguments.outcomes or arguments.run) / "outcomes.parquet")
    with one_thread():
        frames = superposed(arguments.run, outcomes, arguments.calibration)
        for way, frame in frames.items():
            print(f"\n{arguments.run.name}, {arguments.calibration} samples a task, {way}")
            print(f"{'method':<17}" + "".join(f"{name:>24}" for name in VARIANTS))
            for method in METHODS:
                part = frame[frame["method"] == method]
                cells = [cell(part, name) for name in VARIANTS]
                print(f"{method:<17}" + "".join(f"{one:>24}" for one in cells))


def cell(part: pd.DataFrame, name: str) -> str:
    if part[name].isna().any():
        return "–"
    error = float(np.abs(part[name] - part["y"]).mean())
    return f" {interval(part, name)} {error:.3f}"


def superposed(run: Path, table: OutcomeTable, samples: int) -> dict[str, pd.DataFrame]:
    """With labels and without, every pair's outcome and what each variant says of it."""
    tasks = run_tasks(run)
    family = Family.open(
        run / "base.safetensors", {task: run / f"models/{task}.safetensors" for task in tasks}
    )
    seed = int(json.loads((run / "suite.json").read_text())["seed"])
    merges = MergeSettings(methods=METHODS, merge_seed=seed)
    settings = ProbeSettings(samples, seed, cache=run / "scache")
    pairs = table.pairs()
    pairs = pairs[pairs["method"].isin(METHODS)].to_dict("records")
    with Session(family, tasks, settings, merges) as session:
        names = sorted(family.names)
        kept = {label: own_answers(session, label)[0] for label in names}
        shifts = gather(session)
        judge = {x: forms.Reference(shifts.single[x], kept[x].labels).compare for x in names}
        found: dict[str, dict[tuple[str, str, str], Comparison]] = {name: {} for name in VARIANTS}
        extra = Extra(session, shifts, kept)
        for task, partner in permutations(names, 2):
            for method in METHODS:
                key = (task, partner, method)
                for name, merged in ways(shifts, extra, *key).items():
                    found[name][key] = judge[task](merged)
        kinds = kinds_of(session)
        for method in METHODS:
            real = {}
            for left, right in checked_pairs(kinds, {}):
                both = together(session, (left, right), method)
                real |= {(left, right, method): both[left], (right, left, method): both[right]}
            plain = {key: one for key, one in found["plain"].items() if key[2] == method}
            found["checked"] |= corrected(plain, real, kinds)
    return {way: pd.DataFrame(_rows(pairs, found, f"expected_{way}")) for way in WAYS}


def _rows(
    pairs: list[dict], found: dict[str, dict[tuple[str, str, str], Comparison]], form: str
) -> Iterator[dict[str, object]]:
    """The mean of both members of every pair."""
    for pair in pairs:
        left, right, method = (str(pair[key]) for key in ("left", "right", "method"))
        keys = ((left, right, method), (right, left, method))
        values = {
            name: float(np.mean([_value(ones.get(key), form) for key in keys]))
            for name, ones in found.items()
        }
        head = {"left": left, "right": right, "method": method, "y": pair["retention"]}
        yield {**head, **values}


def _value(comparison: Comparison | None, form: str) -> float:
    return np.nan if comparison is None else comparison.values[form]  # noqa: PD011


def ways(shifts: Shifts, extra: Extra, task: str, partner: str, method: str) -> dict[str, Tensor]:
    """What the merge answers on the task's samples, by every variant that is defined."""
    strength = shifts.strength(partner, method)
    start, own = shifts.base[task], shifts.own(task, method)
    mine = shifts.strength(task, method)
    beside = shifts.beside(partner, task, strength, mine)
    on_curve = shifts.curves[task].at(mine)
    found = {
        "plain": start + own + beside,
        "half": start + own + strength / HALF * shifts.half[partner, task],
        "apart": start + own + strength / HALF * extra.apart(partner, task, HALF),
        "straight": start + own + strength * extra.apart(partner, task, WHOLE),
        "curve": start + on_curve + beside,
    }
    if method in SHARED_OUT:
        found["stand-in"] = start + extra.beside_stand_in(task, method) + beside
    return found


class Extra:
    """Answers that superposition does not take, and variants do."""

    def __init__(self, session: Session, shifts: Shifts, kept: dict) -> None:
        self._session, self._shifts, self._kept = session, shifts, kept
        self._beside = cache(self._of_stand_in)
        self._weights: tuple[str, float, dict] | None = None
        self._apart: dict[tuple[str, str, float], Tensor] = {}
        for label in sorted(session.family.names):
            for share in (HALF, WHOLE):
                weights = part_way(session, share, label)
                for task in sorted(session.family.names):
                    if task != label:
                        self._apart[label, task, share] = self._shift(task, weights)

    def apart(self, partner: str, task: str, share: float) -> Tensor:
        """The shift of a share of a partner alone, from the base."""
        return self._apart[partner, task, share]

    def beside_stand_in(self, task: str, method: str) -> Tensor:
        """The own model's shift in a merge with a stand-in, less what that does by itself."""
        return self._beside(task, method)

    def _shift(self, task: str, weights: dict[str, Tensor]) -> Tensor:
        said = answer(self._session, task, weights)
        return self._kept[task].of(said).double() - self._shifts.base[task]

    def _of_stand_in(self, task: str, method: str) -> Tensor:
        recipe = self._session.recipe(method)
        make: Callable[..., dict[str, Tensor]] = partial(self._merged, task, recipe)
        both, alone = (self._shift(task, make(with_own=own)) for own in (True, False))
        return both - alone

    def _merged(self, task: str, recipe, *, with_own: bool) -> dict[str, Tensor]:
        merged = {}
        seed = derived_seed(recipe.seed, "scrambled", 0)
        for block in self._session.family.subset([task]).blocks():
            company = with_stand_ins(block, 2, "scrambled", seed)
            if not with_own:
                base = company.base.reshape(company.shape)
                models = np.stack([base, base + company.delta(1).reshape(company.shape)])
                company = ParamBlock.from_arrays(company.name, base, models, company.members)
            array = apply(company, recipe.merging_method, recipe.params, seed=recipe.seed)
            merged[block.name] = to_tensor(array)
        return merged


if __name__ == "__main__":
    try:
        main()
    except UndefinedError as error:
        raise SystemExit(str(error)) from error
