"""Other ways of searching merges, each a generator of proposals: what `search.py` compares with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mergecast.typing import Floats

#: A merge: members and recipe.
Key = tuple[tuple[str, ...], str]
#: Proposals of every way.
PROPOSALS = 400


def random_search(keys: list[Key], names: list[str], values: Floats, seed: int) -> Iterator[int]:
    del names, values
    yield from np.random.default_rng(seed).permutation(len(keys))[:PROPOSALS].tolist()


def _decoded(
    keys: list[Key], names: list[str], size: float, recipe: float, parts: Sequence[float]
) -> int:
    """The merge of the `size` models of the highest parts."""
    sizes, recipes = sorted({len(k[0]) for k in keys}), sorted({k[1] for k in keys})
    k = sizes[min(int(np.clip(size, 0, 1) * len(sizes)), len(sizes) - 1)]
    by = recipes[min(int(np.clip(recipe, 0, 1) * len(recipes)), len(recipes) - 1)]
    chosen = tuple(sorted(names[i] for i in np.argsort(parts)[::-1][:k]))
    return keys.index((chosen, by)) if (chosen, by) in keys else -1


def tpe(keys: list[Key], names: list[str], values: Floats, seed: int) -> Iterator[int]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True)
    )
    recipes, sizes = sorted({k[1] for k in keys}), sorted({len(k[0]) for k in keys})
    for _ in range(PROPOSALS):
        trial = study.ask()
        recipe = trial.suggest_categorical("recipe", recipes)
        size = trial.suggest_int("size", sizes[0], sizes[-1])
        parts = [trial.suggest_float(name, 0, 1) for name in names]
        chosen = tuple(sorted(names[i] for i in np.argsort(parts)[::-1][:size]))
        if (chosen, recipe) not in keys:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        at = keys.index((chosen, recipe))
        study.tell(trial, values[at])
        yield at


def cma_es(keys: list[Key], names: list[str], values: Floats, seed: int) -> Iterator[int]:
    import cma

    options = {"seed": seed + 1, "verbose": -9, "bounds": [0, 1], "maxfevals": PROPOSALS}
    strategy = cma.CMAEvolutionStrategy([0.5] * (2 + len(names)), 0.3, options)
    count = 0
    while count < PROPOSALS:
        points = strategy.ask()
        found = [_decoded(keys, names, point[0], point[1], point[2:]) for point in points]
        strategy.tell(points, [0.0 if at < 0 else -float(values[at]) for at in found])
        count += len(points)
        yield from (at for at in found if at >= 0)


#: Way to its proposals, places of merges, from all merges, labels, their values and a seed.
WAYS: dict[str, Callable[[list[Key], list[str], Floats, int], Iterator[int]]] = {
    "random": random_search,
    "tpe": tpe,
    "cma-es": cma_es,
}
