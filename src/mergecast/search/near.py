"""Merges near a good one: other strengths, and weights of the models, priced by superposition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.nearby import Nearby
from mergecast.merging.recipe import Recipe
from mergecast.merging.recipe_text import three_digits
from mergecast.search.candidates import Priced
from mergecast.search.objective import Objective
from mergecast.typing import Floats

#: Strengths that are tried, against the recipe's own.
FACTORS = (0.6, 0.75, 0.88, 1.15, 1.35, 1.7)
#: How far strength and weights go, as a logarithm, and how often superposition is asked of them.
_FARTHEST, _ASKED = 0.9, 120
#: Of what superposition says that weights gain, about so much is true: they are chosen by it. And
#: the error of a change that it says, as a part of it. Chosen on 167 merges of `digits-14`; on 83
#: others of MiniLM-L3 about so much of weights' gain is true, and the error is 0.4 to 0.6 of a
#: change; on 210 of digits nothing and 0.8 to 2.3 (`benchmarks/near_gains.py`).
_WEIGHTS_GAIN, _ERROR = 0.5, 0.7
#: Weights this near to equal are equal.
_EQUAL = 0.05


class Near:
    """Gives merges near one, for a search.

    Parameters
    ----------
    session : Session
        Whose store holds the models' shifts.
    objective : Objective
        What weights are to make large.
    """

    def __init__(self, session: Session, objective: Objective) -> None:
        self._session, self._objective = session, objective

    def __call__(self, priced: Priced, /) -> list[Priced]:
        """Merges near one, each kept as much more or less as superposition says; may be none."""
        candidate = priced.candidate
        recipe = candidate.recipe
        weighted = recipe.merging_method.weights != "none" and not recipe.weights
        if recipe.strength is None and not weighted:
            return []
        try:
            nearby = Nearby.of(self._session, candidate.members, candidate.method)
        except UndefinedError:
            nearby = None  # other strengths are looked at all the same
        if nearby is not None and priced.known:
            nearby = nearby.like(priced.kept)
        now = None if nearby is None else nearby.kept(1.0)

        def price(changed: Recipe, factor: float, weights: Mapping[str, float] | None) -> Priced:
            change = np.zeros(len(priced.kept))
            if nearby is not None and now is not None:
                change = nearby.kept(factor, weights) - now
            if weights is not None:
                change = _WEIGHTS_GAIN * change
            sd = np.hypot(priced.sd, _ERROR * change)
            # Superposition goes on beyond what a merge can keep, above all of spectral methods.
            most = np.maximum(priced.kept, 1.0)
            kept = np.minimum(priced.kept + change, most)
            return Priced(replace(candidate, recipe=changed), kept, sd, priced.known)

        found = []
        if recipe.strength:
            for factor in FACTORS:
                changed = _at(recipe, factor)
                if changed is not None:
                    found.append(price(changed, factor, None))
        if weighted and nearby is not None:
            for free in (False, True) if recipe.strength else (False,):
                factor, weights = self._best(nearby, free=free)
                changed = _at(recipe, factor)
                if changed is not None and np.ptp(np.log([*weights.values()])) > _EQUAL:
                    changed = replace(changed, weights=weights)
                    found.append(price(changed, factor, weights))
        return found

    def _best(self, nearby: Nearby, *, free: bool) -> tuple[float, dict[str, float]]:
        """The strength, where it is free, and the weights that superposition thinks best."""
        from scipy.optimize import minimize

        members = nearby.members

        def read(logs: Floats) -> tuple[float, dict[str, float]]:
            factor = float(np.exp(logs[0])) if free else 1.0
            own = np.exp(logs[-len(members) :] - logs[-len(members) :].mean())
            return factor, {x: three_digits(one) for x, one in zip(members, own, strict=True)}

        def loss(logs: Floats) -> float:
            return -float(self._objective.utility(members, nearby.kept(*read(logs))))

        count = len(members) + free
        done = minimize(
            loss,
            np.zeros(count),
            method="COBYQA",
            bounds=[(-_FARTHEST, _FARTHEST)] * count,
            options={"maxfev": _ASKED, "initial_tr_radius": 0.3},
        )
        factor, weights = read(np.asarray(done.x))
        return three_digits(factor), weights


def _at(recipe: Recipe, factor: float) -> Recipe | None:
    """The recipe at another strength; None where the method does not go so far."""
    if factor == 1 or recipe.strength is None:
        return recipe
    try:
        return recipe.at(three_digits(recipe.strength * factor))
    except UsageError:
        return None
