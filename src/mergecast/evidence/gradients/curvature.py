"""The loss's curvature around one model, layer by layer; needs no labels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.evidence.inputs.moments import CURVATURE_DRAWS, LAYERS, layer_moments
from mergecast.evidence.session import Session
from mergecast.runtime.stage import Stage

CURVATURE = Stage(
    "curvature", 1, uses=(LAYERS,), modules=("mergecast.evidence.gradients.curvature",)
)
#: Width of a layer beyond which its curvature is estimated from as many signed sums of rows: a
#: pair costs what it costs, 2 · 256 flops a parameter and method, however wide the layers are.
SKETCH = 256
_FACTORS = ("outputs", "inputs")


@dataclass(frozen=True)
class Curvature:
    """The Kronecker factors of every layer of one model.

    Attributes
    ----------
    file : Checkpoint
        ``outputs/<weight>`` and ``inputs/<weight>``.
    transposed : frozenset of str
        Weights stored as (in, out).
    """

    file: Checkpoint
    transposed: frozenset[str]

    def factors(self, name: str) -> tuple[Tensor, Tensor] | None:
        """The layer's F and X; see `LayerMoments.factors`. None for what is no such weight."""
        if f"outputs/{name}" not in self.file.infos:
            return None
        left, right = (to_tensor(self.file.array(f"{kind}/{name}")) for kind in _FACTORS)
        return left, right


def curvature(session: Session, member: str) -> Curvature:
    """Measure one model on its own samples; the store's, where it is done.

    Raises UndefinedError where an output is not finite.
    """
    samples, shared = session.merge_samples(member), session.family.shared
    seed = session.settings.seed

    def compute() -> tuple[dict[str, Tensor], dict[str, object]]:
        probe, state = session.probe(member), session.state(member)
        layers = layer_moments(probe, state, samples, shared, seed=seed, limit=SKETCH)
        tensors: dict[str, Tensor] = {}
        for name, moments in layers.items():
            if moments.output_rows.rows:
                for kind, factor in zip(_FACTORS, moments.factors(), strict=True):
                    tensors[f"{kind}/{name}"] = factor.cpu().contiguous()
        return tensors, {"transposed": [n for n, one in layers.items() if one.transposed]}

    spec = session.spec(
        CURVATURE,
        member,
        samples,
        random_stream=session.task(member).name,
        seed=seed,
        draws=CURVATURE_DRAWS,
        sketch=SKETCH,
        shared=list(shared),
    )
    file, record = session.file_unit(spec, "curvature", compute)
    return Curvature(file, frozenset(record["transposed"]))
