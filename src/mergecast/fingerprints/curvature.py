"""What interference needs to know of one model on its own samples, in one sweep of batches.

For every layer that multiplies by a weight matrix: the second moment of its inputs (how much a
change of the weights moves its outputs) and that of the loss's curvature with respect to its
outputs (how much moving them matters); together the Kronecker-factored Gauss-Newton matrix of
Martens and Grosse 2015, 'K-FAC', arXiv 1503.05671. Neither needs labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from mergecast.errors import UndefinedError
from mergecast.runtime.seeds import generator
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples

#: Random backward passes that estimate the output curvature of a batch.
CURVATURE_DRAWS = 8
_BATCH = 16


@dataclass
class LayerMoments:
    """Second moments of one layer, float64, sums until `finish` divides them.

    Attributes
    ----------
    inputs : (in, in): mean over samples and positions of x xᵀ.
    curvature : (out, out): Gauss-Newton matrix of the loss in the layer's outputs, a mean over
        samples of sums over positions.
    output_energy : mean squared norm of W x + b.
    transposed : the weight is stored as (in, out).
    """

    inputs: Tensor
    curvature: Tensor
    output_energy: float = 0.0
    transposed: bool = False
    rows: int = field(default=0, repr=False)


def layer_moments(
    probe: Probe,
    parameters: Mapping[str, Tensor],
    samples: Samples,
    shared: tuple[str, ...],
    *,
    seed: int = 0,
    draws: int = CURVATURE_DRAWS,
) -> dict[str, LayerMoments]:
    """Moments of every linear and convolution layer whose weight is shared.

    Parameters
    ----------
    probe, parameters : the model, at its fine-tuned weights.
    samples : its own; labels are not used.
    shared : names, in the checkpoint, of the parameters that all models share.
    seed : of the random signs that estimate the output curvature; 0 draws leave it zero.

    Returns
    -------
    Weight name to moments, in sorted order of names.
    """
    names = _module_names(probe, shared)
    weights = {
        names[f"{path}.weight"]: module
        for path, module in probe.module.named_modules()
        if f"{path}.weight" in names and _kind(module)
    }
    found: dict[str, LayerMoments] = {}
    probe.load(parameters)
    for tensor in _parameters(probe).values():
        tensor.requires_grad_(True)
    for number, batch in enumerate(samples.batches(_BATCH)):
        with _recording(weights) as records:
            logits = probe.forward(batch)
        for name, calls in records.items():
            for inputs, outputs in calls:
                _add_inputs(found, name, weights[name], inputs.detach(), outputs.detach())
        draw = generator(seed, "output curvature", probe.task.name, number)
        for _ in range(draws):
            _add_curvature(found, records, weights, logits, draw, len(samples) * draws)
    for moments in found.values():
        moments.inputs /= moments.rows
        moments.output_energy /= moments.rows
    return dict(sorted(found.items()))


def per_sample_gradients(
    probe: Probe, parameters: Mapping[str, Tensor], samples: Samples, shared: tuple[str, ...]
) -> Iterator[dict[str, Tensor]]:
    """Gradient of the task's loss on each sample in turn, shared parameters only, float32.

    Raises UndefinedError without labels, or where a loss is not finite.
    """
    if samples.labels is None:
        raise UndefinedError(f"task {probe.task.name!r}", "its samples have no labels")
    names = _module_names(probe, shared)
    probe.load(parameters)
    wanted = {names[key]: value for key, value in _parameters(probe).items() if key in names}
    for tensor in wanted.values():
        tensor.requires_grad_(True)
    for one, label in zip(samples.batches(1), samples.labels, strict=True):
        loss = probe.task.loss(probe.forward(one), label[None].to(probe.device)).sum()
        if not bool(torch.isfinite(loss)):
            raise UndefinedError(
                f"task {probe.task.name!r}",
                f"the loss of sample {one.ids[0]!r} is {float(loss.detach())}",
            )
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
        yield {
            name: torch.zeros_like(value) if gradient is None else gradient
            for (name, value), gradient in zip(wanted.items(), found, strict=True)
        }


def _parameters(probe: Probe) -> dict[str, Tensor]:
    """The loaded parameters by the module's names; running statistics have no gradient."""
    return {name: probe.state[name] for name in probe.parameter_names if name in probe.state}


def _module_names(probe: Probe, shared: tuple[str, ...]) -> dict[str, str]:
    """The module's name of every shared parameter, to the checkpoint's."""
    resolved = {probe.resolve(name): name for name in shared}
    return {target: name for target, name in resolved.items() if target is not None}


def _kind(module: nn.Module) -> str:
    """``linear``, ``conv``, ``transposed`` (transformers' Conv1D), or "" for other layers."""
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Conv2d) and module.groups == 1 and module.padding_mode == "zeros":
        return "conv"
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return "transposed"
    return ""


Records = dict[str, list[tuple[Tensor, Tensor]]]


@contextmanager
def _recording(weights: Mapping[str, nn.Module]) -> Iterator[Records]:
    """Inputs and outputs of every call of the layers; the hooks are removed whatever happens."""
    records: Records = {name: [] for name in weights}
    handles = []
    try:
        for name, module in weights.items():

            def hook(
                _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name
            ) -> None:
                records[name].append((inputs[0], output))

            handles.append(module.register_forward_hook(hook))
        yield records
    finally:
        for handle in handles:
            handle.remove()


def _rows_in(module: nn.Module, inputs: Tensor) -> Tensor:
    """Inputs as (rows, in): tokens or, for a convolution, the patches it multiplies."""
    if isinstance(module, nn.Conv2d):
        padding = module.padding
        if isinstance(padding, str):
            total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
            sides = [0, 0, 0, 0] if padding == "valid" else _same_padding(total)
            inputs, padding = functional.pad(inputs, sides), (0, 0)
        patches = functional.unfold(
            inputs, module.kernel_size, module.dilation, padding, module.stride
        )
        return patches.mT.reshape(-1, patches.shape[1]).double()
    return inputs.reshape(-1, inputs.shape[-1]).double()


def _same_padding(total: list[int]) -> list[int]:
    """Left, right, top and bottom, as torch pads for ``same``: the odd one at the end."""
    height, width = total
    return [width // 2, width - width // 2, height // 2, height - height // 2]


def _rows_out(module: nn.Module, outputs: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d):
        return outputs.flatten(2).mT.reshape(-1, outputs.shape[1]).double()
    return outputs.reshape(-1, outputs.shape[-1]).double()


def _add_inputs(
    found: dict[str, LayerMoments], name: str, module: nn.Module, inputs: Tensor, outputs: Tensor
) -> None:
    x, y = _rows_in(module, inputs), _rows_out(module, outputs)
    if name not in found:
        found[name] = LayerMoments(
            torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device),
            torch.zeros(y.shape[1], y.shape[1], dtype=torch.float64, device=x.device),
            transposed=_kind(module) == "transposed",
        )
    moments = found[name]
    moments.inputs += x.mT @ x
    moments.output_energy += float(y.square().sum())
    moments.rows += len(x)


def _add_curvature(
    found: dict[str, LayerMoments],
    records: Records,
    weights: Mapping[str, nn.Module],
    logits: Tensor,
    draw: torch.Generator,
    total: int,
) -> None:
    """One random factor v of diag(p) − ppᵀ, E[v vᵀ] its value, sent back to the layers."""
    p = logits.detach().softmax(dim=-1)
    signs = torch.randint(0, 2, p.shape, generator=draw).to(p.device, p.dtype) * 2 - 1
    v = p.sqrt() * signs
    v = v - p * v.sum(dim=-1, keepdim=True)
    outputs = [(name, out) for name, calls in records.items() for _, out in calls]
    sent = torch.autograd.grad(
        logits, [out for _, out in outputs], v, retain_graph=True, allow_unused=True
    )
    for (name, _), back in zip(outputs, sent, strict=True):
        if back is not None:
            rows = _rows_out(weights[name], back)
            found[name].curvature += rows.mT @ rows / total
