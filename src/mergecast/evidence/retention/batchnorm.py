"""Re-estimating BatchNorm's running statistics after a merge, on unlabelled samples.

Averaged running statistics describe no network: the merged weights' activations have a mean and
variance of their own (Jordan et al. 2023, 'REPAIR', arXiv 2211.08403).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD, Probe, evaluating
from mergecast.tasks.task import BATCH_SIZE, Samples

#: Running statistics measured anew after a merge.
BATCHNORM = Stage(
    "batchnorm", 1, uses=(FORWARD,), modules=("mergecast.evidence.retention.batchnorm",)
)

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def batchnorm_layers(module: nn.Module) -> list[BatchNorm]:
    """The layers with running statistics, in the module's order."""
    return [
        part
        for part in module.modules()
        if isinstance(part, BatchNorm) and part.running_mean is not None
    ]


@torch.no_grad()
def reestimated(
    probe: Probe,
    parameters: Mapping[str, Tensor],
    samples: Samples,
    batch_size: int = BATCH_SIZE,
) -> dict[str, Tensor]:
    """`parameters` with running statistics measured on `samples`; labels are not looked at.

    Statistics are the mean over batches of each batch's, all other layers in eval mode. A batch
    of one sample is joined to the one before it, since it may have no variance.

    Returns
    -------
    dict of str to Tensor
        The tensors under the module's names; `parameters`' own are not touched.
    """
    probe.load(parameters)
    layers = batchnorm_layers(probe.module)
    if not layers:
        return dict(probe.state)
    statistics = {
        id(buffer) for layer in layers for buffer in layer.buffers() if buffer is not None
    }
    measured = {name for name, value in probe.module.named_buffers() if id(value) in statistics}
    state = {
        name: torch.zeros_like(value) if name in measured else value
        for name, value in probe.state.items()
    }
    for name, value in probe.module.named_buffers():
        # Counters of batches are integers, which a checkpoint may lack.
        if name in measured and name not in state:
            state[name] = torch.zeros_like(value, device=probe.device)
    with evaluating(probe.module), _measuring(layers):
        for batch in samples.batches(_even(len(samples), batch_size)):
            functional_call(probe.module, state, (), probe.inputs(batch))
    return state


@contextmanager
def _measuring(layers: list[BatchNorm]) -> Iterator[None]:
    """Training mode and cumulative averages for `layers`; their settings are restored."""
    before = [(layer, layer.training, layer.momentum) for layer in layers]
    try:
        for layer in layers:
            layer.training = True
            layer.momentum = None
        yield
    finally:
        for layer, training, momentum in before:
            layer.training = training
            layer.momentum = momentum


def _even(count: int, size: int) -> int:
    """A batch size near `size` whose last batch is not a single sample."""
    while count > size > 2 and count % size == 1:
        size -= 1
    return size
