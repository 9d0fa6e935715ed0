"""Shifts added up in every layer, beside shifts added up at the answers: what each tells of pairs.

python benchmarks/superposition_layers.py --run DIR [--outcomes DIR] [--calibration 100] [--pairs N]

DIR of --run is a run's folder with models; outcomes are its own, or a measured table's. Nothing is
fitted. Ways, on the same samples:

plain     the one that is used, without its three merged pairs: a partner's shift beside a half of
          the task's own model, at the answers
apart     partners' shifts from the base, at the answers
layers    the same in every layer: its output is that of the base's layer on what the layers before
          gave, plus what the own model's layer and a share of the partner's add to it there
merged    the merge itself

Each cell is r of a pair's retention, 2.5 and 97.5 per cent of it over tasks drawn again, and the
mean absolute error. Beside a half of the own model, as in `plain`, layers would be the merge itself
where the method is an average. A layer takes three passes for a pair, and a merge one, so this is
no cheaper than merging.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.together import together
from mergecast.evidence.superposition.gather import gather, part_way
from mergecast.evidence.superposition.shifts import HALF, Shifts
from mergecast.family import Family
from mergecast.merging.stand_ins import merge_alone, with_own_head
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import run_tasks
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tasks.probe import Probe
from superposition import METHODS
from superposition_variants import Extra, cell

WAYS = ("plain", "apart", "layers", "merged")
State = Mapping[str, Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--outcomes", type=Path, help="a folder with outcomes.parquet")
    parser.add_argument("--calibration", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=40, help="drawn at random")
    arguments = parser.parse_args()
    table = OutcomeTable.read((arguments.outcomes or arguments.run) / "outcomes.parquet").pairs()
    with one_thread():
        frame = superposed(arguments.run, table, arguments.calibration, arguments.pairs)
    count = frame.groupby(["left", "right"]).ngroups
    print(f"{arguments.run.name}, {count} pairs, {arguments.calibration} samples a task, labelled")
    print(f"{'method':<17}" + "".join(f"{name:>24}" for name in WAYS))
    for method in METHODS:
        part = frame[frame["method"] == method]
        print(f"{method:<17}" + "".join(f"{cell(part, name):>24}" for name in WAYS))


def superposed(run: Path, table: pd.DataFrame, samples: int, n_pairs: int) -> pd.DataFrame:
    """Every pair's outcome and what each way says of it."""
    tasks = run_tasks(run)
    family = Family.open(
        run / "base.safetensors", {task: run / f"models/{task}.safetensors" for task in tasks}
    )
    names = sorted(family.names)
    pairs = list(combinations(names, 2))
    drawn = [pairs[i] for i in sorted(np.random.default_rng(0).permutation(len(pairs))[:n_pairs])]
    seed = int(json.loads((run / "suite.json").read_text())["seed"])
    merges = MergeSettings(methods=METHODS, merge_seed=seed)
    settings = ProbeSettings(samples, seed, cache=run / "scache")
    outcome = table.set_index(["left", "right", "method"])["retention"]
    with Session(family, tasks, settings, merges) as session:
        kept = {label: own_answers(session, label)[0] for label in names}
        shifts = gather(session)
        extra = Extra(session, shifts, kept)
        judge = {x: forms.Reference(shifts.single[x], kept[x].labels).compare for x in names}
        rows = []
        for left, right in drawn:
            for method in METHODS:
                both = together(session, (left, right), method)
                values: dict[str, list[float]] = {way: [] for way in WAYS}
                for task, partner in ((left, right), (right, left)):
                    said = ways(session, shifts, extra, (task, partner, method))
                    layers = kept[task].of(said.pop("layers")).double()
                    found = {way: judge[task](one) for way, one in said.items()}
                    found |= {"layers": judge[task](layers), "merged": both[task]}
                    for way, comparison in found.items():
                        values[way].append(_value(comparison))
                rows.append(
                    {"left": left, "right": right, "method": method}
                    | {"y": float(outcome[left, right, method])}
                    | {way: float(np.mean(ones)) for way, ones in values.items()}
                )
    return pd.DataFrame(rows)


def _value(comparison: Comparison) -> float:
    return comparison.values["expected_labelled"]  # noqa: PD011


def ways(
    session: Session, shifts: Shifts, extra: Extra, key: tuple[str, str, str]
) -> dict[str, Tensor]:
    """Answers to the task's samples; of `layers` the logits themselves."""
    task, partner, method = key
    strength = shifts.strength(partner, method)
    mine = shifts.strength(task, method)
    start = shifts.base[task] + shifts.own(task, method)
    return {
        "plain": start + shifts.beside(partner, task, strength, mine),
        "apart": start + strength / HALF * extra.apart(partner, task, HALF),
        "layers": by_layer(session, task, partner, method, strength),
    }


def by_layer(session: Session, task: str, partner: str, method: str, strength: float) -> Tensor:
    """Logits on a task's samples where every layer adds up its own shifts."""
    recipe = session.recipe(method)
    alone = merge_alone(session.family, task, recipe.method, params=recipe.params, seed=recipe.seed)
    probe = session.probe(task)
    weights = [part_way(session, HALF), alone, part_way(session, HALF, partner)]
    base, own, half = (_bound(probe, with_own_head(session.family, one, task)) for one in weights)
    share = strength / HALF

    def add_up(start: Tensor, with_own: Tensor, beside: Tensor) -> Tensor:
        return start + (with_own - start) + share * (beside - start)

    merged = {
        name: add_up(base[name], own[name], half[name])
        if base[name].is_floating_point()
        else base[name]
        for name in base
    }
    samples = session.merge_samples(task)
    with added_up(probe.module, (base, own, half), add_up):
        # What belongs to no layer (positions, class tokens) is used as it is added up.
        return probe.logits(_as_given(probe, merged), samples, session.settings.batch_size)


def _bound(probe: Probe, weights: State) -> dict[str, Tensor]:
    """Weights by the module's own names."""
    probe.load(weights)
    return dict(probe.state)


def _as_given(probe: Probe, state: State) -> State:
    """`Probe.load` takes the module's names as well as the checkpoint's."""
    unknown = [name for name in state if probe.resolve(name) != name]
    if unknown:
        raise SystemExit(f"the module calls {unknown[0]!r} otherwise")
    return state


def layers(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Numbered parts, and parts beside them that hold none."""
    for name, child in module.named_children():
        place = f"{path}{name}"
        if name.isdigit() or not any(
            part.isdigit() for inner, _ in child.named_modules() for part in inner.split(".")
        ):
            yield place, child
        else:
            yield from layers(child, f"{place}.")


@contextmanager
def added_up(
    module: nn.Module, states: tuple[State, ...], add_up: Callable[..., Tensor]
) -> Iterator[None]:
    """While the context lasts every layer adds up what it gives with each of the states."""
    with ExitStack() as stack:
        for place, layer in layers(module):
            inside = tuple(_inside(state, f"{place}.") for state in states)
            if inside[0]:
                layer.forward = _several(layer, layer.forward, inside, add_up)
                stack.callback(layer.__dict__.pop, "forward")
        yield


def _inside(state: State, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): one for name, one in state.items() if name.startswith(prefix)
    }


def _several(
    layer: nn.Module,
    forward: Callable[..., object],
    states: tuple[State, ...],
    add_up: Callable[..., Tensor],
) -> Callable[..., object]:
    def run(*given: object, **named: object) -> object:
        layer.forward = forward
        try:
            outputs = [functional_call(layer, dict(one), given, named) for one in states]
        finally:
            layer.forward = run
        return tree_map(_of_tensors(add_up), *outputs)

    return run


def _of_tensors(add_up: Callable[..., Tensor]) -> Callable[..., object]:
    def join(first: object, *rest: object) -> object:
        is_float = isinstance(first, torch.Tensor) and first.is_floating_point()
        return add_up(first, *rest) if is_float else first

    return join


if __name__ == "__main__":
    main()
