"""What each of mergekit's methods is here: its parameters, their defaults there, its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: A parameter that a file has to give.
REQUIRED = object()


@dataclass(frozen=True)
class Form:
    """One of mergekit's methods.

    Attributes
    ----------
    method : str
        The method of ours that does the same.
    shared : mapping of str to object
        mergekit's parameters of the whole merge to their defaults there.
    own : mapping of str to object
        Those that each model may have.
    base : {"needed", "optional", "member"}
        Whether task vectors are taken from a base model; ``member``: a base counts as any model.
    most : int or None
        The most models, without the base.
    no_effect : frozenset of str
        Parameters that say how it is computed, or that it has and does not read.
    """

    method: str
    shared: Mapping[str, object] = field(default_factory=dict)
    own: Mapping[str, object] = field(default_factory=dict)
    base: Literal["needed", "optional", "member"] = "needed"
    most: int | None = None
    no_effect: frozenset[str] = frozenset({"int8_mask"})


_WEIGHT = {"weight": REQUIRED}


def _arithmetic(method: str, *, normalize: bool, rescale: bool, **own: object) -> Form:
    """One of mergekit's family of sparse task arithmetic, with or without an election."""
    shared = {"lambda": 1.0, "normalize": normalize, "rescale": rescale}
    return Form(method, shared, {**_WEIGHT, "density": 1.0, **own})


FORMS: Mapping[str, Form] = {
    "linear": Form("linear", {"normalize": True}, _WEIGHT, "member"),
    "task_arithmetic": Form(
        "task_arithmetic",
        {"lambda": 1.0, "normalize": False},
        _WEIGHT,
        no_effect=frozenset({"int8_mask", "density", "rescale"}),
    ),
    "ties": _arithmetic("ties", normalize=True, rescale=False),
    "dare_ties": _arithmetic("dare_ties", normalize=False, rescale=True),
    "dare_linear": _arithmetic("dare_linear", normalize=False, rescale=True),
    "breadcrumbs": _arithmetic("breadcrumbs", normalize=False, rescale=False, gamma=0.01),
    "breadcrumbs_ties": _arithmetic("breadcrumbs_ties", normalize=False, rescale=False, gamma=0.01),
    "della": _arithmetic("della", normalize=True, rescale=True, epsilon=0.15),
    "della_linear": _arithmetic("della_linear", normalize=False, rescale=True, epsilon=0.15),
    "model_stock": Form("model_stock", {"filter_wise": False}),
    "nuslerp": Form(
        "nuslerp",
        {"nuslerp_flatten": True, "nuslerp_row_wise": False},
        _WEIGHT,
        "optional",
        2,
    ),
    "multislerp": Form(
        "multislerp",
        {"normalize_weights": True},
        _WEIGHT,
        "optional",
        no_effect=frozenset({"eps"}),
    ),
    "karcher": Form("karcher", {"max_iter": 10, "tol": 1e-5}, base="member"),
    "slerp": Form("nuslerp", {"t": REQUIRED}, most=1),
    "sce": Form("sce", {"select_topk": 1.0}),
    "arcee_fusion": Form("arcee_fusion", most=1),
    "nearswap": Form("nearswap", {"t": REQUIRED}, most=1),
    "ram": Form("ram", {"epsilon": 1e-5}),
    "ramplus_tl": Form("ramplus_tl", {"r": 0.1, "alpha": 0.2, "epsilon": 1e-5}),
}
"""mergekit's methods that can be run, by its names."""
