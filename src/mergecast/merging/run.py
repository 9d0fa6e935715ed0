"""Stream → method → tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import FamilyError, MergecastError, UsageError
from mergecast.family.blocks import BLOCKS, ParamBlock
from mergecast.family.family import Family
from mergecast.family.heads import is_statistic
from mergecast.merging.combine import weighted_sum
from mergecast.merging.heads import apart as heads_apart
from mergecast.merging.method import MergingMethod, TensorBlock
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
        merged = merge(apart.family, recipe, device=device)
        return {label: dict(apart.whole(label, merged)) for label in apart.own}
    arrays = dict(merged_blocks(family, recipe, members, device))
    for exclusion in family.alignment.excluded:
        if exclusion.name in family.base.infos:
            arrays[exclusion.name] = family.base.array(exclusion.name)
    tokens = family.vocabulary
    return {
        name: to_tensor(tokens.widen(name, arrays[name]) if tokens else arrays[name])
        for name in family.base.names
    }


def apply(
    block: ParamBlock,
    method: MergingMethod,
    params: Mapping[str, Any],
    *,
    seed: int = 0,
    device: str = "cpu",
    weights: tuple[float, ...] | None = None,
) -> Array:
    """One block merged: base + merged delta, in the base's shape and stored dtype.

    Raises
    ------
    FamilyError
        A model's values are not finite, or the merged ones leave the stored dtype's range.
    UsageError
        The method returned something else than a delta of the block's shape.
    """
    import torch

    tensors = TensorBlock(
        block.name,
        torch.from_numpy(block.base).to(device),
        torch.from_numpy(block.deltas).to(device),
        block.members,
        seed,
        weights,
    )
    for label, delta in zip(block.members, tensors.deltas, strict=True):
        if not _is_finite(delta):
            raise FamilyError(
                f"model {label!r}",
                f"parameter {block.name!r} or the base's holds NaN or infinity",
                "leave this model out, or fetch it again",
            )
    # What was measured and not trained is averaged: a scaled variance may be negative.
    statistic = is_statistic(block.name)
    delta = _average(tensors) if statistic else method.kernel(tensors, **params)
    _check_shape(delta, tensors, method)
    merged = tensors.base + delta
    array: Array = merged.cpu().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        stored = array.astype(block.dtype, copy=False)
    rounded = stored.dtype != array.dtype and not bool(np.isfinite(stored).all())
    if rounded or not _is_finite(merged):
        if bool(delta.isnan().any()):
            raise _wrong_result(method, f"NaN for {block.name!r}", "finite values")
        raise FamilyError(
            f"parameter {block.name!r}",
            f"merged by {method.name!r} it overflows {block.dtype.name}",
            "lower the method's scaling, or use a base of wider dtype",
        )
    return stored


def _average(block: TensorBlock) -> torch.Tensor:
    """The members' mean by weight; the plain one where a weight is negative."""
    if min(block.given or (1,)) < 0:
        return block.deltas.mean(0)
    return weighted_sum(block, block.deltas, normalize=True)


def _check_shape(delta: object, block: TensorBlock, method: MergingMethod) -> None:
    import torch

    if not isinstance(delta, torch.Tensor):
        raise _wrong_result(method, f"{type(delta).__name__} for {block.name!r}", "a torch tensor")
    if delta.shape != block.base.shape:
        given, wanted = list(delta.shape), list(block.base.shape)
        raise _wrong_result(
            method, f"shape {given} for {block.name!r} of {wanted}", "a delta of the block's shape"
        )


def _wrong_result(method: MergingMethod, result: str, wanted: str) -> UsageError:
    return UsageError(
        f"merging method {method.name!r} of package {method.package!r}",
        f"returned {result}",
        f"its kernel must return {wanted}",
    )


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether all elements are finite; one pass without a temporary of the tensor's size."""
    if tensor.numel() == 0:
        return True
    low, high = tensor.aminmax()
    return bool(low.isfinite() and high.isfinite())


def merged_blocks(
    family: Family, recipe: Recipe, members: Names | None, device: str, workers: int = 1
) -> Iterator[tuple[str, Array]]:
    """Every shared parameter merged as it is asked for; see `merge`."""
    check_device(device)
    chosen = chosen_members(family, members)
    recipe.check(chosen)
    subset = family.subset(chosen)
    method, weights = recipe.merging_method, recipe.weights_of(chosen)

    def one(block: ParamBlock) -> tuple[str, Array]:
        try:
            merged = apply(
                block, method, recipe.params, seed=recipe.seed, device=device, weights=weights
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
