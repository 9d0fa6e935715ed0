"""The empirical Fisher matrix of one model along every task vector, from per-sample gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.evidence.inputs.recording import module_names
from mergecast.evidence.session import Session
from mergecast.family.blocks import BLOCKS, CHUNK_ELEMENTS
from mergecast.family.family import Family
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD, Probe
from mergecast.tasks.task import Samples

FISHER = Stage(
    "fisher", 1, uses=(FORWARD, BLOCKS), modules=("mergecast.evidence.gradients.fisher",)
)
#: Bytes of per-sample gradients held at once; each group of samples reads the deltas once.
GRADIENT_BUDGET = 3 << 29


def fisher(session: Session, family: Family, member: str) -> tuple[Tensor, Tensor]:
    """τⱼᵀ F τⱼ of every task vector, by the whole empirical Fisher matrix and by its diagonal.

    Both are kept by model and partner, so that another model costs its own task vector.

    Parameters
    ----------
    session : Session
        With the task and samples of `member`.
    family : Family
        The N models whose task vectors are taken.
    member : str
        The model whose gradients are taken.

    Returns
    -------
    tuple of (Tensor, Tensor)
        Both of shape (N,), float64.

    Raises
    ------
    UndefinedError
        The samples have no labels, or a loss is not finite.
    """
    samples = session.merge_samples(member)
    specs = {
        partner: session.spec(
            FISHER,
            member,
            samples,
            shared=list(family.shared),
            base=session.base_digest,
            partner=session.digest(partner),
        )
        for partner in family.names
    }
    records = {partner: session.store.get(spec) for partner, spec in specs.items()}
    lacking = [partner for partner, record in records.items() if record is None]
    if lacking:
        stream = per_sample_gradients(
            session.probe(member), session.state(member), samples, family.shared
        )
        products, diagonal = reduce_gradients(family.subset(lacking), stream, len(samples))
        for k, partner in enumerate(lacking):
            record = records[partner] = {
                "fisher": float(products[:, k].square().mean()),
                "diagonal": float(diagonal[k]),
            }
            if all(isfinite(number) for number in record.values()):
                session.store.put(specs[partner], record)
    whole, diagonals = (
        torch.tensor([(record or {})[form] for record in records.values()], dtype=torch.float64)
        for form in ("fisher", "diagonal")
    )
    return whole, diagonals


def per_sample_gradients(
    probe: Probe, parameters: Mapping[str, Tensor], samples: Samples, shared: tuple[str, ...]
) -> Iterator[dict[str, Tensor]]:
    """Gradient of the task's loss on each sample in turn, shared parameters only, float32.

    Raises UndefinedError without labels, or where a loss is not finite.
    """
    if samples.labels is None:
        raise UndefinedError(f"task {probe.task.name!r}", "its samples have no labels")
    names = module_names(probe, shared)
    probe.load(parameters)
    # Running statistics have no gradient, and are no parameters of the module.
    targets = {key for key in probe.parameter_names if key in names and key in probe.state}
    with probe.differentiable(targets) as leaves:
        for one, label in zip(samples.batches(1), samples.labels, strict=True):
            loss = probe.task.loss(probe.forward(one), label[None].to(probe.device)).sum()
            if not bool(torch.isfinite(loss)):
                raise UndefinedError(
                    f"task {probe.task.name!r}",
                    f"the loss of sample {one.ids[0]!r} is {float(loss.detach())}",
                )
            gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
            yield {
                names[key]: torch.zeros_like(leaf) if gradient is None else gradient
                for (key, leaf), gradient in zip(leaves.items(), gradients, strict=True)
            }


def reduce_gradients(
    family: Family, gradients: Iterator[Mapping[str, Tensor]], count: int
) -> tuple[Tensor, Tensor]:
    """What is kept of `count` per-sample gradients, read once.

    Returns
    -------
    tuple of (Tensor, Tensor)
        ⟨g_s, τⱼ⟩ (count, N) and Σ_k F_kk τⱼ,k² (N,), both float64.
    """
    rows: list[Tensor] = []
    diagonal = torch.zeros(family.size, dtype=torch.float64)
    group: list[Mapping[str, Tensor]] = []
    for number, gradient in enumerate(gradients, 1):
        group.append(gradient)
        size = sum(value.numel() * value.element_size() for value in gradient.values())
        if (len(group) + 1) * size > GRADIENT_BUDGET or number == count:
            products, squares = _products(family, group)
            rows.append(products)
            diagonal += squares / count
            group = []
    return torch.cat(rows), diagonal


def _products(family: Family, group: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """⟨g_s, τⱼ⟩ (len(group), N), and Σ_s Σ_k g_s,k² τⱼ,k² (N,).

    Chunks are multiplied in the weights' own dtype and added up in float64, in their order: the
    conversion of every delta, once a model and group, would cost more than the products.
    """
    total = torch.zeros(len(group), family.size, dtype=torch.float64)
    squares = torch.zeros(family.size, dtype=torch.float64)
    for block in family.blocks():
        if block.name not in group[0]:
            continue
        flat = [gradient[block.name].reshape(-1) for gradient in group]
        start = 0
        for _, part in block.chunks(CHUNK_ELEMENTS):
            deltas = torch.from_numpy(part)
            stop = start + deltas.shape[1]
            stacked = torch.stack([g[start:stop].cpu().to(deltas.dtype) for g in flat])
            total += (stacked @ deltas.mT).double()
            squares += (deltas.square() @ stacked.square().sum(0)).double()
            start = stop
    return total, squares
