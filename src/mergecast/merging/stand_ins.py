"""Merging one model with stand-ins for its partners: what a method does to it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import MergecastError, UsageError
from mergecast.family.blocks import ParamBlock
from mergecast.family.family import Family
from mergecast.family.token_rows import run_with
from mergecast.merging.apply import apply
from mergecast.merging.decompositions import current
from mergecast.merging.method import METHODS
from mergecast.merging.run import MERGE
from mergecast.runtime.seeds import derived_seed
from mergecast.runtime.stage import Stage
from mergecast.typing import Array

if TYPE_CHECKING:
    import torch

#: What stands in for a partner. ``base``: a copy of the base, a task vector of zero.
#: ``scrambled``: the model's own task vector with the inputs it acts on shuffled.
PARTNERS = ("base", "scrambled")
#: Relative standard deviation by which a scrambled stand-in's outputs are scaled.
JITTER = 0.01
#: One model merged with stand-ins.
ALONE = Stage("merge alone", 1, uses=(MERGE,), modules=("mergecast.merging.stand_ins",))


def merge_alone(
    family: Family,
    member: str,
    method: str,
    *,
    size: int = 2,
    partner: str = "base",
    draw: int = 0,
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, torch.Tensor]:
    """θ₀ + M(τ, s, …, s) with stand-ins s for the partners.

    With ``partner="base"`` it equals writing, then loading, the merge of the model with copies of
    its base. ``"scrambled"`` is a partner of the same size and spectrum that is unrelated: a
    method that shares something out among its members (TSV its rank, Iso-C its mean singular
    value) does to the model what it would do beside a real one.

    Parameters
    ----------
    family : Family
        Base and models.
    member : str
        Label of the model.
    method : str
        A name in `METHODS`.
    size : int
        Number of models merged, the stand-ins included.
    partner : str
        What stands in for each partner.
    draw : int
        Number of the shuffle, for ``scrambled``.
    params : mapping of str to object, optional
        The method's parameters; defaults for the rest.
    seed : int
        Seed of random masks, the same as a merge's: masks follow (seed, label, parameter).
    device : str
        Where the method runs.

    Returns
    -------
    dict of str to Tensor
        Every parameter of the base, as `merge` returns it.

    Raises
    ------
    UsageError
        The method takes fewer than `size` models, or an argument is unknown.
    """
    kernel = METHODS.get(method)
    if partner not in PARTNERS:
        raise UsageError.unknown("partner", partner, PARTNERS)
    if size < 1:
        raise UsageError("size", f"is {size}", "merge at least one model")
    parameters = kernel.validate(params)
    alone = family.subset([member])
    kernel.check_members(_labels(member, size))
    merged: dict[str, torch.Tensor] = {}
    decompositions = current()
    for block in alone.blocks():
        if decompositions is not None:
            decompositions.expect(block.delta(0))
        company = with_stand_ins(block, size, partner, derived_seed(seed, partner, draw))
        try:
            merged[block.name] = to_tensor(
                apply(company, kernel, parameters, seed=seed, device=device)
            )
        except MergecastError as error:
            raise error.about(f"merge {method}") from error
    for exclusion in family.alignment.excluded:
        if exclusion.name in family.base.infos:
            merged[exclusion.name] = to_tensor(family.base.array(exclusion.name))
    return {name: merged[name] for name in family.base.names}


def with_stand_ins(block: ParamBlock, size: int, partner: str, seed: int) -> ParamBlock:
    """A block of one model, joined by ``size - 1`` stand-ins whose labels sort after its own."""
    base, delta = block.base.reshape(-1), block.delta(0).reshape(-1)
    labels = _labels(block.members[0], size)
    rows = [delta]
    for label in labels[1:]:
        if partner == "base":
            rows.append(np.zeros_like(delta))
        else:
            rng = np.random.default_rng(derived_seed(seed, label, block.name))
            rows.append(scrambled(block.delta(0), rng).reshape(-1))
    return ParamBlock(
        block.name,
        block.shape,
        labels,
        block.dtype,
        lambda start, stop: base[start:stop],
        lambda i, part, start: rows[i][start : start + part.size],
    )


def scrambled(delta: Array, rng: np.random.Generator) -> Array:
    """`delta` times a random signed permutation of its inputs (its columns; a vector's entries).

    What is lost is which inputs it acts on. Up to `JITTER`, every entry's size and every singular
    value stay, and so do a matrix's left singular vectors: tasks share outputs more than inputs.
    Exactly the same left vectors would leave a method that decorrelates them (TSV) with a choice
    that rounding makes; outputs are therefore scaled by 1 ± `JITTER` each. Further axes count as
    inputs.
    """
    rows = len(delta) if delta.ndim > 1 else 1
    columns = delta.reshape(rows, -1)
    count = columns.shape[1]
    signs = rng.choice(np.array([-1, 1], dtype=delta.dtype), size=count)
    shuffled: Array = np.ascontiguousarray(columns[:, rng.permutation(count)] * signs)
    if rows > 1:
        shuffled *= (1 + JITTER * rng.standard_normal((rows, 1))).astype(delta.dtype)
    return shuffled.reshape(delta.shape)


def private_parameters(family: Family, member: str) -> dict[str, torch.Tensor]:
    """The tensors of a model that take no part in merging: its head and its integer buffers."""
    checkpoint = family.subset([member]).whole(member)
    excluded = [exclusion.name for exclusion in family.alignment.excluded]
    return {
        name: to_tensor(checkpoint.array(name)) for name in excluded if name in checkpoint.infos
    }


def with_own_head(
    family: Family, state: Mapping[str, torch.Tensor], member: str, beside: Sequence[str] = ()
) -> dict[str, torch.Tensor]:
    """What the family shares as it is in `state`, the rest from the member's own model.

    Where rows are matched by token, new tokens have the rows of a merge of the member and the
    models `beside` it.
    """
    shared = {name: state[name] for name in family.shared}
    if (tokens := family.vocabulary) is not None:
        chosen = {member, *beside}
        shared = {name: run_with(tokens, name, one, chosen) for name, one in shared.items()}
    return {**shared, **private_parameters(family, member)}


def _labels(member: str, size: int) -> list[str]:
    return [member, *(f"{member}~{number:04}" for number in range(1, size))]
