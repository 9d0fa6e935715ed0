"""Cosines of task vectors with the true base, and with each of the models in its place.

python benchmarks/forgotten_base.py --run DIR …

DIR is a finished run with its models. `check` warns where all task vectors share much, as they do
where the base was forgotten and a fine-tuned model stands for it. One row a run: the largest cosine
with the true base; over the models in its place the least of the smallest and of the mean cosines,
and the largest; and how many of these families are warned of. Running statistics and heads are left
out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.family.family import Family
from mergecast.family.findings import ONE_OF_THEM_LEAST, ONE_OF_THEM_MEAN
from mergecast.family.heads import is_statistic
from mergecast.suites.folder import read_run
from mergecast.suites.units import BASE_FILE, model_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", nargs="+", type=Path, required=True)
    rows = {}
    for folder in parser.parse_args().run:
        plan = read_run(folder)
        gram = gram_of(folder, plan.tasks)
        n = len(gram)
        true = cosines(gram)
        places = [cosines(in_place(gram, i)) for i in range(n)]
        rows[plan.run.label] = {
            "models": n,
            "true base, most": true.max(),
            "in its place: least": min(one.min() for one in places),
            "least mean": min(one.mean() for one in places),
            "most": max(one.max() for one in places),
            "warned of": sum(warned(one) for one in places),
            "true base": warned(true),
        }
    print(pd.DataFrame(rows).T.infer_objects().round(3).to_string())


def gram_of(folder: Path, tasks: tuple[str, ...]) -> np.ndarray:
    """Inner products of what was trained, (n, n)."""
    models = {name: folder / model_file(name) for name in tasks}
    family = Family.open(folder / BASE_FILE, models, private=("head.*",))
    return np.asarray(sum(b.gram() for b in family.blocks() if not is_statistic(b.name)))


def in_place(gram: np.ndarray, i: int) -> np.ndarray:
    """The same of all other models with model i for their base."""
    moved = gram - gram[i] - gram[:, [i]] + gram[i, i]
    rest = np.delete(np.arange(len(gram)), i)
    return np.asarray(moved[np.ix_(rest, rest)])


def cosines(gram: np.ndarray) -> np.ndarray:
    """Of every two models, flat."""
    norms = np.sqrt(np.diagonal(gram))
    return np.asarray((gram / np.outer(norms, norms))[np.triu_indices(len(gram), 1)])


def warned(found: np.ndarray) -> bool:
    """Whether `check` would say so."""
    return bool(found.min() > ONE_OF_THEM_LEAST and found.mean() > ONE_OF_THEM_MEAN)


if __name__ == "__main__":
    main()
