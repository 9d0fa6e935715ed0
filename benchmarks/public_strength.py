"""Strengths of sets, from pairs and single models that others measured: what choosing them loses.

python benchmarks/public_strength.py DIR

DIR holds the tables of peta's merges (arXiv 2310.04742): ViT-B/16, all subsets of seven tasks,
three ways of fine-tuning, task arithmetic over a grid of strengths. The law of
`mergecast.forecast.interference` is fitted to the pairs alone; what a model keeps alone is not in
the tables, so that it is taken for a curve between base and fine-tuned model whose bend is fitted
too. Loads come from the task vectors' cosines. Printed: regret against the best strength of each
set's grid by size, of the law and of fixed rules, and the mean error of the curves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from mergecast.forecast.strengths import StrengthForecast
from mergecast.tables.strengths import Alone, Kept, StrengthReadings

WAYS = {"fft": "standard", "lora": "lora", "l_lora": "l_lora"}
CLASSES = {
    "Cars": 196,
    "DTD": 47,
    "EuroSAT": 10,
    "GTSRB": 43,
    "RESISC45": 45,
    "SUN397": 397,
    "SVHN": 10,
}
TASKS, SIZES, BACKBONE = tuple(CLASSES), (2, 3, 4, 5, 6), "ViT-B-16"
#: How a curve alone starts and ends: (1 - (1 - s)^end)^start.
BENDS = tuple(product((1.0, 1.5, 2.0, 3.0), (1.0, 1.5, 2.0)))

Bends = dict[str, tuple[float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for way in WAYS:
        print(f"\n{way}\n{one_way(folder, way).to_string(float_format='{:.4f}'.format)}")


def one_way(folder: Path, way: str) -> pd.DataFrame:
    """Regrets and errors by size of set."""
    zero, one = singles(folder, way)
    sets = merges(folder, way)
    forecast = StrengthForecast(bent(zero, one, sets, cosines(folder, way)))
    rules: dict[str, Callable[[int], float]] = {
        "average": lambda k: 1 / k,
        "root": lambda k: k**-0.5,
        "0.3": lambda _: 0.3,
        "1": lambda _: 1.0,
    }
    rows = {}
    for size in SIZES:
        lost: dict[str, list[float]] = {name: [] for name in ("law", *rules)}
        errors, chosen = [], []
        for members, table in sets.items():
            if len(members) != size:
                continue
            grid = table.index.to_numpy()
            truth = np.mean([table[label] / one[label] for label in members], axis=0)
            curve = forecast.curve(members, grid).mean
            lost["law"].append(truth.max() - truth[curve.argmax()])
            chosen.append(grid[curve.argmax()])
            errors.append(abs(curve - truth)[1:].mean())
            for name, rule in rules.items():
                lost[name].append(truth.max() - truth[np.abs(grid - rule(size)).argmin()])
        rows[size] = {"sets": len(errors), **{k: np.mean(v) for k, v in lost.items()}}
        rows[size] |= {"chosen": np.mean(chosen), "error": np.mean(errors)}
    return pd.DataFrame.from_dict(rows, orient="index")


def bent(
    zero: pd.Series, one: pd.Series, sets: dict[tuple[str, ...], pd.DataFrame], cosine: pd.DataFrame
) -> StrengthReadings:
    """Readings from pairs, with the bend of each task's own curve that fits them best."""
    kept = []
    for members, table in sets.items():
        if len(members) == 2:
            weights = dict.fromkeys(members, 1.0)
            kept += [
                Kept(label, weights, float(at), float(value / one[label]))
                for label in members
                for at, value in table[label].items()
                if at > 0
            ]
    products = {
        label: {(a, b): float(cosine.loc[a, b]) for a in others for b in others}
        for label in TASKS
        if (others := [one for one in TASKS if one != label])
    }

    def readings(bends: Bends) -> StrengthReadings:
        alone = {label: own(zero[label], one[label], label, bends[label]) for label in TASKS}
        return StrengthReadings("task_arithmetic", "accuracy", alone, products, tuple(kept))

    def misses(bends: Bends) -> float:
        return StrengthForecast(readings(bends)).interference.noise

    bends = min((dict.fromkeys(TASKS, bend) for bend in BENDS), key=misses)
    for _ in range(2):
        for label in TASKS:
            bends[label] = min(BENDS, key=lambda bend: misses({**bends, label: bend}))
    return readings(bends)


def own(zero: float, one: float, task: str, bend: tuple[float, float]) -> Alone:
    """Retention alone, in the log-odds of accuracy between the base's and the fine-tuned one's."""
    floor, strengths = 1 / CLASSES[task], np.linspace(0, 1, 41)
    low, high = logit(max(zero, floor + 0.005)), logit(one)
    end, start = bend
    accuracy = expit(low + (high - low) * (1 - (1 - strengths) ** end) ** start)
    return Alone(strengths, accuracy / one, floor / one)


def singles(folder: Path, way: str) -> tuple[pd.Series, pd.Series]:
    """Accuracy of the base and of every single model."""
    table = pd.read_csv(folder / f"peta_single_{BACKBONE}.csv")
    table = table[table["finetune_mode"] == WAYS[way]]
    zero, one = (table[table["step"] == step].set_index("task")["accuracy"] for step in (0, 6000))
    return zero, one


def merges(folder: Path, way: str) -> dict[tuple[str, ...], pd.DataFrame]:
    """Set to its members' accuracies over strength; sets without the whole grid are left out."""
    table = pd.read_csv(folder / f"peta_sets_{BACKBONE}.csv.gz")
    table = table[(table["ft"] == way) & (table["method"] == "task_addition")]
    table = table.assign(lam=table["lam"].round(4))
    found = {}
    for members, rows in table.groupby("members"):
        rows = rows.drop_duplicates("lam").set_index("lam").sort_index()[list(TASKS)]
        if len(rows) >= 20:
            found[tuple(sorted(members.split("+")))] = rows
    return found


def cosines(folder: Path, way: str) -> pd.DataFrame:
    """Cosines of the task vectors, 1 with themselves."""
    table = pd.read_csv(folder / "peta_cosines.csv")
    table = table[(table["ft"] == way) & (table["backbone"] == BACKBONE)]
    matrix = pd.DataFrame(np.eye(len(TASKS)), index=TASKS, columns=TASKS)
    for row in table.itertuples():
        matrix.loc[row.task_a, row.task_b] = matrix.loc[row.task_b, row.task_a] = row.cosine
    return matrix


if __name__ == "__main__":
    main()
