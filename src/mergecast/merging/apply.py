"""One block through one method: what goes in is finite, and so is what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mergecast.errors import FamilyError, UsageError
from mergecast.family.blocks import ParamBlock
from mergecast.family.heads import is_statistic
from mergecast.merging.combine import weighted_sum
from mergecast.merging.evidence import TaskEvidence
from mergecast.merging.method import MergingMethod, TensorBlock
from mergecast.typing import Array

if TYPE_CHECKING:
    import torch


def apply(
    block: ParamBlock,
    method: MergingMethod,
    params: Mapping[str, Any],
    *,
    seed: int = 0,
    device: str = "cpu",
    weights: tuple[float, ...] | None = None,
    dtype: np.dtype[np.generic] | None = None,
    evidence: TaskEvidence | None = None,
) -> Array:
    """One block merged: base + merged delta, in the base's shape and stored dtype, or `dtype`.

    Raises
    ------
    FamilyError
        A model's values are not finite, or the merged ones leave the stored dtype's range.
    UsageError
        The method returned something else than a delta of the block's shape.
    """
    tensors, delta = _merged(block, method, params, seed, device, weights, evidence)
    merged = tensors.base + delta
    array: Array = merged.cpu().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        stored = array.astype(dtype or block.dtype, copy=False)
    rounded = stored.dtype != array.dtype and not bool(np.isfinite(stored).all())
    if rounded or not _is_finite(merged):
        raise _overflow(block, method, delta, stored.dtype.name)
    return stored


def apply_delta(
    block: ParamBlock,
    method: MergingMethod,
    params: Mapping[str, Any],
    *,
    seed: int = 0,
    device: str = "cpu",
    weights: tuple[float, ...] | None = None,
    evidence: TaskEvidence | None = None,
) -> Array:
    """The merged delta of one block alone, in the base's shape, free of the rounding of a sum.

    Parameters and errors as of `apply`; float32, or float64 where the base is.
    """
    _, delta = _merged(block, method, params, seed, device, weights, evidence)
    array: Array = delta.cpu().numpy()
    if not _is_finite(delta):
        raise _overflow(block, method, delta, array.dtype.name)
    return array


def _merged(
    block: ParamBlock,
    method: MergingMethod,
    params: Mapping[str, Any],
    seed: int,
    device: str,
    weights: tuple[float, ...] | None,
    evidence: TaskEvidence | None,
) -> tuple[TensorBlock, torch.Tensor]:
    """The block as tensors, and the method's delta of it."""
    import torch

    tensors = TensorBlock(
        block.name,
        torch.from_numpy(block.base).to(device),
        torch.from_numpy(block.deltas).to(device),
        block.members,
        seed,
        weights,
    )
    method.check_evidence(evidence is not None)
    if method.evidence is not None and evidence is not None:
        known, transposed = evidence.of(block.name, block.members, method.evidence, block.shape)
        if known is not None:
            known = tuple(one.to(device, tensors.deltas.dtype) for one in known)
        tensors = replace(tensors, evidence=known, transposed=transposed)
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
    return tensors, delta


def _overflow(
    block: ParamBlock, method: MergingMethod, delta: torch.Tensor, stored: str
) -> UsageError | FamilyError:
    """What a merged parameter is that is not finite."""
    if bool(delta.isnan().any()):
        return _wrong_result(method, f"NaN for {block.name!r}", "finite values")
    return FamilyError(
        f"parameter {block.name!r}",
        f"merged by {method.name!r} it overflows {stored}",
        "lower the method's scaling, or use a base of wider dtype",
    )


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
