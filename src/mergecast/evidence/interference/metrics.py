"""Interference, directed i ← j: what the partner's task vector does to the first model.

Of these, how much a partner's task vector moves what flows through the first model
(`interference_crosstalk`, `interference_input_energy`) is what retention does not know; see
``benchmarks/tiers.py`` for what each of them adds to a forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, log, sqrt

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.costs import (
    decomposition_seconds,
    layer_shapes,
    merge_seconds,
    multiply_seconds,
)
from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Request, Work, float32_bytes
from mergecast.evidence.labelled import LabelledEvidence, LabelledPair
from mergecast.evidence.metric import F, metric
from mergecast.evidence.retention.metrics import BUILT_IN_METHODS, probed_methods
from mergecast.tables.tiers import Tier

_KFAC = "Martens and Grosse 2015, 'K-FAC', arXiv 1503.05671"


def _collect(request: Request, gradients: bool) -> LabelledEvidence:
    from mergecast.evidence.interference.collect import collect_interference

    name = "interference" if gradients else "crosstalk"
    methods = probed_methods(request)
    steps = request.family.size + len(request.family.shared)
    return LabelledEvidence(
        collect_interference(
            request.probed,
            methods=methods,
            settings=request.merges,
            gradients=gradients,
            crosstalk=not gradients,
            advance=request.progress.stage(name, steps),
        )
    )


def _crosstalk_work(request: Request) -> Work:
    """A sweep a model, whose layers' inputs are multiplied by themselves, and the block pass."""
    n, samples = request.family.size, request.merge_samples
    shapes = layer_shapes(request)
    entries = sum(rows * columns for rows, columns in shapes)
    squares = sum(columns**2 for _, columns in shapes)
    products = sum(3 * rows * columns**2 for rows, columns in shapes)
    # A layer of (out, in) takes out · in multiplications a position, its inputs' moment in².
    with_moments = 1 + squares / max(1, entries)
    of_pairs = 4 * n * (entries + squares)
    return Work(
        forward_passes=n,
        forward_samples=round(n * samples * with_moments),
        loads=3 * n,
        kept=2 * n * squares,
        memory=float32_bytes(request) + 8 * squares,
        seconds=n
        * (
            decomposition_seconds(_matrix_shapes(request))
            + multiply_seconds(products + of_pairs)
            + _TRIM * entries
        ),
    )


def _gradient_work(request: Request) -> Work:
    """A sweep with random backward passes, one backward pass a sample, and the block pass."""
    from mergecast.evidence.interference.measure import GRADIENT_BUDGET, SKETCH

    n, samples, one = request.family.size, request.merge_samples, float32_bytes(request)
    shapes = layer_shapes(request)
    methods = probed_methods(request)
    held = max(1, GRADIENT_BUDGET // one)
    # F D Xᵀ of every model's change, by every method, seen by every model.
    views = sum(
        2 * min(rows, SKETCH) * columns * (rows + min(columns, SKETCH)) for rows, columns in shapes
    )
    scaled = sum(merge_seconds(request, method, "base") for method in methods)
    return Work(
        forward_passes=2 * n,
        backward_passes=n * (1 + _CURVATURE_DRAWS),
        # A pass back to the layers' outputs takes no gradient of weights: half of a whole one.
        forward_samples=n * samples * (1 + _CURVATURE_DRAWS),
        backward_samples=n * samples,
        held_samples=_HELD,
        loads=n * (2 + (n + 1) * -(-samples // held)),
        kept=n * (one + 4 * sum(min(m, SKETCH) * m + min(k, SKETCH) * k for m, k in shapes)),
        memory=3 * one + min(samples, held) * one,
        seconds=n * (scaled + n * multiply_seconds(len(methods) * views)),
    )


def _matrix_shapes(request: Request) -> list[tuple[int, ...]]:
    return [request.family.base.info(name).shape for name in request.family.shared]


#: Seconds an entry to find the largest ones of a task vector (`merging.methods.sparse.trim`).
_TRIM = 3e-8
#: Samples whose activations the sweep for the curvature holds (`fingerprints.curvature`).
_HELD = 4
#: Random backward passes that estimate the output curvature (`fingerprints.curvature`).
_CURVATURE_DRAWS = 8
_KINDS: dict[Tier, str] = {"activations": "crosstalk", "gradients": "interference"}
EVIDENCE.add(
    "crosstalk",
    EvidenceKind("crosstalk", "activations", partial(_collect, gradients=False), _crosstalk_work),
)
EVIDENCE.add(
    "interference",
    EvidenceKind("interference", "gradients", partial(_collect, gradients=True), _gradient_work),
)


def _interference(
    key: str,
    tier: Tier,
    bounds: tuple[float, float],
    source: str,
    symmetric: bool = False,
    method: str | None = None,
) -> Callable[[F], F]:
    return metric(
        f"interference_{key}",
        family="interference",
        tier=tier,
        symmetric=symmetric,
        range=bounds,
        source=f"mergecast: {source}",
        sets=("interference",),
        evidence=_KINDS[tier],
        method=method,
    )


def _entry(pair: LabelledPair, name: str) -> float:
    return float(pair.fingerprints.entry(name, *pair.labels))


def _ratio(part: float, whole: float, what: str) -> float:
    if not whole > 0:
        raise UndefinedError("pair", f"{what} is {whole:.3g}")
    return part / whole


def _energy(pair: LabelledPair, side: str) -> float:
    found = pair.fingerprints
    i, j = (found.members.index(label) for label in pair.labels)
    shares = found.energies[side]
    defined = shares[:, i, j][~np.isnan(shares[:, i, j])] if len(shares) else np.array([])
    if not len(defined):
        raise UndefinedError("pair", "no matrix that both models changed")
    return float(defined.mean())


@_interference(
    "input_energy", "activations", (0, 1), "mean over matrices of ‖δⱼVᵢ‖² / ‖δⱼ‖², top 10"
)
def input_energy(pair: LabelledPair) -> float:
    """Share of the partner's energy that reads the inputs which the model's own update reads."""
    return _energy(pair, "right")


@_interference(
    "output_energy", "activations", (0, 1), "mean over matrices of ‖Uᵢᵀδⱼ‖² / ‖δⱼ‖², top 10"
)
def output_energy(pair: LabelledPair) -> float:
    """Share of the partner's energy that writes where the model's own update writes."""
    return _energy(pair, "left")


@_interference(
    "sign_conflict", "activations", (0, 1), "after trimming to the largest 20 % per tensor"
)
def sign_conflict(pair: LabelledPair) -> float:
    """Share of the mass of τᵢ's largest entries that τⱼ's contradict."""
    return _ratio(_entry(pair, "conflict"), _entry(pair, "trimmed"), "mass of τᵢ")


@_interference("crosstalk", "activations", (-inf, inf), "½ log Σ‖δⱼCᵢ^½‖² / Σ‖δᵢCᵢ^½‖² over layers")
def crosstalk(pair: LabelledPair) -> float:
    """How loud the partner's update is on the model's inputs, beside its own update, in nats.

    Cᵢ: second moment of a layer's inputs on task i. The mean over both directions is a purely
    mutual quantity: norms cancel, and what is left is how far two tasks use the same inputs.
    """
    label = pair.labels[0]
    own = float(pair.fingerprints.entry("moved", label, label))
    return 0.5 * log(
        _ratio(_ratio(_entry(pair, "moved"), own, "own shift"), 1.0, "shift by the partner")
    )


@_interference("alignment", "activations", (-inf, inf), "½ log Σ‖δⱼCᵢ^½‖² / Σ‖δⱼ‖² over layers")
def alignment(pair: LabelledPair) -> float:
    """How strongly the model's inputs excite a partner's update of unit norm, log."""
    moved = _ratio(_entry(pair, "moved"), _entry(pair, "matrix_norm2"), "partner's norm")
    if moved <= 0:
        raise UndefinedError("pair", "the partner's update moves nothing on the model's inputs")
    return 0.5 * log(moved)


@_interference("shift", "activations", (0, inf), "√(Σ‖δⱼCᵢ^½‖² / Σ‖WC^½‖²) over layers")
def shift(pair: LabelledPair) -> float:
    """How far the partner's update moves the layers' outputs, relative to the outputs."""
    return sqrt(_ratio(_entry(pair, "moved"), _entry(pair, "output"), "energy of the outputs"))


@_interference("activation_cosine", "activations", (-1, 1), "cosine of δᵢCᵢ^½ and δⱼCᵢ^½")
def activation_cosine(pair: LabelledPair) -> float:
    """Whether the partner's update moves the layers' outputs as the model's own does."""
    label = pair.labels[0]
    own = float(pair.fingerprints.entry("moved", label, label))
    size = sqrt(max(0.0, own * _entry(pair, "moved")))
    return min(1.0, max(-1.0, _ratio(_entry(pair, "along"), size, "shift of the outputs")))


@_interference(
    "input_similarity", "activations", (0, 1), "mean cosine of Cᵢ and Cⱼ", symmetric=True
)
def input_similarity(pair: LabelledPair) -> float:
    """How alike the second moments of two tasks' layer inputs are."""
    return _ratio(_entry(pair, "input_similarity"), _entry(pair, "layers"), "number of layers")


@_interference("fisher", "gradients", (0, inf), "mean over samples of ⟨g_sample, τⱼ⟩²")
def fisher(pair: LabelledPair) -> float:
    """Second-order effect of the partner by the empirical Fisher matrix."""
    return _entry(pair, "fisher")


@_interference("fisher_diagonal", "gradients", (0, inf), "Σ F_kk τⱼ,k²")
def fisher_diagonal(pair: LabelledPair) -> float:
    """The same by the diagonal of the empirical Fisher matrix."""
    return _entry(pair, "fisher_diagonal")


def register_interference(method: str) -> None:
    """Register the metrics that follow a method's scaling; done for the built-in methods."""

    @_interference(
        f"first_order@{method}", "gradients", (-inf, inf), "⟨gᵢ, M(τⱼ, 0)⟩", method=method
    )
    def first_order(pair: LabelledPair) -> float:
        """First-order change of the model's loss by what the method leaves of the partner."""
        return _entry(pair, f"first_order/{method}")

    @_interference(
        f"displacement@{method}",
        "gradients",
        (0, inf),
        f"√ of the Kronecker-factored cost of M(τᵢ,0) + M(τⱼ,0) − τᵢ at θᵢ; {_KFAC}",
        method=method,
    )
    def displacement(pair: LabelledPair) -> float:
        """Second-order cost of where the merge puts the model; needs no labels."""
        return sqrt(max(0.0, _entry(pair, f"displacement/{method}")))


for _method in BUILT_IN_METHODS:
    register_interference(_method)
