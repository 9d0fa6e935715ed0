"""Numbers of a recipe: what is one, and weights that a method takes."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real

from mergecast.errors import UsageError
from mergecast.merging.method import METHODS, MergingMethod


def is_number(value: object) -> bool:
    """Whether it is a real number; flags are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def checked_weights(method: MergingMethod, given: Mapping[str, float]) -> dict[str, float]:
    """Weights by label, sorted, as floats; none where none are given.

    Raises
    ------
    UsageError
        The method takes none, one is no number or has a sign that the method does not take, or
        all are 0.
    """
    weights: dict[str, float] = {}
    if not given:
        return weights
    if method.weights == "none":
        able = [one.name for one in METHODS if one.weights != "none"]
        raise UsageError(
            f"weights of {method.name}",
            "given, but it takes none",
            f"leave them out, or use one of {', '.join(able)}",
        )
    for label, value in sorted(given.items(), key=lambda one: str(one[0])):
        if not is_number(value) or not isfinite(value):
            raise UsageError(f"weight of model {str(label)!r}", f"is {value!r}", "give a number")
        if value < 0 and method.weights == "positive":
            raise UsageError(
                f"weight of model {str(label)!r}",
                f"is {value}, and {method.name} takes none below zero",
                "give 0 or more",
            )
        weights[str(label)] = float(value)
    if not any(weights.values()):
        raise UsageError("weights", "are all 0", "give one model at least another weight")
    return weights
