"""Stream → method → tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import MergecastError, UsageError
from mergecast.family.blocks import BLOCKS, ParamBlock
from mergecast.family.family import Family
from mergecast.merging.apply import apply, apply_delta
from mergecast.merging.evidence import TaskEvidence
from mergecast.merging.heads import apart as heads_apart
from mergecast.merging.recipe import Given, Recipe
from mergecast.runtime.devices import check_device
from mergecast.runtime.stage import Stage
from mergecast.typing import Array, Names, listed

if TYPE_CHECKING:
    import torch

#: A block merged, by whatever method.
MERGE = Stage(
    "merge",
    1,
    uses=(BLOCKS,),
    modules=(
        "mergecast.merging.run",
        "mergecast.merging.apply",
        "mergecast.merging.combine",
        "mergecast.merging.decompositions",
        "mergecast.merging.sparsity",
    ),
)


@overload
def merge(
    family: Family,
    method: Given,
    *,
    members: Names | None = None,
    params: Mapping[str, object] | None = None,
    scaling: float | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    device: str = "cpu",
    evidence: Mapping[str, str | Path] | None = None,
    heads: Literal[False] = False,
) -> dict[str, torch.Tensor]: ...
@overload
def merge(
    family: Family,
    method: Given,
    *,
    members: Names | None = None,
    params: Mapping[str, object] | None = None,
    scaling: float | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    device: str = "cpu",
    evidence: Mapping[str, str | Path] | None = None,
    heads: Literal[True],
) -> dict[str, dict[str, torch.Tensor]]: ...
def merge(
    family: Family,
    method: Given,
    *,
    members: Names | None = None,
    params: Mapping[str, object] | None = None,
    scaling: float | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    device: str = "cpu",
    evidence: Mapping[str, str | Path] | None = None,
    heads: bool = False,
) -> dict[str, torch.Tensor] | dict[str, dict[str, torch.Tensor]]:
    """Merge in memory.

    Parameters
    ----------
    family : Family
        Base and models.
    method : str, Recipe or mapping
        A name in `METHODS`; or a whole recipe, and then nothing of it beside it.
    members : str or sequence of str, optional
        Labels of the models to merge; all by default. Their order does not matter.
    params : mapping of str to object, optional
        The method's parameters; defaults for the rest.
    scaling : float, optional
        The strength: the parameter of that name.
    weights : mapping of str to float, optional
        A weight for every model merged, by label; all count alike by default.
    seed : int
        Of random masks.
    device : str
        Where the method runs.
    evidence : mapping of str to str or Path, optional
        Label to a file of `mergecast.merge_evidence`, for a method that needs it.
    heads : bool
        Keep task heads with their models.

    Returns
    -------
    dict of str to Tensor
        Every parameter of the base: shared ones merged, others as they are in the base, each in
        the base's dtype. With `heads`, label to the same with the model's own head in the place of
        the base's; what is merged is there once.

    Raises
    ------
    UsageError
        An unknown method, parameter, member or device; weights that the method does not take.
    FamilyError
        A value that is not finite, or too large for the base's dtype once merged.
    """
    recipe = Recipe.of(method, params, scaling=scaling, weights=weights, seed=seed)
    if heads:
        apart = heads_apart(family.subset(chosen_members(family, members)))
        merged = merge(apart.family, recipe, device=device, evidence=evidence)
        return {label: dict(apart.whole(label, merged)) for label in apart.own}
    arrays = dict(merged_blocks(family, recipe, members, device, evidence=evidence))
    for exclusion in family.alignment.excluded:
        if exclusion.name in family.base.infos:
            arrays[exclusion.name] = family.base.array(exclusion.name)
    tokens = family.for_merge(chosen_members(family, members)).vocabulary
    return {
        name: to_tensor(tokens.widen(name, arrays[name]) if tokens else arrays[name])
        for name in family.base.names
    }


def merged_blocks(
    family: Family,
    recipe: Recipe,
    members: Names | None,
    device: str,
    workers: int = 1,
    dtype: np.dtype[np.generic] | None = None,
    evidence: Mapping[str, str | Path] | None = None,
    *,
    deltas: bool = False,
) -> Iterator[tuple[str, Array]]:
    """Every shared parameter merged as it is asked for, or its merged delta; see `merge`."""
    check_device(device)
    chosen = chosen_members(family, members)
    recipe.check(chosen)
    for name in recipe.by_parameter:
        if name not in family.base.infos:
            raise UsageError.unknown("parameter of the recipe", name, family.base.names)
    subset = family.subset(chosen)
    method = recipe.merging_method
    method.check_evidence(evidence is not None)
    known = None if evidence is None else TaskEvidence.open(evidence, chosen)
    kernel = apply_delta if deltas else partial(apply, dtype=dtype)

    def one(block: ParamBlock) -> tuple[str, Array]:
        part = recipe.of_parameter(block.name)
        try:
            merged = kernel(
                block,
                method,
                part.params,
                seed=part.seed,
                device=device,
                weights=part.weights_of(chosen),
                evidence=known,
            )
        except MergecastError as error:
            raise error.about(f"merge {method.name}") from error
        return block.name, merged

    def stream() -> Iterator[tuple[str, Array]]:
        # Kernels on a GPU queue up anyway; on the CPU one thread each, so that the result does
        # not depend on the machine's cores.
        side_by_side = workers if device == "cpu" else 1
        with _one_torch_thread(), ThreadPoolExecutor(side_by_side) as pool:
            pending: deque[Future[tuple[str, Array]]] = deque()
            for block in subset.blocks():
                pending.append(pool.submit(one, block))
                if len(pending) > side_by_side:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    return stream()


def chosen_members(family: Family, members: Names | None) -> tuple[str, ...]:
    """Members in sorted order, so that the order given changes nothing, not even rounding."""
    return tuple(sorted(family.names if members is None else family.subset(listed(members)).names))


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One thread per operation while blocks run side by side; restored whatever happens."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
