"""One backward pass: the loss gradient by shared parameters and by the inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mergecast.errors import UndefinedError, UsageError
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples

#: Inputs that are floating-point in some models but are no data.
_NO_DATA = ("attention_mask", "labels")


@dataclass(frozen=True)
class Backward:
    """The gradients of one model on its samples, on the CPU.

    Attributes
    ----------
    parameters : dict of str to Tensor
        Shared name to the gradient of the mean loss, in the parameter's shape.
    inputs : Tensor
        (k, …), each sample's gradient of its own loss by its pixels or input embeddings.
    loss : float
        The mean loss, nats.
    """

    parameters: dict[str, Tensor]
    inputs: Tensor
    loss: float


def backward(probe: Probe, samples: Samples, shared: Sequence[str], batch_size: int) -> Backward:
    """Gradients of the mean loss at the loaded weights, in eval mode.

    Parameters
    ----------
    shared : sequence of str
        Parameter names of the family; those that are buffers of the module (running statistics)
        have no gradient and are left out.

    Raises
    ------
    UsageError
        No labels, labels outside the head, inputs that the model does not take.
    UndefinedError
        A loss or a gradient is NaN or infinite.
    """
    if samples.labels is None:
        raise UsageError(
            f"task {probe.task.name!r}", "its samples have no labels", "gradients need them"
        )
    own = set(probe.parameter_names)
    targets = {name: probe.resolve(name) or name for name in shared}
    targets = {name: target for name, target in targets.items() if target in own}
    total: dict[str, Tensor] = {}
    by_input: list[Tensor] = []
    loss = 0.0
    with probe.differentiable(set(targets.values())) as leaves, torch.enable_grad():
        for batch in samples.batches(batch_size):
            with _input_leaves(probe, batch) as (given, watched):
                losses = _losses(probe, given)
            wanted = [*leaves.values(), *watched]
            parts = torch.autograd.grad(losses.sum(), wanted, allow_unused=True)
            for name, part in zip(leaves, parts, strict=False):
                if part is not None:
                    total[name] = total[name] + part if name in total else part
            by_input.append(_per_sample(parts[len(leaves) :], watched, len(batch)))
            loss += float(losses.detach().sum())
    gradients = {}
    for name, target in targets.items():
        gradient = total.get(target)
        if gradient is None:
            gradients[name] = torch.zeros_like(leaves[target], device="cpu")
            continue
        gradient.div_(len(samples))
        if not bool(torch.isfinite(gradient).all()):
            raise UndefinedError("gradient", f"of {name!r} is not finite")
        gradients[name] = gradient.cpu()
    return Backward(gradients, _padded(by_input), loss / len(samples))


def _losses(probe: Probe, batch: Samples) -> Tensor:
    labels = batch.labels
    if labels is None:
        raise UsageError(f"task {probe.task.name!r}", "its samples have no labels", "give them")
    losses = probe.task.loss(probe.forward(batch), labels.to(probe.device))
    values = losses.detach()
    if not bool(torch.isfinite(values).all()):
        k = int(torch.nonzero(~torch.isfinite(values))[0])
        raise UndefinedError("loss", f"is {float(values[k])} on sample {batch.ids[k]}")
    return losses


@contextmanager
def _input_leaves(probe: Probe, batch: Samples) -> Iterator[tuple[Samples, list[Tensor]]]:
    """The batch to run, and a list of the tensors to take input gradients by.

    Floating-point inputs become leaves. For token ids it is the output of the input embedding,
    caught by a hook, which is removed whatever happens.
    """
    data = {
        name: value.detach().clone().requires_grad_()
        for name, value in sorted(probe.inputs(batch).items())
        if value.is_floating_point() and name not in _NO_DATA
    }
    if data:
        yield replace(batch, inputs={**batch.inputs, **data}), list(data.values())
        return
    watched: list[Tensor] = []

    def watch(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if not watched:
            # A frozen embedding outside the shared parameters gives a tensor without a history.
            watched.append(output if output.requires_grad else output.requires_grad_())

    handles = [part.register_forward_hook(watch) for part in _embeddings(probe)]
    try:
        yield batch, watched
    finally:
        for handle in handles:
            handle.remove()


def _embeddings(probe: Probe) -> list[nn.Module]:
    """Modules of which the first that runs is the input embedding of tokens.

    What transformers names so may only hold the weights that encoder and decoder embed by, each
    in a module of its own; so every module that is tied to it counts.
    """
    ask = getattr(probe.module, "get_input_embeddings", None)
    named = ask() if callable(ask) else None
    parts: list[nn.Module] = [p for p in probe.module.modules() if isinstance(p, nn.Embedding)]
    if isinstance(named, nn.Embedding):
        return [part for part in parts if part.weight is named.weight]
    if isinstance(named, nn.Module):
        return [named]
    if not parts:
        raise UsageError(
            f"task {probe.task.name!r}",
            "its model has neither floating-point inputs nor an embedding of tokens",
            "give one of them: input gradients are taken by it",
        )
    return parts[:1]


def _per_sample(
    gradients: Sequence[Tensor | None], watched: Sequence[Tensor], count: int
) -> Tensor:
    """(count, …) on the CPU: one input's gradient, or several flattened side by side."""
    parts = [
        torch.zeros_like(value) if part is None else part
        for part, value in zip(gradients, watched, strict=True)
    ]
    if not parts or any(len(part) != count for part in parts):
        raise UsageError("input gradient", "has not one row a sample", "put the batch first")
    joined = parts[0] if len(parts) == 1 else torch.cat([p.flatten(1) for p in parts], dim=1)
    if not bool(torch.isfinite(joined).all()):
        raise UndefinedError("input gradient", "is not finite")
    return joined.detach().cpu()


def _padded(parts: Sequence[Tensor]) -> Tensor:
    """Batches joined; shorter ones get zeros at the end of their second dimension."""
    length = max(part.shape[1] for part in parts)
    return torch.cat(
        [
            torch.cat([p, p.new_zeros(p.shape[0], length - p.shape[1], *p.shape[2:])], dim=1)
            for p in parts
        ]
    )
