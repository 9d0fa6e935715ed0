"""Whether layers in which two task vectors lie apart are those in which a merge does harm.

python benchmarks/layers.py --run DIR [--pairs 20] [--calibration 100]

DIR is a run's folder with models. Of every ordered pair, one layer at a time of a model's is
replaced by that of the even merge with its partner, and the model answers its own samples: the harm
of a layer is the mean Kullback-Leibler divergence of its answers from those before. Beside it stand
the layer's part of the squared distance between the task vectors (apart), the cosine there, and the
share of entries' mass whose signs differ, Σ min(|a|, |b|) where they do over all of it:

layers    mean over pairs of Spearman's correlation over layers
partners  the same over partners of a model and layer, mean over both
both      over all, less means by layer and by pair (of the logarithm of harm): neither the layer
          nor the pair tells it
first     share of pairs whose layer of most harm has most of the measure (least of the cosine)

The last line says in how many pairs one fixed layer, known only afterwards, has most harm.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention.merges import answer
from mergecast.family import Family
from mergecast.family.depth import layers_of
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import run_tasks
from mergecast.typing import Array

MEASURES = ("apart", "cosine", "signs")
_LEAST = 1e-9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=20, help="drawn at random")
    parser.add_argument("--calibration", type=int, default=100)
    arguments = parser.parse_args()
    run = arguments.run
    tasks = run_tasks(run)
    family = Family.open(
        run / "base.safetensors", {task: run / f"models/{task}.safetensors" for task in tasks}
    )
    settings = ProbeSettings(arguments.calibration, 0)
    merges = MergeSettings(methods=("weight_avg",))
    with one_thread(), Session(family, tasks, settings, merges) as session:
        frame = pd.DataFrame(harms(session, arguments.pairs))
    name = suite_name(run)
    report(frame, f"{name}, {arguments.pairs} pairs, {arguments.calibration} samples a task")


def suite_name(run: Path) -> str:
    """As tables call it: the suite, and its backbone where it has one."""
    described = json.loads((run / "suite.json").read_text())
    return "/".join(filter(None, (described["suite"], described["recipe"].get("backbone"))))


def harms(session: Session, n_pairs: int) -> Iterator[dict[str, object]]:
    """One row a layer of every ordered pair of those drawn."""
    names = sorted(session.family.names)
    pairs = list(combinations(names, 2))
    drawn = sorted(np.random.default_rng(0).permutation(len(pairs))[:n_pairs])
    blocks = {block.name: block for block in session.family.blocks()}
    members = {label: i for i, label in enumerate(session.family.names)}
    base = {name: block.base.astype(np.float64) for name, block in blocks.items()}

    def deltas(label: str) -> dict[str, Array]:
        return {
            name: block.delta(members[label]).astype(np.float64) for name, block in blocks.items()
        }

    for i in drawn:
        both = {label: deltas(label) for label in pairs[i]}
        for own, partner in (pairs[i], pairs[i][::-1]):
            yield from _of_one(session, own, partner, base, both)


def _of_one(
    session: Session, own: str, partner: str, base: dict[str, Array], both: dict
) -> Iterator[dict[str, object]]:
    mine, other = both[own], both[partner]
    weights = {name: _tensor(base[name] + mine[name]) for name in base}
    before = _log_answers(session, own, weights)
    whole = sum(np.square(mine[name] - other[name]).sum() for name in base)
    for layer, inside in layers_of(list(base)).items():
        x, y = (np.concatenate([one[name].ravel() for name in inside]) for one in (mine, other))
        if not (x.any() and y.any()):
            continue
        merged = {name: _tensor(base[name] + (mine[name] + other[name]) / 2) for name in inside}
        after = _log_answers(session, own, weights | merged)
        least = np.minimum(np.abs(x), np.abs(y))
        yield {
            "pair": f"{own} beside {partner}",
            "own": own,
            "layer": layer,
            "harm": float((before.exp() * (before - after)).sum(1).mean()),
            "apart": np.square(x - y).sum() / whole,
            "cosine": x @ y / np.linalg.norm(x) / np.linalg.norm(y),
            "signs": least[x * y < 0].sum() / least.sum(),
        }


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _log_answers(session: Session, label: str, weights: dict[str, Tensor]) -> Tensor:
    return torch.log_softmax(answer(session, label, weights).double(), 1)


def report(frame: pd.DataFrame, title: str) -> None:
    print(f"{title}\n\n{'layer':<28}{'harm':>8}{'apart':>8}{'cosine':>8}{'signs':>8}")
    means = frame.groupby("layer", sort=False)[["harm", *MEASURES]].mean()
    for layer, row in means.iterrows():
        print(f"{layer:<28}" + "".join(f"{value:>8.3f}" for value in row))
    print(f"\n{'measure':<28}{'layers':>10}{'partners':>10}{'both':>8}{'first':>8}")
    for measure in MEASURES:
        sign = -1 if measure == "cosine" else 1
        values = frame.assign(value=sign * frame[measure])
        cells = [_within(values, ["pair"]), _within(values, ["own", "layer"]), _both(values)]
        first = _first(values, "value") == _first(values, "harm")
        print(
            f"{measure:<28}{cells[0]:>10.2f}{cells[1]:>10.2f}{cells[2]:>8.2f}{first.mean():>8.0%}"
        )
    most = _first(frame, "harm").value_counts(normalize=True)
    print(f"most harm in {most.index[0]}: {most.iloc[0]:.0%} of pairs")


def _within(frame: pd.DataFrame, keys: list[str]) -> float:
    """Mean over groups of Spearman's correlation of the measure and the harm."""
    groups = [group for _, group in frame.groupby(keys) if len(group) > 2]
    found = [group["value"].corr(group["harm"], method="spearman") for group in groups]
    return float(np.nanmean(found))


def _both(frame: pd.DataFrame) -> float:
    columns = (np.log(frame["harm"].clip(lower=_LEAST)), frame["value"])
    left, right = (_less_means(column, frame) for column in columns)
    return float(left.corr(right, method="spearman"))


def _less_means(values: pd.Series, frame: pd.DataFrame) -> pd.Series:
    for key in ("layer", "pair"):
        values = values - values.groupby(frame[key]).transform("mean")
    return values


def _first(frame: pd.DataFrame, column: str) -> pd.Series:
    """The layer that has most, by pair."""
    return frame.loc[frame.groupby("pair")[column].idxmax()].set_index("pair")["layer"]


if __name__ == "__main__":
    main()
