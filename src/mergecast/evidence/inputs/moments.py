"""Second moments of what flows through one model's layers, in one sweep of batches.

For every layer that multiplies by a weight matrix: the second moment of its inputs (how much a
change of the weights moves its outputs) and that of the loss's curvature with respect to its
outputs (how much moving them matters); together the Kronecker-factored Gauss-Newton matrix of
Martens and Grosse 2015, 'K-FAC', arXiv 1503.05671. Neither needs labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mergecast.errors import UndefinedError
from mergecast.evidence.inputs.recording import (
    is_transposed,
    reads_decoder,
    recording,
    rows_in,
    rows_out,
    weight_layers,
)
from mergecast.evidence.inputs.second_moment import SecondMoment
from mergecast.runtime.seeds import generator
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD, Probe
from mergecast.tasks.task import Samples

#: Random backward passes that estimate the output curvature of a batch.
CURVATURE_DRAWS = 8
#: Samples whose layer outputs are held at once for them.
_BATCH = 4
#: The moments of all layers on a model's own samples.
LAYERS = Stage(
    "layer moments",
    2,
    uses=(FORWARD,),
    modules=tuple(
        f"mergecast.evidence.inputs.{name}" for name in ("moments", "recording", "second_moment")
    ),
)


@dataclass
class LayerMoments:
    """Second moments of one layer, in the weights' dtype.

    Attributes
    ----------
    input_rows : SecondMoment
        Sum over samples and positions of x xᵀ.
    output_rows : SecondMoment
        Sum over samples, positions and draws of what a random factor of the logits' curvature
        sends back to the outputs.
    draws : int
        Samples times draws in it.
    output_energy : float
        Mean squared norm of W x + b.
    transposed : bool
        The weight is stored as (in, out).
    """

    input_rows: SecondMoment
    output_rows: SecondMoment
    draws: int = 0
    output_energy: float = 0.0
    transposed: bool = False

    def factors(self) -> tuple[Tensor, Tensor]:
        """F (k, out) and X (l, in): the cost of a change D of the weights is ‖F D Xᵀ‖².

        XᵀX is the mean over samples and positions of x xᵀ; FᵀF the Gauss-Newton matrix of the loss
        in the layer's outputs, a mean over samples of sums over positions.
        """
        left = self.output_rows.factor() / max(1, self.draws) ** 0.5
        return left, self.input_rows.factor() / self.input_rows.rows**0.5


def layer_moments(
    probe: Probe,
    parameters: Mapping[str, Tensor],
    samples: Samples,
    shared: tuple[str, ...],
    *,
    seed: int = 0,
    draws: int = CURVATURE_DRAWS,
    limit: int | None = None,
) -> dict[str, LayerMoments]:
    """Moments of every linear and convolution layer whose weight is shared.

    Parameters
    ----------
    probe : Probe
        Of the model's task.
    parameters : mapping of str to Tensor
        The model, at its fine-tuned weights.
    samples : Samples
        Its own; labels are not used.
    shared : tuple of str
        Names, in the checkpoint, of the parameters that all models share.
    seed : int
        Of the random signs that estimate the output curvature.
    draws : int
        Random backward passes a batch; 0 leaves the curvature zero.
    limit : int or None
        Width beyond which a moment is estimated; see `SecondMoment`.

    Returns
    -------
    dict of str to LayerMoments
        By weight, in sorted order of names.

    Raises
    ------
    UndefinedError
        An output is not finite.
    """
    layers = weight_layers(probe, shared)
    probe.load(parameters)
    sweep = _Sweep(layers, generator(seed, "row signs", probe.task.name), limit)
    for number, batch in enumerate(samples.batches(_BATCH)):
        sweep.outputs, sweep.with_history = [], draws > 0
        sweep.batch, sweep.two_parts = batch, probe.has_encoder_and_decoder
        with recording(layers, sweep.on_call), torch.set_grad_enabled(draws > 0):
            logits = probe.forward(batch)
        _check_finite(logits.detach(), batch)
        draw = generator(seed, "output curvature", probe.task.name, number)
        for left in range(draws - 1, -1, -1):
            sweep.send_back(logits, draw, last=left == 0)
    for moments in sweep.moments.values():
        moments.output_energy /= moments.input_rows.rows
        moments.draws = len(samples) * draws
    return dict(sorted(sweep.moments.items()))


def _check_finite(logits: Tensor, batch: Samples) -> None:
    finite = torch.isfinite(logits).flatten(1).all(dim=1)
    if not bool(finite.all()):
        first = batch.ids[int(torch.nonzero(~finite)[0])]
        raise UndefinedError("model", f"its output is not finite on sample {first}")


class _Sweep:
    """The moments of all layers while batches run."""

    def __init__(
        self, layers: Mapping[str, nn.Module], signs: torch.Generator, limit: int | None
    ) -> None:
        self.layers = layers
        self.signs = signs
        self.limit = limit
        self.moments: dict[str, LayerMoments] = {}
        self.with_history = False
        self.outputs: list[tuple[str, Tensor]] = []
        self.batch: Samples | None = None
        self.two_parts = False
        # Queries, keys and values read one tensor: its second moment is taken once.
        self._last: tuple[Tensor, int, Tensor | None] | None = None

    def on_call(self, name: str, inputs: Tensor, output: Tensor) -> Tensor | None:
        """Take the moments of a call; the output that gradients will be taken by is kept."""
        layer = self.layers[name]
        x, y = rows_in(layer, inputs.detach()), rows_out(layer, output.detach())
        kept = self._tokens(name, inputs)
        if kept is not None:
            x, y = x[kept], y[kept]
        if name not in self.moments:
            self.moments[name] = LayerMoments(
                SecondMoment(x.shape[1], self.limit, self.signs),
                SecondMoment(y.shape[1], self.limit, self.signs),
                transposed=is_transposed(layer),
            )
        moments = self.moments[name]
        patches = isinstance(layer, nn.Conv2d)  # which depend on the layer as well
        same = None
        if self._last is not None and not patches:
            tensor, version, product = self._last
            same = product if tensor is inputs and version == inputs._version else None
        product = moments.input_rows.add(x, same)
        self._last = None if patches else (inputs, inputs._version, product)
        moments.output_energy += float(y.square().sum(dtype=torch.float64))
        if not self.with_history:
            return None
        # Weights have no history here, so that it begins with the first of these layers.
        output = output if output.requires_grad else output.requires_grad_()
        self.outputs.append((name, output))
        # An activation that works in place must not change what was kept.
        return output.clone()

    def send_back(self, logits: Tensor, draw: torch.Generator, *, last: bool) -> None:
        """One random factor v of diag(p) − ppᵀ, E[v vᵀ] its value, sent back to the layers."""
        p = logits.detach().softmax(dim=-1)
        signs = self._signs(p, draw)
        v = p.sqrt() * signs
        v = v - p * v.sum(dim=-1, keepdim=True)
        if not logits.requires_grad:
            return
        outputs = [output for _, output in self.outputs]
        sent = torch.autograd.grad(logits, outputs, v, retain_graph=not last, allow_unused=True)
        for (name, _), back in zip(self.outputs, sent, strict=True):
            if back is not None:
                rows, kept = rows_out(self.layers[name], back), self._tokens(name, back)
                self.moments[name].output_rows.add(rows if kept is None else rows[kept])

    def _signs(self, p: Tensor, draw: torch.Generator) -> Tensor:
        """Random signs in the shape of p; 0 on padding, which takes none of the stream."""
        kept = self._tokens("", p, decoder=self.two_parts) if p.dim() == 3 else None
        if kept is None:
            signs = torch.randint(0, 2, p.shape, generator=draw).to(p.device, p.dtype)
            return signs * 2 - 1
        drawn = torch.randint(0, 2, (int(kept.sum()), p.shape[-1]), generator=draw)
        signs = p.new_zeros(p.shape).reshape(-1, p.shape[-1])
        signs[kept] = drawn.to(p.device, p.dtype) * 2 - 1
        return signs.view(p.shape)

    def _tokens(self, name: str, sequence: Tensor, decoder: bool | None = None) -> Tensor | None:
        """Flat positions (n · L) of a layer's sequence that are no padding; None for all."""
        if self.batch is None or sequence.dim() != 3:
            return None
        if decoder is None:
            decoder = self.two_parts and reads_decoder(name)
        tokens = self.batch.tokens(sequence.shape[1], decoder=decoder)
        return None if tokens is None else tokens.reshape(-1).to(sequence.device)
