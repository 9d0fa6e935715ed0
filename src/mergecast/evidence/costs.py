"""Rates of this machine, measured once a process, from which a plan's work is extrapolated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from math import prod

import numpy as np

from mergecast.evidence.kind import Request

_SIZE = 512
#: Methods whose time is that of singular value decompositions, not of reading entries.
_SPECTRAL = frozenset({"iso_cts", "isotropic", "tsv"})


def decomposition_seconds(shapes: Sequence[tuple[int, ...]]) -> float:
    """Seconds of one thread to reduce a model's matrices to their spectra."""
    return _spectrum_rate() * sum(_work(shape) for shape in shapes if len(shape) == 2)


def multiply_seconds(flops: float) -> float:
    """Seconds for products of large float32 matrices."""
    return flops * _product_rate()


def merge_seconds(request: Request, method: str, partner: str) -> float:
    """Seconds of a method's kernels for one merge of two models.

    `partner` is a stand-in for the second (``base``, ``scrambled``), beside which the first one's
    decompositions are known from other merges, or ``model``.
    """
    shapes = [request.family.base.info(name).shape for name in request.family.shared]
    by_entry, by_matrix = _method_rates(method, partner)
    seconds = by_entry * sum(prod(shape) for shape in shapes)
    return seconds + by_matrix * sum(_work(shape) for shape in shapes if len(shape) == 2)


def layer_shapes(request: Request) -> list[tuple[int, int]]:
    """(out, in) of every layer whose inputs are looked at, of the first model's architecture."""
    from mergecast.evidence.interference.recording import is_transposed, weight_layers

    probe = request.probed.probe(request.family.names[0])
    shapes = []
    for name, layer in weight_layers(probe, request.family.shared).items():
        shape = request.family.base.info(name).shape
        rows, columns = shape[0], prod(shape[1:])
        shapes.append((columns, rows) if is_transposed(layer) else (rows, columns))
    return shapes


def _work(shape: tuple[int, ...]) -> int:
    return min(shape) ** 2 * max(shape)


def _timed(function: Callable[[], object]) -> float:
    """Seconds of the faster of two calls: the first one may set things up."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def _matrix(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((_SIZE, _SIZE)).astype(np.float32)


@cache
def _spectrum_rate() -> float:
    from threadpoolctl import threadpool_limits

    from mergecast.evidence.weights.fingerprints import DIRECTIONS
    from mergecast.evidence.weights.spectra import spectrum

    with threadpool_limits(1):
        return _timed(lambda: spectrum(_matrix(0), DIRECTIONS, 0.0)) / _SIZE**3


@cache
def _product_rate() -> float:
    import torch

    one = torch.from_numpy(_matrix(0)).repeat(2, 2)
    return _timed(lambda: one @ one) / (2 * len(one) ** 3)


@cache
def _method_rates(method: str, partner: str) -> tuple[float, float]:
    """Seconds an entry and seconds a unit of a matrix's work: one of the two is zero."""
    import torch

    from mergecast.merging.decompositions import Decompositions, remembered
    from mergecast.merging.method import METHODS, TensorBlock

    delta = torch.from_numpy(_matrix(1))
    other = torch.zeros_like(delta) if partner == "base" else torch.from_numpy(_matrix(2))
    block = TensorBlock("", torch.from_numpy(_matrix(0)), torch.stack([delta, other]), ("a", "b"))
    found, known = METHODS.get(method), Decompositions()
    if partner != "model":
        known.expect(delta.numpy())
    with remembered(known):
        seconds = _timed(lambda: found.kernel(block, **found.validate()))
    if method in _SPECTRAL:
        return 0.0, seconds / _SIZE**3
    return seconds / _SIZE**2, 0.0
